"""The vendor's words in the REST API: names, texts and codes that clients know. Nowhere else."""

from __future__ import annotations

API_VERSION = "2010-04-01"
REALM = "Twilio API"
ERROR_PAGE = "https://www.twilio.com/docs/errors/{code}"

# errors.md section 1
UNKNOWN_PARAMETER = 20001
BAD_NAME = 20002
AUTHENTICATION_FAILED = 20003
METHOD_NOT_ALLOWED = 20004
ACCOUNT_NOT_ACTIVE = 20006
BAD_PAGE_SIZE = 20007
NOT_COMPLETE = 20009
ACCESS_DENIED = 20403
NOT_FOUND = 20404
CONFLICT = 20409
BODY_TOO_LARGE = 20413
INVALID_PARAMETER = 20422
TOO_MANY_REQUESTS = 20429
INTERNAL_ERROR = 20500
UNAVAILABLE = 20503  # ours: the database or the node that is needed does not answer

# errors.md section 2
BAD_URL = 21402
BAD_METHOD = 21403

# errors.md section 5
TOO_FEW_CHANNELS = 16113

# HTTP status of codes that are not a plain 400.
STATUS = {
    AUTHENTICATION_FAILED: 401,
    METHOD_NOT_ALLOWED: 405,
    ACCOUNT_NOT_ACTIVE: 403,
    ACCESS_DENIED: 403,
    NOT_FOUND: 404,
    CONFLICT: 409,
    BODY_TOO_LARGE: 413,
    TOO_MANY_REQUESTS: 429,
    INTERNAL_ERROR: 500,
    UNAVAILABLE: 503,
}
