"""Identifiers in the vendor's form: two letters and 32 lower-case hex digits.

Pure: randomness is handed in (rest-api.md section 2 lists the prefixes).
"""

from __future__ import annotations

import re

ACCOUNT = "AC"
API_KEY = "SK"
APPLICATION = "AP"
CALL = "CA"
CREDENTIAL = "CR"
CREDENTIAL_LIST = "CL"
DOMAIN = "SD"
IP_ACCESS_CONTROL_LIST = "AL"
IP_ADDRESS = "IP"
NOTIFICATION = "NO"
RECORDING = "RE"
TRUNK = "TK"

_SID = re.compile(r"[A-Z]{2}[0-9a-f]{32}\Z")


def make(prefix: str, random_bytes: bytes) -> str:
    """``prefix`` + 16 random bytes in hex. Raises ValueError on a wrong prefix or length."""
    sid = prefix + random_bytes.hex()
    if not _SID.match(sid):
        raise ValueError(f"not a SID: prefix {prefix!r}, {len(random_bytes)} random bytes")
    return sid


def is_sid(text: str, prefix: str | None = None) -> bool:
    """Whether ``text`` is a well-formed SID (of that prefix, if one is given)."""
    return bool(_SID.match(text)) and (prefix is None or text.startswith(prefix))
