"""Rows for ``api_list.py``: a call log of a given size, written past the ORM (COPY on PostgreSQL).

Account 0 has ``calls`` calls over two years (or ``span``), the others a hundredth each, strewn
between. Of the
calls 80 % are completed, some go on; 30 % are to one of 50 numbers, the rest to numbers of their
own; each 20th has a recording, each 10th a notification, a request and events, each 50th a parent.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, models, transaction

from sipdomains.models import Account, Call, CallEvent, Notification, Recording, WebhookRequest

NEWEST = datetime(2026, 3, 1, tzinfo=UTC)
YEARS = timedelta(days=730)
ACCOUNTS = 6
STATUSES = ("completed",) * 80 + ("no-answer",) * 8 + ("busy",) * 6 + ("failed",) * 4
STATUSES += ("canceled",) * 2
LIVE = 25  # calls of each account that go on
RARE_NUMBER = "sip:rare@pbx.example.net"
FREQUENT_NUMBER = "sip:100@pbx.example.net"
HEADERS = json.dumps([["X-Customer", "42"], ["User-Agent", "Phone/1.0"]])
MEDIA = json.dumps({"codec": "PCMU", "packets_sent": 2850, "packets_received": 2848, "lost": 2,
                    "jitter_ms": 3.0, "mos": 4.3})  # fmt: skip
TRACE = json.dumps({"dir": "in", "text": "INVITE sip:100@pbx.example.net SIP/2.0\r\n" * 15})


def sid(prefix: str, dice: random.Random) -> str:
    return prefix + dice.randbytes(16).hex()


def call_rows(
    accounts: list[str], calls: int, dice: random.Random, span: timedelta = YEARS
) -> Iterator[dict[str, Any]]:
    """Oldest first. The owner of each row is drawn, so that accounts lie mixed on the disk."""
    shares = [calls] + [max(LIVE, calls // 100)] * (len(accounts) - 1)
    owners = [index for index, share in enumerate(shares) for _ in range(share)]
    dice.shuffle(owners)
    left = list(shares)
    step = span / len(owners)
    previous = ""
    for number, owner in enumerate(owners):
        began = NEWEST - span + number * step + dice.random() * step
        left[owner] -= 1
        live = left[owner] < LIVE
        status = "in-progress" if live else dice.choice(STATUSES)
        answered = began + timedelta(seconds=5) if status in ("completed", "in-progress") else None
        seconds = int(dice.expovariate(1 / 90)) if status == "completed" else None
        ended = None if live else began + timedelta(seconds=5 + (seconds or 20))
        frequent = dice.random() < 0.3
        to = f"sip:{100 + dice.randrange(50)}@pbx.example.net" if frequent else _number(dice)
        yield {
            "sid": (own := sid("CA", dice)),
            "account_id": accounts[owner],
            "domain_id": None,
            "domain_name": "pbx.example.net",
            "parent_id": previous if number % 50 == 1 else None,
            "node": "bench",
            "direction": "inbound" if number % 3 else "outbound-api",
            "from_uri": f"sip:user{dice.randrange(200)}@pbx.example.net",
            "to_uri": RARE_NUMBER if number % 200_000 == 7 else to,
            "status": status,
            "cause": "" if live else "caller-hangup",
            "reason": "" if live else "The caller hung up.",
            "error_code": 0,
            "sip_status": 200 if answered else 487,
            "started_at": began,
            "answered_at": answered,
            "ended_at": ended,
            "updated_at": ended or began,
            "duration": seconds,
            "sip_call_id": f"{number}@192.0.2.1",
            "from_tag": "1928301774",
            "username": "alice",
            "source_ip": "192.0.2.9",
            "source_port": 5060,
            "transport": "udp",
            "user_agent": "Phone/1.0",
            "headers": HEADERS,
            "media": MEDIA,
            "queue_ms": 0,
            "callback": "{}",
        }
        previous = own


def _number(dice: random.Random) -> str:
    return f"sip:+49{dice.randrange(10**9):09d}@pbx.example.net"


def recording_rows(calls: Iterable[dict[str, Any]], dice: random.Random) -> Iterator[dict]:
    for call in calls:
        yield {
            "sid": sid("RE", dice),
            "account_id": call["account_id"],
            "call_id": call["sid"],
            "source": "RecordVerb",
            "channels": 1,
            "track": "both",
            "trim": False,
            "status": "completed",
            "started_at": call["started_at"],
            "ended_at": call["ended_at"],
            "duration": 12,
            "size": 200_000,
            "file": "",
            "node": "bench",
            "spool_path": "",
            "ended_by": "timeout",
            "error_code": 0,
            "reason": "",
            "callback": "{}",
            "published": 0,
        }


def notification_rows(calls: Iterable[dict[str, Any]], dice: random.Random) -> Iterator[dict]:
    for number, call in enumerate(calls):
        yield {
            "sid": sid("NO", dice),
            "account_id": call["account_id"],
            "call_id": call["sid"],
            "at": call["started_at"],
            "code": 11200,
            "level": "warning" if number % 4 else "error",
            "message": "The application answered 500.",
            "request_method": "POST",
            "request_url": "https://app.example/voice",
            "data": "{}",
        }


def request_rows(calls: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for call in calls:
        yield {
            "request_id": call["sid"],
            "attempt": 1,
            "call_id": call["sid"],
            "account_id": call["account_id"],
            "purpose": "document",
            "at": call["started_at"],
            "method": "POST",
            "url": "https://app.example/voice",
            "parameters": [["CallSid", call["sid"]], ["CallStatus", "ringing"]],
            "request_headers": "[]",
            "status": 200,
            "response_headers": [["Content-Type", "text/xml"]],
            "response_body": "<Response/>",
            "remote_address": "192.0.2.7:443",
            "duration_ms": 12.5,
            "connect_ms": 1.0,
            "first_byte_ms": 12.0,
            "error_code": 0,
            "error_message": "",
        }


def event_rows(calls: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Two of them move the status, as of any call; the others are its SIP messages."""
    for call in calls:
        for seq in range(1, 9):
            yield {
                "call_id": call["sid"],
                "seq": seq,
                "at": call["started_at"] + timedelta(milliseconds=70 * seq),
                "kind": {3: "ringing", 6: "answered"}.get(seq, "sip"),
                "status": {3: "ringing", 6: "in-progress"}.get(seq, ""),
                "data": "{}" if seq in (3, 6) else TRACE,
            }


def fill(calls: int, seed: int = 4, span: timedelta = YEARS) -> list[Account]:
    """Make everything; the first account has the large log."""
    dice = random.Random(seed)
    accounts = [
        Account.objects.create(friendly_name=f"Bench {number}", sid=sid("AC", dice))
        for number in range(ACCOUNTS)
    ]
    recorded: list[dict[str, Any]] = []
    noted: list[dict[str, Any]] = []

    def watched() -> Iterator[dict[str, Any]]:
        made = call_rows([account.sid for account in accounts], calls, dice, span)
        for number, row in enumerate(made):
            if number % 20 == 0:
                recorded.append(row)
            if number % 10 == 0:
                noted.append(row)
            yield row

    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":  # SIDs fall all over their indexes
            cursor.execute("PRAGMA cache_size=-1000000")
    insert(Call, watched())
    insert(Recording, recording_rows(recorded, dice))
    insert(Notification, notification_rows(noted, dice))
    insert(WebhookRequest, request_rows(noted))
    insert(CallEvent, event_rows(noted))
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA cache_size=-16000")  # as in the settings
        else:
            cursor.execute("VACUUM (ANALYZE)")  # as autovacuum does within a minute
    return accounts


def insert(model: type[models.Model], rows: Iterator[dict[str, Any]]) -> None:
    meta = model._meta
    named = {field.attname: field for field in meta.concrete_fields}
    first = next(rows, None)
    if first is None:
        return
    columns = ", ".join(connection.ops.quote_name(named[name].column) for name in first)
    table = connection.ops.quote_name(meta.db_table)
    values = (_prepared(row) for row in _chain(first, rows))
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
        else:
            marks = ", ".join(["?"] * len(first))
            raw = connection.connection
            raw.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", values)


def _chain(first: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield first
    yield from rest


def _prepared(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple([_written(value) for value in row.values()])


def _written(value: Any) -> Any:
    if isinstance(value, datetime) and connection.vendor == "sqlite":
        return value.replace(tzinfo=None).isoformat(" ")
    return json.dumps(value) if isinstance(value, list) else value
