"""The course of a call: one row for each thing that happened, between the parties it happened.

A ladder of all legs: the caller, this server, each called party and the application. SIP messages
and HTTP requests are arrows from lane to lane, everything else is a mark on the lane of who did it.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from sipdomains.models import CallEvent, Notification
from sipdomains.redaction import masked
from sipdomains.web.errorcodes import explain
from sipdomains.web.formatting import file_size, milliseconds, offset, status_word
from sipdomains.web.related import Leg
from sipdomains.web.steps import REASONS
from sipdomains.web.timeline import describe
from sipdomains.web.webhooks import Attempt

MAX_CALLED = 5  # lanes of called parties; further ones share the last
QUIET_SECONDS = 1.0
INLINE_CHARACTERS = 24_000  # of messages within the page; the others come when they are opened
FIRST_ROWS = 120

SIP, HTTP, TWIML, MEDIA, NOTE, CALL = "sip", "http", "twiml", "media", "note", "call"
GROUPS = (
    (SIP, "SIP"), (HTTP, "Webhooks"), (TWIML, "TwiML"), (MEDIA, "Media"), (NOTE, "Notifications"),
    (CALL, "Other"),
)  # fmt: skip
_GROUP_OF = {
    "sip": SIP, "webhook": HTTP, "document": TWIML, "verb-started": TWIML, "verb-ended": TWIML,
    "media": MEDIA, "recording": MEDIA, "bridged": MEDIA, "unbridged": MEDIA,
}  # fmt: skip
# Where the SIP messages of a leg are stored, they say this better.
_SAID_BY_SIP = frozenset({"ringing", "answered", "initiated"})
_ASKED = timedelta(milliseconds=50)  # clocks of node and worker differ a little


@dataclass(frozen=True, slots=True)
class Lane:
    """``sid`` of the leg, empty for this server and the application."""

    name: str
    role: str
    sid: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """``first`` and ``last`` are lanes, the same one for a mark; ``right``: the arrow points from
    the first to the last. ``place`` is the row's id in the page. ``quiet`` seconds of silence came
    before. What can be opened: ``text`` of a SIP message, or what an ``attempt`` was sent
    (``part`` request) and answered (``part`` response); ``later``: it is loaded then."""

    at: datetime
    place: str
    group: str
    kind: str
    first: int
    last: int
    words: str
    label: str = ""
    right: bool = True
    both: bool = False
    tone: str = "plain"
    offset: str = ""
    quiet: float = 0.0
    again: bool = False
    status: str = ""
    leg: str = ""
    seq: int = 0
    text: str = ""
    peer: str = ""
    transport: str = ""
    attempt: Attempt | None = None
    part: str = ""
    later: bool = False

    @property
    def opens(self) -> bool:
        return bool(self.text) or self.attempt is not None


@dataclass(frozen=True, slots=True)
class Course:
    lanes: list[Lane]
    rows: list[Row]
    groups: list[tuple[str, str]]
    total: int


def course(
    call_sid: str,
    events: Iterable[CallEvent],
    zero: datetime,
    *,
    legs: Sequence[Leg] = (),
    attempts: Sequence[Attempt] = (),
    notes: Iterable[Notification] = (),
    placed: bool = False,
    peer: str = "",
    limit: int | None = FIRST_ROWS,
    inline: int = INLINE_CHARACTERS,
) -> Course:
    """Of the events of all ``legs``, in any order. ``peer`` names the far side of a call that
    stands alone, ``placed`` says that we called it. ``limit`` rows at most, None: all."""
    lanes = _lanes(call_sid, legs, attempts, placed=placed, peer=peer)
    maker = _Maker(call_sid, lanes, legs, placed)
    in_order = sorted(events, key=lambda event: (event.at, event.call_id == call_sid, event.seq))
    reasons = _reasons(in_order, attempts)
    rows = maker.of_events(in_order, {event for event, _ in reasons.values()})
    for attempt in attempts:
        rows += maker.of_attempt(attempt, reasons.get(attempt.row.pk, (0, ""))[1])
    rows += [maker.of_note(note) for note in notes]
    rows.sort(key=lambda row: row.at)
    finished = _finished(_joined(rows), zero)
    shown = _lazy(finished if limit is None else finished[:limit], inline)
    present = {row.group for row in finished}
    return Course(
        lanes=lanes,
        rows=shown,
        groups=[(slug, words) for slug, words in GROUPS if slug in present],
        total=len(finished),
    )


# --- lanes ----------------------------------------------------------------------------------------


def _lanes(
    call_sid: str, legs: Sequence[Leg], attempts: Sequence[Attempt], *, placed: bool, peer: str
) -> list[Lane]:
    near = [leg for leg in legs if leg.current or call_sid == leg.call.parent_id]
    parents = [leg for leg in legs if any(one.call.parent_id == leg.call.sid for one in near)]
    first = next((leg for leg in parents if not leg.current), None)
    if first is None:
        first = next((leg for leg in near if leg.current), None)
    lanes = []
    if first is None:
        lanes.append(Lane(peer, "called party" if placed else "caller", call_sid))
    else:
        lanes.append(_lane(first))
    lanes.append(Lane("sipdomains", "this server"))
    called = [leg for leg in near if first is None or leg.call.sid != first.call.sid]
    lanes += [_lane(leg) for leg in called[:MAX_CALLED]]
    if len(called) > MAX_CALLED:
        lanes[-1] = Lane(f"{len(called) - MAX_CALLED + 1} others", "called parties")
    if attempts:
        hosts = {urlsplit(attempt.row.url).hostname or "" for attempt in attempts}
        lanes.append(Lane(hosts.pop() if len(hosts) == 1 else "", "application"))
    return lanes


def _lane(leg: Leg) -> Lane:
    role = "caller" if leg.role == "caller" else "called party"
    return Lane(leg.name, role, leg.call.sid)


# --- rows -----------------------------------------------------------------------------------------

_SERVER = 1
_OF_PROGRAM = frozenset({"webhook", "document", "verb-started", "verb-ended"})


class _Maker:
    """Makes rows of facts; knows which lane belongs to which leg."""

    def __init__(
        self, call_sid: str, lanes: Sequence[Lane], legs: Sequence[Leg], placed: bool
    ) -> None:
        self._call_sid = call_sid
        self._names = {leg.call.sid: leg.name for leg in legs}
        self._lane = {lane.sid: number for number, lane in enumerate(lanes) if lane.sid}
        self._application = len(lanes) - 1
        self._others = max(0, len(lanes) - (2 if lanes[-1].role == "application" else 1))
        self._placed = {leg.call.sid: leg.role != "caller" for leg in legs}
        self._placed.setdefault(call_sid, placed)
        self._messages = 0

    def of_events(self, events: Sequence[CallEvent], told: set[int]) -> list[Row]:
        """``told``: the events, by ``id``, that attempts stand for."""
        traced = {event.call_id for event in events if event.kind == "sip"}
        closed = {event.call_id for event in events if event.kind == "closed"}
        seen: set[tuple[str, str, str]] = set()
        rows = []
        for event in events:
            if event.kind in _SAID_BY_SIP and event.call_id in traced:
                continue
            if event.kind == "webhook" and id(event) in told:
                continue
            if event.kind == "interrupt" and event.call_id in closed and not _redirected(event):
                continue  # its ending says why
            if event.kind in ("bridged", "unbridged") and self._told_by_us(event):
                continue
            if event.kind == "sip":
                rows.append(self._sip(event, seen))
            else:
                rows.append(self._mark(event))
        return rows

    def _told_by_us(self, event: CallEvent) -> bool:
        """Both legs of a bridge tell of it."""
        return event.call_id != self._call_sid and event.data.get("with") == self._call_sid

    def _lane_of(self, sid: str) -> int:
        return self._lane.get(sid or self._call_sid, self._others)

    def _place(self, event: CallEvent) -> str:
        own = event.call_id == self._call_sid
        return f"e{event.seq}" if own else f"e{self._lane_of(event.call_id)}-{event.seq}"

    def _sip(self, event: CallEvent, seen: set[tuple[str, str, str]]) -> Row:
        data = {name: str(value) for name, value in event.data.items()}
        lane, outbound = self._lane_of(event.call_id), data.get("dir") == "out"
        text, summary = data.get("text", ""), data.get("summary", "?")
        sent = (event.call_id, data.get("dir", ""), text)
        again = bool(text) and sent in seen
        seen.add(sent)
        self._messages += 1
        return Row(
            at=event.at,
            place=f"m-{self._messages}",
            group=SIP,
            kind="sip",
            first=min(lane, _SERVER),
            last=max(lane, _SERVER),
            right=outbound == (lane > _SERVER),
            words=summary,
            label=short(summary),
            tone=tone(summary),
            again=again,
            leg=event.call_id,
            seq=event.seq,
            text=masked(text),
            peer=data.get("peer", ""),
            transport=data.get("transport", "").upper(),
        )

    def _mark(self, event: CallEvent) -> Row:
        placed = self._placed.get(event.call_id, False)
        words = masked(describe(event.kind, event.data, placed=placed, names=self._names))
        own = event.call_id == self._call_sid
        lane = other = _SERVER if own else self._lane_of(event.call_id)
        if not own and event.kind in _OF_PROGRAM:
            lane = other = _SERVER
            words = f"{self._names.get(event.call_id, '')}: {words}"
        label, right, both, mood = "", True, False, "plain"
        what = event.data.get("what")
        match event.kind:
            case "media" if what in ("first-packet", "connected"):
                lane, other, label, mood = self._lane_of(event.call_id), _SERVER, "RTP", "media"
                right, both = lane < _SERVER, what == "connected"
            case "bridged" | "unbridged":
                lane = self._lane_of(event.call_id)
                other = self._lane_of(str(event.data.get("with", "")))
                both, mood = event.kind == "bridged", "media"
                label = "audio" if both else ""
                if not both:
                    lane = other = _SERVER
            case "media" | "ringing" | "answered" | "accepted":
                lane = other = self._lane_of(event.call_id)
            case "verb-ended" if str(event.data.get("outcome", "")).startswith("failed"):
                mood = "client-error"
            case "interrupt" | "closed":
                mood = "end"
        return Row(
            at=event.at,
            place=self._place(event),
            group=_GROUP_OF.get(event.kind, CALL),
            kind=event.kind,
            first=min(lane, other),
            last=max(lane, other),
            right=right,
            both=both,
            words=words,
            label=label,
            tone=mood,
            status=status_word(event.status) if event.status else "",
            leg=event.call_id,
            seq=_index(event) if event.kind.startswith("verb") else event.seq,
        )

    def of_attempt(self, attempt: Attempt, reason: str) -> list[Row]:
        """The request, and the answer or why there is none."""
        row = attempt.row
        path = masked(row.url).partition("://")[2].partition("/")[2].partition("?")[0]
        why = reason or _PURPOSES.get(row.purpose, row.purpose)
        tries = f", attempt {row.attempt}" if row.attempt > 1 else ""
        request = Row(
            at=row.at,
            place=f"w{row.pk}",
            group=HTTP,
            kind="request",
            first=_SERVER,
            last=self._application,
            words=f"{row.method} /{path} ({why}{tries})",
            label=row.method,
            tone="http",
            leg=row.call_id or "",
            attempt=attempt,
            part="request",
        )
        status, failed = row.status, bool(row.error_code) or not row.status
        answer = replace(
            request,
            at=row.at + timedelta(milliseconds=row.duration_ms),
            place=f"w{row.pk}-a",
            kind="response" if status else "no-response",
            right=False,
            words=_answer(attempt),
            label=str(status) if status else "×",
            tone="server-error" if failed else "redirect" if status >= 300 else "success",
            part="response",
        )
        return [request, answer]

    def of_note(self, note: Notification) -> Row:
        title = explain(note.code).title or masked(note.message)
        return Row(
            at=note.at,
            place=f"n-{note.sid}",
            group=NOTE,
            kind=note.level,
            first=_SERVER,
            last=_SERVER,
            words=f"{note.code} {title}",
            tone="server-error" if note.level == "error" else "client-error",
            leg=self._call_sid,
        )


_PURPOSES = {
    "document": "document",
    "status-callback": "status callback",
    "recording-callback": "recording callback",
    "repeat": "repeated from this page",
}


def _answer(attempt: Attempt) -> str:
    row = attempt.row
    if not row.status:
        why = attempt.error.title if attempt.error else row.error_message
        return f"No answer after {attempt.duration}: {why}" if why else "No answer"
    size = file_size(len(row.response_body.encode()))
    return f"{row.status} after {attempt.duration}, {size}"


def _redirected(event: CallEvent) -> bool:
    return bool(event.data.get("what") == "redirected")


def _index(event: CallEvent) -> int:
    index = event.data.get("index")
    return index if isinstance(index, int) else -1


def _reasons(
    events: Iterable[CallEvent], attempts: Iterable[Attempt]
) -> dict[int, tuple[int, str]]:
    """Of the attempts that fetch documents, the event that asked for each (by ``id``) and why."""
    asked: dict[str, list[CallEvent]] = {}
    for event in events:
        if event.kind == "webhook":
            asked.setdefault(event.call_id, []).append(event)
    found = {}
    for attempt in attempts:
        row = attempt.row
        if row.purpose != "document":
            continue
        before = [one for one in asked.get(row.call_id or "", ()) if one.at <= row.at + _ASKED]
        if before:
            why = str(before[-1].data.get("reason", ""))
            found[row.pk] = (id(before[-1]), REASONS.get(why, why))
    return found


def _joined(rows: list[Row]) -> list[Row]:
    """A verb during which nothing happened is one row, not two."""
    kept: list[Row] = []
    started: dict[tuple[str, int], Row] = {}
    for row in rows:
        if row.kind == "verb-started":
            started[row.leg, row.seq] = row
        elif row.kind == "verb-ended":
            begun = started.pop((row.leg, row.seq), None)
            took = _took(begun, row)
            if begun is not None and kept and kept[-1] is begun:
                outcome = row.words.partition(": ")[2]
                kept[-1] = replace(begun, words=f"{begun.words}: {outcome}{took}", tone=row.tone)
                continue
            kept.append(replace(row, words=f"{row.words}{took}"))
            continue
        kept.append(row)
    return kept


def _took(begun: Row | None, ended: Row) -> str:
    if begun is None:
        return ""
    return f", {milliseconds((ended.at - begun.at).total_seconds() * 1000)}"


def _finished(rows: Iterable[Row], zero: datetime) -> list[Row]:
    """With the time of each, and the silence before it."""
    found: list[Row] = []
    last: datetime | None = None
    for row in rows:
        silence = (row.at - last).total_seconds() if last is not None else 0.0
        quiet = silence if silence >= QUIET_SECONDS else 0.0
        found.append(replace(row, offset=offset(row.at, zero), quiet=quiet))
        last = row.at
    return found


def _lazy(rows: Iterable[Row], budget: int) -> list[Row]:
    """Messages are in the page as long as they fit, from the first on."""
    found = []
    for row in rows:
        size = len(row.text)
        if row.attempt is not None:
            size = row.attempt.weight(row.part)
        budget -= size
        found.append(replace(row, later=row.opens and budget < 0))
    return found


# --- words ----------------------------------------------------------------------------------------


def tone(summary: str) -> str:
    """By the status class of a response; everything else is a request."""
    status = summary[:4]
    if not (status[:3].isdecimal() and status[3:] in ("", " ")):
        return "request"
    match status[0]:
        case "1":
            return "provisional"
        case "2":
            return "success"
        case "3":
            return "redirect"
        case "4":
            return "client-error"
        case _:
            return "server-error"


def short(summary: str) -> str:
    """``INVITE`` or ``200``: what stands on an arrow, however narrow the page is."""
    return summary.partition(" ")[0][:9]
