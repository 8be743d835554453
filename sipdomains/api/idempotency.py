"""Header Idempotency-Key: a POST that is repeated under the same key gets the same answer again.

Our own: the vendor documents none for this API. What failed may be tried again under its key.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.response import Response

from sipdomains.api import vendor
from sipdomains.api.errors import ApiError
from sipdomains.models import Account
from sipdomains.models.fields import DecryptionFailed
from sipdomains.services import idempotency
from sipdomains.services.idempotency import Answer, Busy, Mismatch

HEADER = "Idempotency-Key"
_LONGEST = 255


def once(request: Request, account: Account, work: Callable[[], Response]) -> Response:
    """``work``'s response, or the one that it gave the first time."""
    key = request.headers.get(HEADER, "")
    if not key:
        return work()
    if len(key) > _LONGEST:
        raise ApiError(vendor.INVALID_PARAMETER, f"{HEADER} is longer than {_LONGEST} characters")
    try:
        known = idempotency.begin(account, key, _fingerprint(request))
    except Mismatch:
        text = f"This {HEADER} was used for another request"
        raise ApiError(vendor.CONFLICT, text) from None
    except Busy:
        raise ApiError(vendor.CONFLICT, f"The first request with this {HEADER} runs") from None
    except DecryptionFailed:
        text = f"The answer to the first request with this {HEADER} cannot be read any more"
        raise ApiError(vendor.CONFLICT, text) from None
    if known is not None:
        return Response(json.loads(known.body), status=known.status)
    try:
        response = work()
    except BaseException:
        idempotency.forget(account, key)
        raise
    idempotency.settle(account, key, Answer(response.status_code, json.dumps(response.data)))
    return response


def _fingerprint(request: Request) -> str:
    """Of what is asked. Keyed, since passwords are among it."""
    parameters = sorted(request.POST.lists())
    text = json.dumps([request.method, request.path, parameters])
    return salted_hmac("sipdomains.api.idempotency", text, algorithm="sha256").hexdigest()
