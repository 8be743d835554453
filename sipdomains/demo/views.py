"""The demo voice application. It checks the signature of each request, as every one should."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import wraps
from xml.sax.saxutils import escape

from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import condition, require_http_methods, require_safe

from sipdomains.demo.tune import tune
from sipdomains.services.accounts import auth_token
from twimlrunner.webhooks.signature import sign

log = logging.getLogger(__name__)

View = Callable[[HttpRequest], HttpResponse]


def _pairs(request: HttpRequest) -> list[tuple[str, str]]:
    return [(name, value) for name, values in request.POST.lists() for value in values]


def _signed(view: View) -> View:
    """Refuse requests that are not signed with the auth token of the account they name."""

    @wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        parameters = request.POST if request.method == "POST" else request.GET
        token = auth_token(parameters.get("AccountSid", ""))
        given = request.headers.get("X-Twilio-Signature", "")
        expected = token and sign(token, request.build_absolute_uri(), _pairs(request))
        if not expected or not constant_time_compare(given, expected):
            log.warning("demo application: request with a wrong signature refused")
            return HttpResponseForbidden("The signature is missing or wrong.\n", "text/plain")
        return view(request)

    return csrf_exempt(require_http_methods(["GET", "POST"])(checked))


def _twiml(body: str) -> HttpResponse:
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<Response>\n{body}\n</Response>\n'
    return HttpResponse(document, content_type="text/xml")


@_signed
def voice(request: HttpRequest) -> HttpResponse:
    """The first document of a call."""
    parameters = request.POST if request.method == "POST" else request.GET
    user = parameters.get("SipUsername", "")
    greeting = f"Hello {user}. " if user else "Hello. "
    return _twiml(
        f"  <Say>{escape(greeting)}This call is answered by your own server. "
        "Here is some music.</Say>\n"
        "  <Play>/demo/tone.wav</Play>\n"
        '  <Pause length="1"/>\n'
        "  <Redirect>/demo/goodbye</Redirect>"
    )


@_signed
def goodbye(request: HttpRequest) -> HttpResponse:
    """The second document, to which the first redirects."""
    return _twiml("  <Say>That was the demo. You can read all about this call in the call log. "
                  "Goodbye.</Say>\n  <Hangup/>")  # fmt: skip


def _tune_etag(request: HttpRequest) -> str:
    return f'"{hashlib.sha256(tune()).hexdigest()[:32]}"'


@require_safe
@condition(etag_func=_tune_etag)
def tone(request: HttpRequest) -> HttpResponse:
    """The music."""
    response = HttpResponse(tune(), content_type="audio/wav")
    response["Cache-Control"] = "public, max-age=3600"
    return response
