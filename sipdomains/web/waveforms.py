"""The picture of a recording: the bars that one clicks into to hear that place."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from sipdomains import selectors, sids
from sipdomains.access import HEAR_RECORDINGS, may
from sipdomains.services.recording_files import Busy, Unreadable
from sipdomains.services.waveforms import waveform
from sipdomains.web.pages import permitted

CHANNEL = 48  # units of height


@permitted(HEAR_RECORDINGS)
@require_safe
def picture(request: HttpRequest, account_sid: str, sid: str) -> HttpResponse:
    """An SVG to put into a page; 204 when there is nothing to draw."""
    known = sids.is_sid(sid, sids.RECORDING) and may(request.user, HEAR_RECORDINGS, account_sid)
    row = selectors.recording(account_sid, sid) if known else None
    if row is None or not row.file:
        raise Http404("There is no such recording.")
    try:
        channels = waveform(row).channels
    except Busy as busy:
        return HttpResponse(f"{busy}.", status=503, headers={"Retry-After": "5"})
    except Unreadable:
        return HttpResponse(status=204)
    if not channels or not channels[0]:
        return HttpResponse(status=204)
    context = {
        "width": max(len(channel) for channel in channels),
        "height": CHANNEL * len(channels),
        "paths": [bars(channel, number * CHANNEL) for number, channel in enumerate(channels)],
    }
    return render(request, "web/_waveform.html", context)


def bars(peaks: Sequence[int], top: int) -> str:
    """The path of an SVG: a bar for each peak of 0 to 100, around the middle of its channel."""
    middle = top + CHANNEL / 2
    tallest = CHANNEL / 2 - 2
    found = []
    for place, peak in enumerate(peaks):
        half = max(0.5, tallest * peak / 100)
        found.append(f"M{place}.5 {middle - half:.1f}V{middle + half:.1f}")
    return "".join(found)
