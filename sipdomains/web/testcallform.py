"""What an operator says of a test call."""

from __future__ import annotations

import re

from django import forms
from django.core.validators import RegexValidator

from sipdomains.services.testcalls import DEFAULT_SECONDS, MAX_DIGITS, MAX_SECONDS

_NUMBER = re.compile(r"\A[A-Za-z0-9+*._~-]{1,64}\Z")
_DIGITS = re.compile(r"\A[0-9A-Da-d#*wW]*\Z")


class TestCallForm(forms.Form):
    """The password is used once and kept nowhere."""

    __test__ = False  # to pytest: no test

    number = forms.CharField(
        label="Dial",
        initial="test",
        max_length=64,
        validators=[RegexValidator(_NUMBER, "Use letters, digits and + * . _ ~ -")],
        help_text="What stands before the @.",
    )
    username = forms.CharField(
        label="User name",
        max_length=32,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    password = forms.CharField(
        label="Password",
        max_length=256,
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
    )
    digits = forms.CharField(
        label="Keys to press",
        max_length=MAX_DIGITS,
        required=False,
        validators=[RegexValidator(_DIGITS, "Use 0-9 A-D # *, and w or W for a pause.")],
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "e.g. ww1#"}),
        help_text="2 s after the answer; w waits half a second.",
    )
    seconds = forms.IntegerField(
        label="Hang up after",
        min_value=1,
        max_value=MAX_SECONDS,
        initial=DEFAULT_SECONDS,
        help_text=f"Seconds; at most {MAX_SECONDS}.",
    )
