"""The domains: a list, and one page each that says who may call, what happens then, and how it
goes. Beside a refusal it offers to allow the address."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from sipdomains import sids
from sipdomains.access import ALLOW_ADDRESSES, OPERATE_CALLS, SEE_DOMAINS, may, scope_of
from sipdomains.models import IpAddress, SipDomain
from sipdomains.selectors import domainpage as selectors
from sipdomains.services import allowing
from sipdomains.services.domains import explain
from sipdomains.web.domainwords import guarded_by, what_happens, who_may_call
from sipdomains.web.errorcodes import explain as explain_code
from sipdomains.web.formatting import milliseconds
from sipdomains.web.pages import permitted
from sipdomains.web.testcallform import TestCallForm

MAX_NETWORKS = 12
# Refusals that allowing the address would mend.
BY_ADDRESS = ("source-not-allowed", "no-auth-mapped")


class ExplainForm(forms.Form):
    """Who calls, from where."""

    source_ip = forms.GenericIPAddressField(label="Call from address")
    username = forms.CharField(label="as user (if any)", max_length=255, required=False)


@permitted(SEE_DOMAINS)
@require_safe
def domain_list(request: HttpRequest) -> HttpResponse:
    search, after = (request.GET.get(name, "")[:253] for name in ("q", "after"))
    search = search.strip()
    found = selectors.domain_list(scope_of(request.user), search, after)
    rows = [(row, guarded_by(row.has_acl, row.has_credentials)) for row in found.rows]
    context = {"rows": rows, "after": found.after, "search": search}
    return render(request, "web/domains.html", context)


@permitted(SEE_DOMAINS)
@require_safe
def domain_detail(request: HttpRequest, sid: str) -> HttpResponse:
    domain = domain_of(request, sid)
    asked = ExplainForm(request.GET) if "source_ip" in request.GET else None
    context = _context(request, domain) | {"explain_form": asked or ExplainForm()}
    if asked is not None and asked.is_valid():
        context["verdict"] = explain(domain, **asked.cleaned_data)
        context["asked_ip"] = asked.cleaned_data["source_ip"]
    return render(request, "web/domain.html", context)


def domain_of(request: HttpRequest, sid: str) -> SipDomain:
    """The domain, if it is there and the user sees its account."""
    known = sids.is_sid(sid, sids.DOMAIN)
    domain = selectors.domain(scope_of(request.user), sid) if known else None
    if domain is None:
        raise Http404(f"There is no domain {sid[:40]}.")
    return domain


def _context(request: HttpRequest, domain: SipDomain) -> dict[str, Any]:
    now = timezone.now()
    acls = selectors.acls(domain)
    users = selectors.credential_lists(domain)
    addresses = IpAddress.objects.filter(acl__in=[guard.row for guard in acls])
    networks = [str(entry) for entry in addresses.order_by("ip_address", "cidr_prefix_length")]
    health = selectors.webhook_health(domain)
    phones, phone_count = selectors.phones(domain, now)
    failure = health.last_failure
    return {
        "domain": domain,
        "aliases": list(domain.aliases.values_list("name", flat=True)),
        "who": who_may_call(
            domain, networks, len(acls), sum(guard.entries for guard in users), len(users)
        ),
        "then": what_happens(domain),
        "acls": acls,
        "networks": networks[:MAX_NETWORKS],
        "more_networks": max(0, len(networks) - MAX_NETWORKS),
        "credential_lists": users,
        "registration_lists": selectors.registration_lists(domain),
        "health": health,
        "p50": milliseconds(health.p50),
        "p95": milliseconds(health.p95),
        "failure_code": explain_code(failure.error_code) if failure else None,
        "phones": phones,
        "phone_count": phone_count,
        "live": selectors.live_calls(domain),
        "recent": selectors.recent_calls(domain, now),
        "scan": selectors.SCAN,
        "by_address": BY_ADDRESS,
        "may_allow": may(request.user, ALLOW_ADDRESSES, domain.account_id),
        "may_call": may(request.user, OPERATE_CALLS, domain.account_id),
        "may_configure": request.user.is_staff,
        "test_form": TestCallForm(),
    }


# --- allow this address ---------------------------------------------------------------------------


@permitted(ALLOW_ADDRESSES)
@require_http_methods(["GET", "HEAD", "POST"])
def allow_address(request: HttpRequest, sid: str) -> HttpResponse:
    """First what it opens; then, when it is confirmed, it is done."""
    domain = domain_of(request, sid)
    given = request.POST if request.method == "POST" else request.GET
    address, acl_sid = given.get("address", "")[:64], given.get("acl", "")[:34]
    context: dict[str, Any] = {"domain": domain, "address": address}
    try:
        planned = allowing.opening(domain, address, acl_sid)
        if request.method == "POST":
            description = f"allowed at the desk by {request.user.get_username()}"
            entry = allowing.allow(domain, address, acl_sid, description)
            messages.success(request, f"{entry} may call {domain} from now on.")
            return redirect(reverse("web:domain", args=[domain.sid]))
    except ValidationError as error:
        context["problems"] = error.messages
        return render(request, "web/allow_address.html", context, status=400)
    context |= {"planned": planned, "lists": allowing.lists_of(domain)}
    return render(request, "web/allow_address.html", context)
