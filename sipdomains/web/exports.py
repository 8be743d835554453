"""A call as files to send to somebody: JSON, a ladder in plain text, packets. Pure.

What the pages mask is masked here too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from ipaddress import ip_address
from itertools import islice
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model

from sipdomains.models import Call, CallEvent, Notification
from sipdomains.redaction import masked, masked_pairs
from sipdomains.selectors.wholecall import Everything
from sipdomains.web.course import Course, Row
from sipdomains.web.errorcodes import explain
from sipdomains.web.pcap import Message
from sipdomains.web.verdict import Verdict

_LEFT_OUT = frozenset({"spool_path", "claimed_until", "published", "account_id", "order"})
_PAIRS = frozenset({"headers", "parameters", "request_headers", "response_headers"})
_LANE = 22
_ROWS_AT_ONCE = 100
# Our address and the peer's where they are not known, of each version of IP (RFC 5737, 3849).
_UNKNOWN = (("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2"))


# --- JSON -----------------------------------------------------------------------------------------


def whole(call: Call, verdict: Verdict, everything: Everything) -> Iterator[str]:
    """Everything that is stored about a call, as JSON text; some rows at a time are in memory."""
    head = {
        "call": _values(call),
        "verdict": {
            "headline": verdict.headline,
            "reason": masked(verdict.reason),
            "whose_turn": verdict.turn,
            "how_to_mend": verdict.mend,
        },
    }
    yield _json(head).removesuffix("\n}")
    parts: tuple[tuple[str, Iterator[Any]], ...] = (
        ("legs", map(_values, everything.legs)),
        ("events", map(_event, everything.events)),
        ("webhook_requests", map(_values, everything.webhook_requests)),
        ("notifications", map(_explained, everything.notifications)),
        ("recordings", map(_values, everything.recordings)),
        ("transfers", map(_values, everything.transfers)),
        ("callbacks", map(_values, everything.callbacks)),
    )
    for name, rows in parts:
        yield f',\n "{name}": '
        yield from _list(rows)
    # Files of before have said whether something was left out.
    yield ',\n "complete": true\n}\n'


def _list(rows: Iterator[Any]) -> Iterator[str]:
    mark = "["
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        yield mark + "\n" + ",\n".join(map(_json, batch))
        mark = ","
    yield "[]" if mark == "[" else "\n]"


def _json(value: Any) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False, indent=1)


def _explained(note: Notification) -> dict[str, Any]:
    explained = explain(note.code)
    return _values(note) | {"title": explained.title, "mend": explained.mend}


def _values(row: Model) -> dict[str, Any]:
    """The loaded columns of a row."""
    loaded = {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
        if field.attname not in row.get_deferred_fields() and field.attname not in _LEFT_OUT
    }
    return {name: _value(name, value) for name, value in loaded.items()}


def _value(name: str, value: Any) -> Any:
    if name in _PAIRS:
        return masked_pairs(value)
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {str(key): _value(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_value(name, item) for item in value]
    if isinstance(value, datetime | int | float) or value is None:
        return value
    return str(value)


def _event(event: CallEvent) -> dict[str, Any]:
    return {
        "call_sid": event.call_id,
        "seq": event.seq,
        "at": event.at,
        "kind": event.kind,
        "status": event.status,
        "data": _value("data", event.data),
    }


# --- text -----------------------------------------------------------------------------------------


def as_text(heading: Sequence[str], course: Course) -> str:
    """The course of a call as a ladder in plain text, then its SIP messages in full."""
    width = max([_LANE, *(len(lane.name) + 4 for lane in course.lanes)])
    width = min(width, 32)
    titles = "".join(_cut(lane.name or lane.role, width - 2).center(width) for lane in course.lanes)
    roles = "".join(_cut(lane.role, width - 2).center(width) for lane in course.lanes)
    margin = " " * 13
    lines = [*heading, "", (margin + titles).rstrip(), (margin + roles).rstrip()]
    for row in course.rows:
        if row.quiet:
            lines.append(f"{margin}{_rest(len(course.lanes), width)}   … {row.quiet:.1f} s later")
        lines.append(
            f"{row.offset:<13}{_drawn(row, len(course.lanes), width)}   {_one_line(row.words)}"
        )
    messages = [row for row in course.rows if row.text]
    if messages:
        lines += ["", "SIP messages", "============"]
    for row in messages:
        way = f"{row.peer} {row.transport}".strip()
        lines += ["", f"--- {row.offset} {row.words}, {way} ---", row.text.replace("\r\n", "\n")]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _rest(lanes: int, width: int) -> str:
    return "|".center(width) * lanes


def _drawn(row: Row, lanes: int, width: int) -> str:
    line = list(_rest(lanes, width))
    begin, end = (lane * width + (width - 1) // 2 for lane in (row.first, row.last))
    if row.first == row.last:
        line[begin] = "*"
        return "".join(line)
    shaft = f" {row.label} ".center(end - begin - 1, "-")[: end - begin - 1]
    line[begin + 1 : end] = shaft
    if row.right or row.both:
        line[end - 1] = ">"
    if not row.right or row.both:
        line[begin + 1] = "<"
    return "".join(line)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- packets --------------------------------------------------------------------------------------


def messages(events: Iterable[CallEvent]) -> list[Message]:
    """The traced SIP messages of all legs in order of time.

    Addresses that are not known, such as ours in older traces, are those of documentation.
    """
    traced = [event for event in events if event.kind == "sip" and event.data.get("text")]
    ours: dict[str, tuple[str, int]] = {}  # of each leg, and of any
    for event in traced:
        where = _host_port(str(event.data.get("local", "")))
        if where is not None:
            ours.setdefault(event.call_id, where)
            ours.setdefault("", where)
    found = []
    for event in sorted(traced, key=lambda event: (event.at, event.seq)):
        data = event.data
        peer = _host_port(str(data.get("peer", "")))
        local = _host_port(str(data.get("local", ""))) or ours.get(event.call_id) or ours.get("")
        six = any(where is not None and ":" in where[0] for where in (peer, local))
        us, them = _UNKNOWN[six]
        peer, local = peer or (them, 5060), local or (us, 5060)
        outbound = data.get("dir") == "out"
        found.append(
            Message(
                at=event.at,
                source=local if outbound else peer,
                target=peer if outbound else local,
                transport=str(data.get("transport", "")),
                data=masked(str(data["text"])).encode("utf-8", "replace"),
            )
        )
    return found


def _host_port(text: str) -> tuple[str, int] | None:
    """None for what is no numeric address with a port."""
    host, _, port = text.rpartition(":")
    host = host.strip("[]")
    try:
        ip_address(host.partition("%")[0])
        return host, int(port)
    except ValueError:
        return None
