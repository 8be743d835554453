"""Header Idempotency-Key: a POST that is repeated under the same key gets the same answer again.

Our own: the vendor documents none for this API. What failed may be tried again under its key.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar, cast

from django.utils.crypto import salted_hmac
from rest_framework.request import Request
from rest_framework.response import Response

from sipdomains.api import commands, vendor
from sipdomains.api.errors import ApiError
from sipdomains.models import Account, CallCommand
from sipdomains.models.fields import DecryptionFailed
from sipdomains.services import idempotency
from sipdomains.services.idempotency import Answer, Busy, Mismatch, Turn

HEADER = "Idempotency-Key"
_LONGEST = 255
C = TypeVar("C", bound=CallCommand | None)
_RUNS = f"The first request with this {HEADER} runs"


def once(request: Request, account: Account, work: Callable[[], Response]) -> Response:
    """``work``'s response, or the one that it gave the first time. With a key, ``work`` is one
    transaction: it must not wait for others."""
    begun = _begin(request, account)
    if begun is None:
        return work()
    if isinstance(begun, Response):
        return begun

    def kept() -> tuple[Response, Answer]:
        response = work()
        return response, _answer(response)

    try:
        return idempotency.carry_out(begun, kept)
    except Busy:
        raise ApiError(vendor.CONFLICT, _RUNS) from None
    except BaseException:
        idempotency.forget(begun)
        raise


def asked_once(
    request: Request, account: Account, ask: Callable[[], C], respond: Callable[[C], Response]
) -> Response:
    """The same of what a node has to do: ``ask`` stores the command, ``respond`` waits for it."""
    begun = _begin(request, account)
    if begun is None:
        return respond(ask())
    if isinstance(begun, Response):
        return begun
    try:
        response = respond(cast(C, _command(begun, ask)))
        idempotency.settle(begun, _answer(response))
    except Busy:
        raise ApiError(vendor.CONFLICT, _RUNS) from None
    except ApiError:  # nothing came of it; after anything else the command stands
        idempotency.forget(begun)
        raise
    return response


def _command(turn: Turn, ask: Callable[[], C]) -> C | CallCommand:
    if turn.command:
        return commands.stored(turn.command)
    try:
        return idempotency.ask(turn, ask)
    except Busy:
        raise
    except BaseException:
        idempotency.forget(turn)
        raise


def _begin(request: Request, account: Account) -> Turn | Response | None:
    """None: no key was given. Raises ApiError."""
    key = request.headers.get(HEADER, "")
    if not key:
        return None
    if len(key) > _LONGEST:
        raise ApiError(vendor.INVALID_PARAMETER, f"{HEADER} is longer than {_LONGEST} characters")
    try:
        begun = idempotency.begin(account, key, _fingerprint(request))
    except Mismatch:
        text = f"This {HEADER} was used for another request"
        raise ApiError(vendor.CONFLICT, text) from None
    except Busy:
        raise ApiError(vendor.CONFLICT, _RUNS) from None
    except DecryptionFailed:
        text = f"The answer to the first request with this {HEADER} cannot be read any more"
        raise ApiError(vendor.CONFLICT, text) from None
    if isinstance(begun, Answer):
        return Response(json.loads(begun.body), status=begun.status)
    return begun


def _answer(response: Response) -> Answer:
    return Answer(response.status_code, json.dumps(response.data))


def _fingerprint(request: Request) -> str:
    """Of what is asked. Keyed, since passwords are among it."""
    parameters = sorted(request.POST.lists())
    text = json.dumps([request.method, request.path, parameters])
    return salted_hmac("sipdomains.api.idempotency", text, algorithm="sha256").hexdigest()
