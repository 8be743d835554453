"""What can be wrong with a document, and how bad that is (errors.md sections 4-6). Pure.

The one rule of what a bad document does:

* The document as a whole is unusable (12100, 12101, 12102, a limit): :func:`parser.parse` raises
  :class:`TwimlError` and nothing runs.
* Something in it has a code of level *warning*: an :class:`Issue` is recorded in
  ``Document.issues``; a bad attribute value becomes the default, an unknown item is skipped.
* Something in a verb has a code of level *error* (:data:`ERRORS`): what stands before the verb
  still runs. The verb, whole, becomes an :class:`document.Invalid` node that fails with that code
  when its turn comes, and then the failure chain of webhooks.md section 1 follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Documents and webhooks (errors.md section 4).
INVALID_URL: Final = 11100
BODY_TOO_LARGE: Final = 11750
NOT_XML: Final = 12100
WRONG_VERSION: Final = 12101
WRONG_ROOT: Final = 12102
SCHEMA: Final = 12200
WRONG_CONTENT_TYPE: Final = 12300
RELATIVE_URL_IN_INLINE: Final = 15004

# Conditions of our own, from the range the vendor leaves free (errors.md, last lines).
UNSUPPORTED_VERB: Final = 59900
DOCUMENT_LOOP: Final = 59904

# Codes of level "error" that the text of a document alone can cause (errors.md sections 4-6);
# every other code that parsing reports is a warning.
ERRORS: Final = frozenset(
    {INVALID_URL, 13231, 13239, 13240, 13257, 13338, 13621}
    | set(range(14201, 14207))  # Enqueue
    | set(range(14210, 14214))  # Dial Queue
    | {14300, 16023}  # Start and Stop child, participantLabel
    | {31920, 31922, 31923, 31941}  # Stream url and track
)


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding. ``level`` is ``error`` or ``warning``; ``line`` counts from 1, 0 is unknown."""

    code: int
    level: str
    message: str
    line: int


class TwimlError(Exception):
    """No document can be made of this: ``code`` of errors.md, ``message`` for the customer."""

    def __init__(self, code: int, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.line = line


def level_of(code: int) -> str:
    """``error`` or ``warning`` for a code that reading a document reports."""
    return "error" if code in ERRORS else "warning"
