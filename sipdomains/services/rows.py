"""Log records as table rows, and the SQL that writes them.

The call log is the busiest writer by far, so it goes around the ORM: one prepared statement per
table, run over a list of tuples. The columns still come from the models. Text is clipped to the
column and cleaned of what a database refuses (NUL, lone surrogates, NaN): what a hostile peer sends
must not cost the batch. What searches look into is stored without passwords.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models
from django.db.backends.utils import CursorWrapper

from sipdomains import sids
from sipdomains.contracts import (
    CallbackPromised,
    CallClosed,
    CallEventRecord,
    CallOpened,
    NotificationRecord,
    RecordingStarted,
    WebhookAttempt,
)
from sipdomains.models import (
    Account,
    Call,
    CallEvent,
    Notification,
    OutboxMessage,
    Recording,
    SipDomain,
    WebhookRequest,
)
from sipdomains.models.fields import MAX_URL_LENGTH
from sipdomains.redaction import masked, masked_json

Row = tuple[Any, ...]

_URL_INVALID = 11100  # errors.md section 4


def time_column(at: float | None) -> Any:
    """Seconds since the epoch, as the database at hand takes them.

    Raises ValueError or OverflowError for what is no time.
    """
    if at is None:
        return None
    return connection.ops.adapt_datetimefield_value(datetime.fromtimestamp(at, UTC))


_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=str).encode


def clean_text(text: str) -> str:
    """``text`` without what PostgreSQL or UTF-8 cannot hold."""
    if text.isascii():
        return text.replace("\0", "\ufffd") if "\0" in text else text
    return (
        text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(str(name)): _clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, float) and not -1e308 < value < 1e308:
        return None
    return value


def to_json(value: Any) -> str:
    """JSON text that every database takes."""
    try:
        text = _encode(value)
    except ValueError:  # NaN or infinity
        return _encode(_clean(value))
    if "\\u0000" in text or "\\ud" in text:
        return _encode(_clean(value))
    return text


class Table:
    """The insert statement of one model; rows that are there already are left alone.

    ``weak`` columns hold SIDs of rows that may be gone by now: NULL is stored then.
    """

    def __init__(
        self,
        model: type[models.Model],
        columns: Sequence[str],
        weak: Mapping[str, type[models.Model]] | None = None,
    ) -> None:
        fields = [model._meta.get_field(name) for name in columns]
        names = ", ".join(f'"{field.column}"' for field in fields)  # type: ignore[union-attr] # plain columns
        marks = ", ".join(_mark((weak or {}).get(name)) for name in columns)
        self._sql = (
            f'INSERT INTO "{model._meta.db_table}" ({names}) VALUES ({marks})'  # noqa: S608 - names of our models
            " ON CONFLICT DO NOTHING"
        )

    def insert(self, cursor: CursorWrapper, rows: Sequence[Row]) -> int:
        """How many rows were new."""
        if not rows:
            return 0
        cursor.executemany(self._sql, rows)
        return int(cursor.rowcount)


def _mark(target: type[models.Model] | None) -> str:
    if target is None:
        return "%s"
    # Within the insert: a query of its own for each batch would cost more than the rows.
    return f'(SELECT "sid" FROM "{target._meta.db_table}" WHERE "sid" = %s)'  # noqa: S608 - a name of our models


def _limits(model: type[models.Model]) -> Callable[[str, str], str]:
    lengths = {
        field.name: field.max_length
        for field in model._meta.concrete_fields
        if getattr(field, "max_length", None)
    }

    def clip(name: str, text: str) -> str:
        return clean_text(text)[: lengths[name]]

    return clip


_clip_call = _limits(Call)
_clip_webhook = _limits(WebhookRequest)
_clip_notification = _limits(Notification)
_clip_outbox = _limits(OutboxMessage)
_clip_recording = _limits(Recording)

CALLS = Table(
    Call,
    (
        "sid", "account", "domain", "domain_name", "parent", "node", "direction", "from_uri",
        "to_uri", "status", "cause", "reason", "error_code", "sip_status", "started_at",
        "answered_at", "ended_at", "updated_at", "duration", "sip_call_id", "from_tag", "username",
        "source_ip", "source_port", "transport", "user_agent", "headers", "media", "callback",
    ),
    weak={"account": Account, "domain": SipDomain},
)  # fmt: skip
EVENTS = Table(CallEvent, ("call", "seq", "at", "kind", "status", "data"))
WEBHOOKS = Table(
    WebhookRequest,
    (
        "request_id", "attempt", "call", "account", "purpose", "at", "method", "url", "parameters",
        "request_headers", "status", "response_headers", "response_body", "remote_address",
        "duration_ms", "connect_ms", "first_byte_ms", "error_code", "error_message",
    ),
)  # fmt: skip
NOTIFICATIONS = Table(
    Notification,
    (
        "sid", "call", "account", "at", "code", "level", "message", "request_method",
        "request_url", "data",
    ),
)  # fmt: skip

OUTBOX = Table(
    OutboxMessage,
    (
        "id", "stream", "position", "purpose", "call", "account", "created_at", "method", "url",
        "parameters", "state", "attempts", "next_at", "error_code", "error_message",
    ),
)  # fmt: skip
RECORDINGS = Table(
    Recording,
    (
        "sid", "account", "call", "source", "channels", "track", "trim", "status", "started_at",
        "size", "file", "node", "spool_path", "ended_by", "error_code", "reason", "callback",
        "published",
    ),
    weak={"account": Account},
)  # fmt: skip


def call_row(record: CallOpened, ending: Row, updated_at: Any) -> Row:
    """``updated_at`` is a column value already. ``ending``: status, answered_at, ended_at, cause,
    reason, error_code, sip_status, duration, media, as :func:`ending_values` makes it."""
    status, answered_at, ended_at, cause, reason, error_code, sip_status, seconds, media = ending
    sip = record.sip
    clip = _clip_call
    return (
        record.call_sid, record.account_sid or None, record.domain_sid or None,
        clip("domain_name", record.domain_name),
        record.parent_call_sid or None, record.node, record.direction,
        clip("from_uri", masked(record.from_)), clip("to_uri", masked(record.to)),
        status, cause, reason,
        error_code, sip_status, time_column(record.at), answered_at, ended_at,
        updated_at, seconds, clip("sip_call_id", sip.get("call_id", "")),
        clip("from_tag", sip.get("from_tag", "")), clip("username", sip.get("username", "")),
        clip("source_ip", sip.get("source_ip", "")), sip.get("source_port", 0),
        clip("transport", sip.get("transport", "")), clip("user_agent", sip.get("user_agent", "")),
        to_json(masked_json(sip.get("headers", []))), media, to_json(record.callback),
    )  # fmt: skip


def ending_values(closed: CallClosed, seconds: int | None) -> Row:
    """The columns that a close sets, in the order that :func:`call_row` explains."""
    return (
        closed.status,
        time_column(closed.answered_at),
        time_column(closed.at),
        _clip_call("cause", closed.cause),
        _clip_call("reason", closed.reason),
        closed.error_code,
        closed.sip_status,
        seconds,
        to_json(closed.media),
    )


def event_row(record: CallEventRecord) -> Row:
    return (
        record.call_sid, record.seq, time_column(record.at), record.kind, record.status,
        to_json(record.data),
    )  # fmt: skip


def closed_event_row(record: CallClosed) -> Row:
    """A close is a fact like any other; its event holds what a call stored later needs of it."""
    data = {
        "cause": record.cause,
        "reason": record.reason,
        "sip_status": record.sip_status,
        "error_code": record.error_code,
        "answered_at": record.answered_at,
        "media": record.media,
    }
    at = time_column(record.at)
    return (record.call_sid, record.seq, at, "closed", record.status, to_json(data))


def webhook_row(record: WebhookAttempt) -> Row:
    clip = _clip_webhook
    return (
        clip("request_id", record.request_id), record.attempt, record.call_sid or None,
        record.account_sid or None, clip("purpose", record.purpose), time_column(record.at),
        clip("method", record.method), clip("url", record.url), to_json(record.parameters),
        to_json(record.request_headers), record.status, to_json(record.response_headers),
        clean_text(record.response_body), clip("remote_address", record.remote_address),
        record.duration_ms, record.connect_ms, record.first_byte_ms, record.error_code,
        clip("error_message", record.error_message),
    )  # fmt: skip


def outbox_row(record: CallbackPromised) -> Row:
    """One whose URL does not fit has failed from the start: half a URL is another one."""
    clip = _clip_outbox
    at = time_column(record.at)
    ending: Row = ("pending", 0, at, 0, "")
    if len(record.url) > MAX_URL_LENGTH:
        ending = ("failed", 0, at, _URL_INVALID, f"the URL is longer than {MAX_URL_LENGTH}")
    return (
        record.message_id, clip("stream", record.stream), record.position,
        clip("purpose", record.purpose), record.call_sid or None, record.account_sid or None, at,
        record.method, clip("url", record.url), to_json(record.parameters), *ending,
    )  # fmt: skip


def recording_row(record: RecordingStarted, published: int) -> Row:
    """``published``: how many of its callbacks were promised with it."""
    clip = _clip_recording
    return (
        record.recording_sid, record.account_sid or None, record.call_sid or None,
        clip("source", record.source), record.channels, clip("track", record.track), record.trim,
        "in-progress", time_column(record.at), 0, "", clip("node", record.node),
        clip("spool_path", record.path), "", 0, "", to_json(record.callback), published,
    )  # fmt: skip


def notification_row(record: NotificationRecord) -> Row:
    clip = _clip_notification
    identity = to_json(
        [record.at, record.code, record.level, record.message, record.call_sid, record.account_sid,
         record.request_method, record.request_url]
    )  # fmt: skip
    digest = hashlib.blake2b(identity.encode(), digest_size=16).digest()
    return (
        sids.make(sids.NOTIFICATION, digest), record.call_sid or None, record.account_sid or None,
        time_column(record.at), record.code, record.level, clean_text(masked(record.message)),
        clip("request_method", record.request_method), clip("request_url", record.request_url),
        to_json(record.data),
    )  # fmt: skip
