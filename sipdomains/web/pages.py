"""What every operators' page has in common: login, protective headers, and a 404 of our own."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec
from urllib.parse import urlsplit

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django_htmx.http import HttpResponseClientRefresh

from sipdomains.access import SEE_CALLS
from sipdomains.services.deskcache import CacheAway

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def page(view: View[P]) -> View[P]:
    """A page that need not be logged in for: headers; Http404 and CacheAway shown in our design.

    A page that refreshes itself, and is gone or forbidden by then, is loaded anew: else the browser
    would go on asking for it."""

    @wraps(view)
    def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        try:
            response = view(request, *args, **kwargs)
        except Http404 as missing:
            response = render(request, "web/not_found.html", {"why": str(missing)}, status=404)
        except CacheAway as away:
            response = render(request, "web/away.html", {"why": str(away)}, status=503)
        if response.status_code in (403, 404) and _refreshes_itself(request):
            response = HttpResponseClientRefresh()
        response["X-Robots-Tag"] = "noindex, nofollow"
        add_never_cache_headers(response)
        return response

    return wrapper


def permitted(permission: str) -> Callable[[View[P]], View[P]]:
    """A page for who is logged in and has ``permission``; strangers are led to the login and back.

    Which accounts' things the page shows is not settled here: the view asks ``access.scope_of``.
    """

    def decorator(view: View[P]) -> View[P]:
        @wraps(view)
        def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return _to_login(request)
            if not request.user.has_perm(permission):
                return render(request, "web/not_allowed.html", status=403)
            return view(request, *args, **kwargs)

        return page(wrapper)

    return decorator


def signed_in(view: View[P]) -> View[P]:
    """A page about the user, whatever he may do else."""

    @wraps(view)
    def wrapper(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_login(request)
        return view(request, *args, **kwargs)

    return page(wrapper)


def operator_page(view: View[P]) -> View[P]:
    """A page for whoever may see calls."""
    return permitted(SEE_CALLS)(view)


def _refreshes_itself(request: HttpRequest) -> bool:
    """Whether htmx asks for the page that it is on."""
    try:
        shown = urlsplit(request.headers.get("HX-Current-URL", "")).path
    except ValueError:
        return False
    return request.headers.get("HX-Request") == "true" and shown == request.path


def _to_login(request: HttpRequest) -> HttpResponseBase:
    if request.headers.get("HX-Request") == "true":
        # A refresh of a page whose session has ended: load the page anew, which leads to the
        # login, instead of putting the login form into the middle of it.
        response: HttpResponse = HttpResponseClientRefresh()
        return response
    return redirect_to_login(request.get_full_path())
