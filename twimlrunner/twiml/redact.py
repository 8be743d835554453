"""Documents as logs may keep them. Pure."""

from __future__ import annotations

import re

_IN_URL = re.compile(r"""(://[^/?#\s:@"'<>]*:)[^/?#\s@"'<>]+(?=@)""")
_PASSWORD = re.compile(r"""(\bpassword\s*=\s*)("[^"]*"|'[^']*'|[^\s>]+)""", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """TwiML text (also a broken or cut one) or a URL, with passwords masked: those of ``<Sip
    username="u" password="…">`` and of URLs like ``http://user:…@host/`` are the only secrets of
    the language."""
    return _IN_URL.sub(r"\1…", _PASSWORD.sub(r'\1"…"', text))
