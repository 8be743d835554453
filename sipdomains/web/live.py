"""Calls that go on: what each is doing, and what an operator may do with it.

A change is asked for in two steps: the page of the call says what will happen, and only its button
asks the node. What came of it is shown; a node that does not answer in time may still do it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from sipdomains import sids
from sipdomains.access import OPERATE_CALLS, may, scope_of
from sipdomains.contracts import HANGUP, REDIRECT
from sipdomains.models import Application, Call, CallCommand, CommandState
from sipdomains.models.fields import MAX_URL_LENGTH, validate_url
from sipdomains.redaction import masked
from sipdomains.selectors import Cursor, ongoing
from sipdomains.selectors.ongoing import Ongoing
from sipdomains.services import commands
from sipdomains.services.commands import CallNotActive
from sipdomains.web.pages import operator_page, permitted
from sipdomains.web.timeline import describe


@dataclass(frozen=True, slots=True)
class Row:
    call: Call
    doing: str
    last: str
    operable: bool


class RedirectForm(forms.Form):
    url = forms.CharField(
        label="URL of a TwiML document",
        max_length=MAX_URL_LENGTH,
        widget=forms.URLInput(attrs={"placeholder": "https://app.example/voice"}),
    )
    method = forms.ChoiceField(label="Method", choices=[("POST", "POST"), ("GET", "GET")])

    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        validate_url(url)
        return url


class ApplicationForm(forms.Form):
    application = forms.ModelChoiceField(
        Application.objects.none(), label="Application", empty_label="Choose one"
    )

    def __init__(self, account_sid: str | None, data: Any = None) -> None:
        super().__init__(data)
        field: Any = self.fields["application"]
        rows = ongoing.applications_of(account_sid)
        field.queryset = Application.objects.filter(pk__in=[row.pk for row in rows])


@operator_page
@require_safe
def live_list(request: HttpRequest) -> HttpResponse:
    given = request.GET.get("before", "")
    try:
        before = Cursor.parse(given) if given else None
    except ValueError:
        raise Http404("This page of the live calls does not exist.") from None
    page = ongoing.ongoing_page(scope_of(request.user), before)
    context = {
        "rows": [_row(one, request.user) for one in page.calls],
        "older": page.older,
        "newest": before is None,
        "operates": request.user.has_perm(OPERATE_CALLS),
    }
    fragment = request.headers.get("HX-Request") == "true"
    return render(request, "web/_live.html" if fragment else "web/live.html", context)


def _row(one: Ongoing, user: Any) -> Row:
    doing, last = "", ""
    if one.verb is not None:
        doing = masked(describe(one.verb.kind, one.verb.data))
    if one.last is not None and one.last != one.verb:
        last = masked(describe(one.last.kind, one.last.data))
    return Row(one.call, doing, last, may(user, OPERATE_CALLS, one.call.account_id))


@permitted(OPERATE_CALLS)
@require_http_methods(["GET", "HEAD", "POST"])
def control(request: HttpRequest, sid: str) -> HttpResponse:
    known = sids.is_sid(sid, sids.CALL)
    call = ongoing.call_going_on(sid, scope_of(request.user)) if known else None
    if call is None:
        raise Http404(f"There is no call {sid[:40]} in the log.")
    asked = request.POST.get("do", "") if "sure" in request.POST else ""
    redirect = RedirectForm(request.POST if asked == "redirect" else None)
    application = ApplicationForm(call.account_id, request.POST if asked == "application" else None)
    wish: tuple[str, dict[str, Any], str] | None = None
    if asked == "hangup":
        wish = HANGUP, {}, "hung up"
    elif asked == "redirect" and redirect.is_valid():
        wish = REDIRECT, dict(redirect.cleaned_data), "redirected"
    elif asked == "application" and application.is_valid():
        chosen = application.cleaned_data["application"]
        wish = REDIRECT, _documents_of(chosen), f"sent to “{chosen}”"
    if wish is not None:
        _submit(request, call, *wish)
        return HttpResponseRedirect(reverse("web:call", args=(call.sid,)))
    context = {
        "call": call,
        "redirect": redirect,
        "application": application,
        "applications": ongoing.applications_of(call.account_id).exists(),
    }
    return render(
        request, "web/control.html", context, status=400 if request.method == "POST" else 200
    )


def _documents_of(application: Application) -> dict[str, Any]:
    return {
        "url": application.voice_url,
        "method": application.voice_method,
        "fallback_url": application.voice_fallback_url,
        "fallback_method": application.voice_fallback_method,
    }


def _submit(
    request: HttpRequest, call: Call, kind: str, payload: dict[str, Any], done: str
) -> None:
    try:
        command: CallCommand = commands.submit(call, kind, payload, request.user.get_username())
        command = commands.wait(command.pk, settings.API_COMMAND_SECONDS)
    except CallNotActive:
        messages.error(request, "The call had ended already; nothing was changed.")
        return
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return
    if command.state == CommandState.APPLIED:
        messages.success(request, f"The call was {done}.")
    elif command.state == CommandState.REJECTED:
        messages.error(request, f"The call was not {done}: {command.reason}")
    else:
        messages.warning(
            request, "The node has not answered yet. It does what was asked as soon as it can."
        )
