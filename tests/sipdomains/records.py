"""Log records of whole calls, as the live side makes them."""

from __future__ import annotations

import hashlib
from typing import Any

from sipdomains.contracts import (
    CallClosed,
    CallEventRecord,
    CallOpened,
    LogRecord,
    NotificationRecord,
    WebhookAttempt,
)

START = 1_800_000_000.25


def call_sid(name: str) -> str:
    return "CA" + hashlib.md5(name.encode()).hexdigest()


def opened(name: str, *, account: str = "", domain: str = "", **changes: Any) -> CallOpened:
    values: dict[str, Any] = {
        "call_sid": call_sid(name),
        "account_sid": account,
        "domain_sid": domain,
        "domain_name": "pbx.example.net",
        "node": "boot",
        "at": START,
        "direction": "inbound",
        "from_": "sip:alice@example.net",
        "to": "sip:100@pbx.example.net",
        "status": "ringing",
        "sip": {
            "call_id": f"{name}@phone",
            "from_tag": "tag",
            "username": "alice",
            "source_ip": "192.0.2.9",
            "source_port": 5060,
            "transport": "udp",
            "user_agent": "Phone/1.0",
            "headers": [["X-Account", "42"]],
        },
    }
    return CallOpened(**(values | changes))


def event(name: str, seq: int, kind: str = "sip", status: str = "", **data: Any) -> CallEventRecord:
    return CallEventRecord(call_sid(name), seq, START + seq, kind, data, status)


def closed(name: str, seq: int = 9, **changes: Any) -> CallClosed:
    values: dict[str, Any] = {
        "call_sid": call_sid(name),
        "seq": seq,
        "at": START + 60,
        "status": "completed",
        "cause": "caller-hangup",
        "reason": "The caller hung up.",
        "sip_status": 200,
        "answered_at": START + 3,
        "media": {"packets_sent": 2850},
    }
    return CallClosed(**(values | changes))


def call_records(name: str, *, account: str = "", domain: str = "") -> list[LogRecord]:
    """An answered call with everything that can be said about one."""
    sid = call_sid(name)
    return [
        opened(name, account=account, domain=domain),
        event(name, 1, text="INVITE sip:100@pbx.example.net SIP/2.0"),
        event(name, 2, "webhook", request_id=f"r-{name}"),
        WebhookAttempt(
            f"r-{name}", 1, sid, account, "document", START + 1, "POST", "http://app.example/",
            [("CallSid", sid), ("X", "1"), ("X", "2")], status=200, response_body="<Response/>",
            duration_ms=12.5,
        ),
        event(name, 3, "answered", "in-progress"),
        NotificationRecord(START + 4, 13510, "warning", "Say loop", sid, account),
        event(name, 4, "verb-started", verb="Say"),
        closed(name, 5),
    ]  # fmt: skip
