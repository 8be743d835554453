"""The Content-Security-Policy of every answer: what a page may load and run is our own files.

Nothing inline, no other host, no frame. A view that needs something else sets the header itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'"
)


# Swagger UI draws its signs from data: addresses and sets styles in its markup.
API_DOCUMENTATION_POLICY = (
    f"{CONTENT_SECURITY_POLICY}; img-src 'self' data:; style-src 'self' 'unsafe-inline'"
)


def with_policy(policy: str, view: Callable[..., HttpResponseBase]) -> Any:
    """``view`` with a policy of its own."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(*args, **kwargs)
        response.headers["Content-Security-Policy"] = policy
        return response

    return wrapper


class ContentSecurityPolicyMiddleware:
    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        return response
