"""Test calls: ask for one, and watch it. The worker's caller dials; pages only ask and look."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import current_app
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe
from kombu.exceptions import OperationalError

from sipdomains.access import ALLOW_ADDRESSES, OPERATE_CALLS, may
from sipdomains.contracts import TASK_TEST_CALL
from sipdomains.models import Call, CallEvent
from sipdomains.selectors.domainpage import call_by_call_id
from sipdomains.services import testcalls
from sipdomains.services.atwork import ORDER_SECONDS
from sipdomains.services.deskcache import CacheAway
from sipdomains.services.testcalls import OVER, WAITING, Progress, TooMany
from sipdomains.web.course import course
from sipdomains.web.domains import BY_ADDRESS, domain_of
from sipdomains.web.pages import permitted
from sipdomains.web.testcallform import TestCallForm
from sipdomains.web.verdict import verdict

PATIENCE = 15.0  # seconds until a worker should have begun
LANE = "test"  # stands for the SID of the call, which need not be in the log
MAX_INLINE = 1 << 20  # all messages are in the page: they are bounded where they are told
LOG_SECONDS = 3.0  # a refusal is written to the log a little after its answer

_ENDED_BY = {
    "callee": "The server hung up.",
    "caller": "Our caller hung up, because its time was over.",
    "refused": "The call was refused.",
    "canceled": "Our caller gave up ringing.",
    "timeout": "The server did not answer at all.",
    "error": "The call could not be placed.",
    "lost": "What became of the call is not known here; the log has the server's side of it.",
}


@sensitive_post_parameters("password", "digits")
@permitted(OPERATE_CALLS)
@require_POST
def start_test_call(request: HttpRequest, sid: str) -> HttpResponse:
    domain = domain_of(request, sid)
    form = TestCallForm(request.POST)
    if not form.is_valid():
        context = {"domain": domain, "test_form": form}
        return render(request, "web/test_call_form.html", context, status=400)
    wanted = form.cleaned_data
    try:
        id_ = testcalls.order(
            int(request.user.pk or 0),
            domain.sid,
            f"sip:{wanted['number']}@{_host(domain.domain_name)}",
            username=wanted["username"],
            password=wanted["password"],
            digits=wanted["digits"],
            seconds=wanted["seconds"],
        )
        current_app.send_task(TASK_TEST_CALL, (id_,), expires=ORDER_SECONDS)
    except (TooMany, CacheAway) as error:
        messages.error(request, str(error))
        return redirect("web:domain", domain.sid)
    except OperationalError:
        messages.error(request, "The message broker cannot be reached, so no worker can call.")
        return redirect("web:domain", domain.sid)
    return redirect("web:test-call", domain.sid, id_)


@permitted(OPERATE_CALLS)
@require_safe
def test_call(request: HttpRequest, sid: str, id_: str) -> HttpResponse:
    """The ladder as our caller sees it, refreshed while the call goes on."""
    domain = domain_of(request, sid)
    now = testcalls.seen(id_)
    if now is None or now.user != request.user.pk or now.domain_sid != domain.sid:
        raise Http404("That test call is not known, or no longer.")
    asked_at = datetime.fromtimestamp(now.asked_at, UTC)
    call = call_by_call_id(domain, now.call_id, asked_at - timedelta(seconds=5))
    age = time.time() - now.asked_at
    unanswered = now.state == WAITING and age > PATIENCE
    going = now.state != OVER or _unsettled(now, call)
    version = (
        f"{now.state}-{len(now.messages)}-{call.updated_at if call else ''}-{going:d}{unanswered:d}"
    )
    fragment = request.headers.get("HX-Request") == "true"
    if fragment and request.GET.get("version") == version:
        return HttpResponse(status=204)
    context: dict[str, Any] = {
        "domain": domain,
        "now": now,
        "version": version,
        "id": id_,
        "call": call,
        "going": going,
        "ask_password": now.outcome.get("status") in (401, 407),
        "unanswered": unanswered,
        "ended_by": _ENDED_BY.get(now.outcome.get("ended_by", ""), ""),
        "course": course(LANE, _events(now), asked_at, peer="our caller", inline=MAX_INLINE),
        "lane": {"sid": LANE},
        "story": {"complete": True},
        "may_allow": may(request.user, ALLOW_ADDRESSES, domain.account_id),
    }
    if call is not None:
        context["verdict"] = verdict(call, [])
        context["allowable"] = call.cause in BY_ADDRESS
    name = "web/_test_call.html" if fragment else "web/test_call.html"
    return render(request, name, context)


def _unsettled(now: Progress, call: Call | None) -> bool:
    """Whether the log may still tell more about the call that is over."""
    if call is not None:
        return call.ended_at is None
    return bool(now.messages) and time.time() - now.outcome.get("at", 0.0) < LOG_SECONDS


def _events(now: Progress) -> list[CallEvent]:
    """What our caller saw, as the ladder draws it: from the server's side."""
    return [
        CallEvent(
            kind="sip",
            call_id=LANE,
            seq=number,
            at=datetime.fromtimestamp(at, UTC),
            data=data | {"dir": "in" if data["dir"] == "out" else "out"},
        )
        for number, (at, data) in enumerate(now.messages)
    ]


def _host(name: str) -> str:
    return f"[{name}]" if ":" in name else name
