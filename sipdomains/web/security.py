"""A user's own security page: the second factor is set up and turned off here.

The key is on the page only until it is confirmed, the recovery codes only in the answer to that.
"""

from __future__ import annotations

from typing import Any

import segno
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from sipdomains.login import demand_password
from sipdomains.selectors import secondfactor as seen
from sipdomains.services import secondfactor
from sipdomains.web.pages import signed_in

_MAX_CODE = 64
_MAX_PASSWORD = 1024


@signed_in
@require_GET
def security(request: HttpRequest) -> HttpResponse:
    return _page(request)


@signed_in
@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    try:
        # Else who finds an open page could lock its owner out.
        demand_password(request, request.POST.get("password", "")[:_MAX_PASSWORD])
        device = secondfactor.begin(request.user)
    except ValidationError as error:
        return _page(request, problem=error.messages[0])
    return _page(request, device=device)


@signed_in
@require_POST
def confirm(request: HttpRequest) -> HttpResponse:
    try:
        codes = secondfactor.confirm(request.user, _code(request))
    except ValidationError as error:
        return _page(request, device=seen.pending(request.user), problem=error.messages[0])
    return _page(request, codes=codes)


@signed_in
@require_POST
def turn_off(request: HttpRequest) -> HttpResponse:
    try:
        secondfactor.turn_off(request.user, _code(request))
    except ValidationError as error:
        return _page(request, problem=error.messages[0])
    messages.success(request, "The second factor is turned off.")
    return HttpResponseRedirect(reverse("web:security"))


def _code(request: HttpRequest) -> str:
    return request.POST.get("code", "")[:_MAX_CODE]


def _page(request: HttpRequest, *, device: Any = None, **shown: Any) -> HttpResponse:
    context: dict[str, Any] = {
        "on": seen.is_on(request.user),
        "left": seen.recovery_codes_left(request.user),
    }
    if device is not None:
        context |= {
            "secret": device.secret,
            # Dark on light whatever the page's colours: not every app reads it inverted.
            "picture": segno.make(device.uri, error="m").svg_inline(
                scale=5, dark="#000", light="#fff"
            ),
        }
    return render(request, "web/security.html", context | shown)
