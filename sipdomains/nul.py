"""No request holds a NUL: databases refuse it in texts, and nobody types it. Said here once, before
any view looks, for addresses (404), queries and forms (400).

The forms of the REST API are left to its own fields, which refuse it with the parameter's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.shortcuts import render

from sipdomains.api import vendor
from sipdomains.api.errors import ApiError, as_json, not_found
from sipdomains.web.pages import page

_API = f"/{vendor.API_VERSION}/"
_IN_QUERY = "The query holds a NUL character"


class NulMiddleware:
    """Behind that of the session, so that its pages know who is signed in."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        of_api = request.path_info.startswith(_API)
        if "\0" in request.path_info:
            return as_json(request, not_found(request.path)) if of_api else _missing(request)
        query = request.META.get("QUERY_STRING", "")
        if "%00" in query or "\0" in query:
            if of_api:
                return as_json(request, ApiError(vendor.INVALID_PARAMETER, _IN_QUERY))
            return _refused(request)
        return self._get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponseBase | None:
        """After the check of the form's token, which reads the form."""
        if request.method != "POST" or request.path_info.startswith(_API):
            return None
        return _refused(request) if _holds_nul(request.POST) else None


def _holds_nul(form: QueryDict) -> bool:
    return any("\0" in text for name, values in form.lists() for text in (name, *values))


@page
def _missing(request: HttpRequest) -> HttpResponse:
    raise Http404("No address holds a NUL character.")


@page
def _refused(request: HttpRequest) -> HttpResponse:
    return render(request, "web/bad_request.html", status=400)
