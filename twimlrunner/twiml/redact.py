"""Documents as logs may keep them. Pure."""

from __future__ import annotations

import re

_PASSWORD = re.compile(r"""(\bpassword\s*=\s*)("[^"]*"|'[^']*'|[^\s>]+)""", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """TwiML text (also a broken or cut one) with the values of password attributes masked:
    ``<Sip username="u" password="…">`` is the only secret of the language."""
    return _PASSWORD.sub(r'\1"…"', text)
