"""The forms of the TwiML bench: what to run, and what happens where the run waits."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.core.validators import RegexValidator

from sipdomains.bench import (
    ANSWERS,
    DIAL,
    HOWS,
    KEYS,
    MAX_DOCUMENT,
    MAX_KEYS,
    MAX_SECONDS,
    RECORD,
    REFER,
    Move,
)
from sipdomains.models.fields import MAX_URL_LENGTH, HttpMethod, validate_url

EXAMPLE = """<Response>
  <Gather numDigits="1" action="/chosen">
    <Say>Welcome. Press 1 for sales, 2 for support.</Say>
  </Gather>
  <Say>We have heard nothing. Goodbye.</Say>
</Response>
"""

_TYPED = re.compile(r"\A[0-9A-D#*]*\Z")
_PARTY = re.compile(r"\A[^\s<>\"]*\Z")


def _url(label: str, help_text: str = "") -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=MAX_URL_LENGTH,
        required=False,
        validators=[validate_url],
        help_text=help_text,
        widget=forms.TextInput(attrs={"inputmode": "url", "spellcheck": "false"}),
    )


def _party(label: str, initial: str) -> forms.CharField:
    return forms.CharField(
        label=label,
        max_length=128,
        initial=initial,
        validators=[RegexValidator(_PARTY, "Leave out blanks, quotes and angle brackets.")],
    )


class BenchForm(forms.Form):
    """``owners`` are (SID, name) of what the call may belong to: domains, then accounts."""

    owner = forms.ChoiceField(label="As a call to")
    source = forms.ChoiceField(
        label="Run",
        choices=[("paste", "The pasted document"), ("url", "The URL")],
        initial="paste",
        widget=forms.RadioSelect,
    )
    document = forms.CharField(
        label="Document",
        required=False,
        strip=False,
        max_length=MAX_DOCUMENT,
        initial=EXAMPLE,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "wrap": "off"}),
    )
    base_url = _url(
        "Relative URLs in it count from",
        "Left empty, an action such as /chosen cannot be asked: the run says so (15004).",
    )
    url = _url("URL", "Asked as the voice URL of a call would be: signed, by the egress rules.")
    method = forms.ChoiceField(label="Method", choices=HttpMethod.choices, required=False)
    fallback = forms.BooleanField(
        label="On failures ask the fallback URL of the domain", required=False, initial=True
    )
    caller = _party("From user", "alice")
    called = _party("To user", "100")
    username = forms.CharField(
        label="Authenticated as", max_length=32, required=False, help_text="SipUsername, if any."
    )

    def __init__(self, owners: list[tuple[str, str]], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices: Any = self.fields["owner"]
        choices.choices = owners

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        wanted = "url" if cleaned.get("source") == "url" else "document"
        if not (cleaned.get(wanted) or "").strip() and wanted not in self.errors:
            text = "Enter the URL." if wanted == "url" else "Paste a document."
            self.add_error(wanted, text)
        return cleaned


class MoveForm(forms.Form):
    """One move. ``wants`` is what the run waits for."""

    do = forms.ChoiceField(
        choices=[(do, do) for do in ("keys", "nothing", "hangup", "record", "dial", "refer")]
    )
    step = forms.IntegerField(min_value=0)
    keys = forms.CharField(
        max_length=MAX_KEYS,
        required=False,
        validators=[RegexValidator(_TYPED, "Keys are 0-9, A-D, # and *.")],
    )
    seconds = forms.IntegerField(min_value=0, max_value=MAX_SECONDS, required=False)
    how = forms.CharField(max_length=16, required=False)

    def __init__(self, wants: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._wants = wants

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        do = cleaned.get("do", "")
        if do and do not in ANSWERS.get(self._wants, ()):
            raise forms.ValidationError("The run does not wait for that.")
        if do in HOWS and cleaned.get("how") not in HOWS[do]:
            self.add_error("how", "Choose how it ends.")
        if do == "keys" and not cleaned.get("keys") and "keys" not in self.errors:
            self.add_error("keys", "Type at least one key.")
        return cleaned

    def move(self) -> Move:
        given = self.cleaned_data
        return Move(given["do"], given["keys"], given["seconds"] or 0, given["how"])


WAITS_FOR = {
    KEYS: "The prompts have been spoken. What does the caller do?",
    RECORD: "The caller is being recorded. How does that end?",
    DIAL: "It rings at the other side. What becomes of that?",
    REFER: "The caller's phone was asked to transfer the call. What does it answer?",
}
