"""Documents and URLs as logs may keep them. Pure."""

from __future__ import annotations

import re

_IN_URL = re.compile(r"""(://[^/?#\s:@"'<>]*:)[^/?#\s@"'<>]+(?=@)""")
_PASSWORD = re.compile(r"""(\bpassword\s*=\s*)("[^"]*"|'[^']*'|[^\s>]+)""", re.IGNORECASE)
_TYPED = re.compile(r"""([?&;](?:Digits|SpeechResult)=)[^&#\s"'<>]+""")
# Matches whether there is an "@" or not: so it walks over hostile text once only.
_SIP_URI = re.compile(r"""\b(sips?:)([^\s"'<>@]*)(@?)""", re.IGNORECASE)


def without_passwords(text: str) -> str:
    """TwiML text (also a broken or cut one) or a URL, with passwords masked: those of ``<Sip
    username="u" password="…">`` and of URLs like ``http://user:…@host/`` and
    ``sip:user:…@host``, and what a caller has typed or said where an application repeats it in a
    query (``?Digits=…``): it may be a PIN."""
    text = _IN_URL.sub(r"\1…", _PASSWORD.sub(r'\1"…"', text))
    return _TYPED.sub(r"\1…", _SIP_URI.sub(_without_password, text))


def _without_password(uri: re.Match[str]) -> str:
    scheme, user, at = uri.groups()
    name, colon, password = user.partition(":")
    return f"{scheme}{name}:…@" if at and colon and password else uri[0]
