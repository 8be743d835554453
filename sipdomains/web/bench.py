"""The TwiML bench: run a document without a phone. The worker runs it; pages ask and show."""

from __future__ import annotations

from typing import Any

from celery import current_app
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods
from kombu.exceptions import OperationalError

from sipdomains import sids
from sipdomains.access import OPERATE_CALLS, scope_of
from sipdomains.bench import BenchSetup
from sipdomains.contracts import TASK_BENCH_STEP
from sipdomains.models import Account, SipDomain
from sipdomains.models.fields import new_sid
from sipdomains.redaction import masked
from sipdomains.services import atwork, benchruns
from sipdomains.services.benchruns import Run, TooMany
from sipdomains.services.deskcache import CacheAway
from sipdomains.web.benchforms import WAITS_FOR, BenchForm, MoveForm
from sipdomains.web.benchview import source, transcript
from sipdomains.web.pages import permitted

MAX_OWNERS = 200


@permitted(OPERATE_CALLS)
@require_http_methods(["GET", "HEAD", "POST"])
def bench(request: HttpRequest) -> HttpResponse:
    owners = _owners(request)
    if request.method != "POST":
        form = BenchForm(owners, initial=_initial(request))
        return render(request, "web/bench.html", {"form": form, "owners": owners})
    form = BenchForm(owners, request.POST)
    context: dict[str, Any] = {"form": form, "owners": owners}
    if not form.is_valid():
        return render(request, "web/bench.html", context, status=400)
    try:
        run = benchruns.start(int(request.user.pk or 0), _setup(request, form.cleaned_data))
        _carry_on(run)
    except (TooMany, CacheAway, OperationalError) as error:
        context["problem"] = _words(error)
        return render(request, "web/bench.html", context, status=503)
    return redirect("web:bench-run", run.id)


@permitted(OPERATE_CALLS)
@require_http_methods(["GET", "HEAD", "POST"])
def run(request: HttpRequest, id_: str) -> HttpResponse:
    """The run so far, and the question where it waits; POST is the answer."""
    found = benchruns.find(id_, request.user.pk)
    if found is None or not scope_of(request.user).sees(found.setup.account_sid):
        raise Http404("That run is not known, or no longer: runs are kept for two hours.")
    if request.method != "POST":
        return _show(request, found)
    result = benchruns.result(id_)
    form = MoveForm(result.wants.get("kind", "") if result else "", request.POST)
    if not form.is_valid():
        return _show(request, found, form)
    try:
        moved = benchruns.move(found, form.cleaned_data["step"], form.move())
        if moved is not None:
            _carry_on(moved)
    except (TooMany, CacheAway, OperationalError) as error:
        return _show(request, found, form, _words(error))
    return redirect("web:bench-run", id_)


def _show(
    request: HttpRequest, run: Run, form: MoveForm | None = None, problem: str = ""
) -> HttpResponse:
    result = benchruns.result(run.id)
    step = len(run.moves)
    waiting = result is None or result.step < step
    given_up = benchruns.given_up(run) if waiting else ""
    running = waiting and not given_up
    version = f"{step}-{result.step if result else ''}-{given_up and 'given-up'}"
    fragment = request.headers.get("HX-Request") == "true"
    if fragment and request.GET.get("version") == version:
        return HttpResponse(status=204)
    wants = result.wants if result and not waiting else {}
    context: dict[str, Any] = {
        "run": run,
        "result": result,
        "running": running,
        "version": version,
        "step": step,
        "lines": transcript(result) if result else [],
        "source": source(result) if result else None,
        "wants": wants,
        "question": WAITS_FOR.get(wants.get("kind", ""), ""),
        "form": form,
        "problem": problem,
        "error": given_up or (result.error if result else ""),
        "ended": not running and not wants,
    }
    status = 400 if form is not None or problem else 200
    name = "web/_bench_run.html" if fragment else "web/bench_run.html"
    return render(request, name, context, status=status)


def _carry_on(run: Run) -> None:
    current_app.send_task(TASK_BENCH_STEP, (run.id,), expires=atwork.ORDER_SECONDS)


def _words(error: Exception) -> str:
    if isinstance(error, TooMany | CacheAway):
        return str(error)
    return "The message broker cannot be reached, so no worker can run it."


def _owners(request: HttpRequest) -> list[tuple[str, str]]:
    scope = scope_of(request.user)
    domains = scope.narrow(SipDomain.objects.order_by("domain_name"))
    accounts = scope.narrow(Account.objects.order_by("friendly_name"), "sid")
    names = domains.values_list("sid", "domain_name")[:MAX_OWNERS]
    return [
        *[(sid, name) for sid, name in names],
        *[
            (sid, f"no domain, account {name}")
            for sid, name in accounts.values_list("sid", "friendly_name")[:MAX_OWNERS]
        ],
    ]


def _initial(request: HttpRequest) -> dict[str, Any]:
    """From a domain's page: its own voice URL, to run or to paste for."""
    sid = request.GET.get("domain", "")
    if not sids.is_sid(sid, sids.DOMAIN):
        return {}
    domain = scope_of(request.user).narrow(SipDomain.objects.all()).filter(sid=sid).first()
    if domain is None:
        return {}
    shown = masked(domain.voice_url)
    values = {"owner": sid, "url": shown, "method": domain.voice_method, "base_url": shown}
    return values | {"source": "url" if shown else "paste"}


def _setup(request: HttpRequest, given: dict[str, Any]) -> BenchSetup:
    owner = given["owner"]  # one of those that the user sees
    pasted = given["source"] == "paste"
    values: dict[str, Any] = {
        "call_sid": new_sid(sids.CALL),
        "document": given["document"] if pasted else "",
        "base_url": given["base_url"] if pasted else "",
        "url": "" if pasted else given["url"],
        "method": given["method"] or "POST",
        "username": given["username"],
        "public_url": settings.PUBLIC_URL,
    }
    if not sids.is_sid(owner, sids.DOMAIN):
        account = Account.objects.get(sid=owner)
        values |= {"account_sid": owner, "verify_tls": account.verify_tls}
        host = "sip.example.com"
    else:
        domain = SipDomain.objects.select_related("account").get(sid=owner)
        host = domain.domain_name
        for name in ("url", "base_url"):  # the form has shown it without its password
            if values[name] == masked(domain.voice_url):
                values[name] = domain.voice_url
        values |= {
            "account_sid": domain.account_id,
            "verify_tls": domain.account.verify_tls,
            "domain_sid": domain.sid,
            "domain_name": host,
            "type_ahead": domain.type_ahead,
            "fail_with_503": domain.fail_with_503,
        }
        if given["fallback"]:
            values |= {
                "fallback_url": domain.voice_fallback_url,
                "fallback_method": domain.voice_fallback_method,
            }
    values |= {"from_": f"sip:{given['caller']}@{host}", "to": f"sip:{given['called']}@{host}"}
    return BenchSetup(**values)
