"""Logging in to pages and admin: who guesses passwords or codes is slowed down, by user and by
address. Users with a second factor give its code with the password. Who is in already gives the
password again before setting one up."""

from __future__ import annotations

import hashlib
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import authenticate
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.views import LoginView
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from sipdomains.selectors import secondfactor as seen
from sipdomains.services import secondfactor
from sipdomains.throttling import Window

SECONDS = 300
FAILURES = 8  # of one user from one address
FAILURES_OF_ADDRESS = 50  # whatever the user


class _Throttled(AuthenticationForm):
    code = forms.CharField(
        label="Code, if you use an authenticator app",
        required=False,
        max_length=64,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false"}
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not seen.in_use():
            del self.fields["code"]

    def confirm_login_allowed(self, user: Any) -> None:
        """The password was right."""
        super().confirm_login_allowed(user)
        secondfactor.check(user, self.cleaned_data.get("code", ""))

    def clean(self) -> dict[str, Any]:
        windows = _windows(self.request, self.cleaned_data.get("username", ""))
        _demand_room(windows)
        try:
            return super().clean()
        except ValidationError:
            _count(windows)
            raise


def demand_password(request: HttpRequest, password: str) -> None:
    """Of who is signed in: shows that it is not only an open page that somebody found. Wrong ones
    count as failed logins. Raises ValidationError."""
    username = request.user.get_username()
    windows = _windows(request, username)
    _demand_room(windows)
    if authenticate(request, username=username, password=password) != request.user:
        _count(windows)
        raise ValidationError("That is not your password.")


def _windows(request: HttpRequest | None, username: str) -> list[Window]:
    """No password is tried while one of them is full."""
    address = _network(request.META.get("REMOTE_ADDR", "") if request else "")
    both = hashlib.sha256(f"{address} {username.casefold()}".encode()).hexdigest()
    return [
        Window(f"login:{both}", FAILURES, SECONDS),
        Window(f"login-address:{address}", FAILURES_OF_ADDRESS, SECONDS),
    ]


def _demand_room(windows: list[Window]) -> None:
    full = [window for window in windows if window.full()]
    if full:
        minutes = int(max(window.wait() for window in full) // 60) + 1
        raise ValidationError(
            "Too many failed attempts. "
            f"Try again in {minutes} minute{'' if minutes == 1 else 's'}.",
            code="throttled",
        )


def _count(windows: list[Window]) -> None:
    for window in windows:
        window.count()


def _network(address: str) -> str:
    """Of IPv6 the /64: who has one address of it mostly has all."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and not found.ipv4_mapped:
        return str(IPv6Network((int(found) >> 64 << 64, 64)))
    return str(getattr(found, "ipv4_mapped", None) or found)


class LoginForm(_Throttled):
    """Of the operators' pages."""


class LoginPage(LoginView):
    """Of the operators' pages."""

    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_redirect_url(self, *args: Any) -> str:
        """Never to this page itself, which Django takes for an error."""
        url = super().get_redirect_url(*args)
        return "" if url == self.request.path else url


class AdminLoginForm(_Throttled, AdminAuthenticationForm):
    """Of the admin."""
