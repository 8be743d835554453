"""Logging in to pages and admin: who guesses passwords or codes is slowed down, by user and by
address. Users with a second factor give its code with the password."""

from __future__ import annotations

import hashlib
from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import ValidationError

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
        windows = _windows(self)
        full = [window for window in windows if window.full()]
        if full:
            minutes = int(max(window.wait() for window in full) // 60) + 1
            raise ValidationError(
                f"Too many failed attempts. Try again in {minutes} minute"
                f"{'' if minutes == 1 else 's'}.",
                code="throttled",
            )
        try:
            return super().clean()
        except ValidationError:
            for window in windows:
                window.count()
            raise


def _windows(form: AuthenticationForm) -> list[Window]:
    """No password is tried while one of them is full."""
    address = form.request.META.get("REMOTE_ADDR", "") if form.request else ""
    username = form.cleaned_data.get("username", "").casefold()
    both = hashlib.sha256(f"{address} {username}".encode()).hexdigest()
    return [
        Window(f"login:{both}", FAILURES, SECONDS),
        Window(f"login-address:{address}", FAILURES_OF_ADDRESS, SECONDS),
    ]


class LoginForm(_Throttled):
    """Of the operators' pages."""


class AdminLoginForm(_Throttled, AdminAuthenticationForm):
    """Of the admin."""
