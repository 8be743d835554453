"""A call as a file: JSON, text ladder, packet capture."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe

from sipdomains import selectors, sids
from sipdomains.access import scope_of
from sipdomains.models import CallDirection
from sipdomains.redaction import masked
from sipdomains.selectors import CallStory
from sipdomains.selectors.calllog import MAX_EVENTS as PAGE_EVENTS
from sipdomains.selectors.wholecall import everything
from sipdomains.web import exports
from sipdomains.web.calls import beginning
from sipdomains.web.course import course
from sipdomains.web.export import streamed
from sipdomains.web.formatting import party
from sipdomains.web.pages import operator_page
from sipdomains.web.pcap import capture
from sipdomains.web.related import legs
from sipdomains.web.verdict import verdict
from sipdomains.web.webhooks import attempts

MAX_EVENTS = 20_000


@operator_page
@require_safe
def as_json(request: HttpRequest, sid: str) -> HttpResponseBase:
    """Written while it is sent: a call may have any number of events and requests."""
    scope = scope_of(request.user)
    story = _story(request, sid, PAGE_EVENTS)  # what its page tells the verdict by
    found = verdict(story.call, story.events, story.notifications)
    return streamed(
        request,
        exports.whole(story.call, found, everything(story.call, scope)),
        "application/json",
        f"{sid}.json",
    )


@operator_page
@require_safe
def as_ladder(request: HttpRequest, sid: str) -> HttpResponse:
    story = _story(request, sid)
    call, zero = story.call, beginning(story)
    placed = call.direction != CallDirection.INBOUND
    found = verdict(call, story.events, story.notifications)
    drawn = course(
        sid,
        [*story.events, *story.others],
        zero,
        legs=legs(story.legs, call),
        attempts=attempts(story.webhook_requests, zero),
        notes=story.notifications,
        placed=placed,
        peer=party(call.to_uri if placed else call.from_uri, call.domain_name),
        limit=None,
    )
    heading = [
        f"Call {sid}",
        f"{masked(call.from_uri)} -> {masked(call.to_uri)}, {zero:%Y-%m-%d %H:%M:%S} UTC",
        found.headline,
        masked(found.reason),
        f"{found.turn} {found.mend}".strip(),
    ]
    text = exports.as_text([line for line in heading if line], drawn)
    return _file(text.encode("utf-8", "replace"), "text/plain; charset=utf-8", f"{sid}.txt")


@operator_page
@require_safe
def as_pcap(request: HttpRequest, sid: str) -> HttpResponse:
    story = _story(request, sid)
    packets = capture(exports.messages([*story.events, *story.others]))
    return _file(packets, "application/vnd.tcpdump.pcap", f"{sid}.pcap")


def _story(request: HttpRequest, sid: str, most: int = MAX_EVENTS) -> CallStory:
    known = sids.is_sid(sid, sids.CALL)
    story = selectors.call_story(sid, scope_of(request.user), most=most) if known else None
    if story is None:
        raise Http404(f"There is no call {sid[:40]} in the log.")
    return story


def _file(content: bytes, kind: str, name: str) -> HttpResponse:
    return HttpResponse(
        content,
        headers={"Content-Type": kind, "Content-Disposition": f'attachment; filename="{name}"'},
    )
