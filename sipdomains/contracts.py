"""Messages that cross a process border, and the names of Celery tasks.

Pure: standard library only. Everything here is a frozen dataclass that goes to and from
plain JSON values with :func:`to_wire` and :func:`from_wire`. Unknown fields are ignored (a newer
sender), an unknown kind or version is refused with :class:`ContractError`. No secrets travel:
a worker looks up an account's token by its SID.

Two families:

* *node bus* messages (``FetchDocument``, ``FetchReply``, ``DirectoryChanged``,
  ``CommandSubmitted``, ``CallDue``): see architecture section 8.1;
* *log records* (``CallOpened``, ``CallEventRecord``, ``CallClosed``, ``NotificationRecord``,
  ``WebhookAttempt``): what the live side asks ``sipdomains.services.calls`` to write. They never
  leave a process today, but a journal may store them, so they obey the same rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

VERSION = 1

# Celery task names: code enqueues by these constants, never by importing a task.
TASK_FETCH_DOCUMENTS = "twimlrunner.fetch_documents"
TASK_REAP_DEAD_NODES = "sipdomains.reap_dead_nodes"
TASK_FORGET_OLD = "sipdomains.forget_old"
TASK_KEEP_SEGMENTS = "sipdomains.keep_segments"
TASK_DELIVER_CALLBACKS = "twimlrunner.deliver_callbacks"
TASK_FOLLOW_UP_TRANSFER = "twimlrunner.follow_up_transfer"
TASK_REPEAT_REQUEST = "twimlrunner.repeat_request"
TASK_BENCH_STEP = "twimlrunner.bench_step"
TASK_TEST_CALL = "sipserver.test_call"

QUEUE_TWIML = "twiml"
QUEUE_CALLBACKS = "callbacks"
QUEUE_HOUSEKEEPING = "housekeeping"


class ContractError(ValueError):
    """A message that this version cannot read: unknown kind, wrong version, missing field."""


@dataclass(frozen=True, slots=True)
class FetchDocument:
    """Ask a worker for a TwiML document (webhooks.md sections 1-3).

    ``parameters`` are ordered (name, value) pairs, repeated names allowed. ``deadline`` is wall
    clock, seconds since the epoch: past it nobody waits for the answer. ``session`` is the call's
    opaque HTTP state (cookies, authentication met so far) as the last reply returned it.
    ``request_id`` also serves as idempotency token of this logical request.
    """

    KIND: ClassVar[str] = "fetch_document"
    request_id: str
    node: str
    call_sid: str
    account_sid: str
    url: str
    method: str
    parameters: list[tuple[str, str]]
    deadline: float
    session: dict[str, Any] = field(default_factory=dict)
    verify_tls: bool = True


@dataclass(frozen=True, slots=True)
class FetchReply:
    """Outcome of one :class:`FetchDocument`, after retries and redirects.

    ``error_code`` 0 means success: ``body`` is the document text's bytes decoded as latin-1 (so
    that any byte survives JSON), ``content_type`` as received, ``final_url`` the base for relative
    URLs. Otherwise ``error_code`` is from errors.md section 4 and ``error_message`` says why in
    the operator's words; ``status`` is the last HTTP status or 0.
    """

    KIND: ClassVar[str] = "fetch_reply"
    request_id: str
    node: str
    body: str = ""
    content_type: str = ""
    final_url: str = ""
    status: int = 0
    attempts: int = 0
    error_code: int = 0
    error_message: str = ""
    session: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CancelFetch:
    """The call is over: abort the fetch if it has not ended (best effort)."""

    KIND: ClassVar[str] = "cancel_fetch"
    request_id: str


@dataclass(frozen=True, slots=True)
class DirectoryChanged:
    """Configuration changed: drop what is cached about ``domain`` (``*`` = everything)."""

    KIND: ClassVar[str] = "directory_changed"
    domain: str


@dataclass(frozen=True, slots=True)
class CommandSubmitted:
    """A hint to the node that carries the call: a ``CallCommand`` row waits for it (ADR 18)."""

    KIND: ClassVar[str] = "command_submitted"
    call_sid: str
    command_id: int


@dataclass(frozen=True, slots=True)
class CallDue:
    """A hint to one living node: a ``CallOrder`` row is to be taken at ``due_at`` (wall clock)."""

    KIND: ClassVar[str] = "call_due"
    call_sid: str
    due_at: float


# --- what REST asks of live calls (ADR 18) -----------------------------------------------------

# Kinds of ``CallCommand``, with their payloads. ``redirect`` runs another document: ``url`` and
# ``method``, or ``twiml``. ``hangup`` and ``cancel`` end the call, ``cancel`` only before it is
# answered; they have no payload. ``redirect`` and ``update`` may also change, each by its presence:
# ``callback`` ({url, method}: whom to tell of progress), ``time_limit`` (seconds since the call
# began), ``fallback_url`` and ``fallback_method``. Those of recordings: ``sipserver.calls``.
REDIRECT = "redirect"
HANGUP = "hangup"
CANCEL = "cancel"
UPDATE = "update"
RECORDING_START = "recording-start"
RECORDING_UPDATE = "recording-update"
COMMAND_KINDS = (REDIRECT, HANGUP, CANCEL, UPDATE, RECORDING_START, RECORDING_UPDATE)

CALL_NOT_IN_PROGRESS = 21220  # errors.md section 2
QUEUE_TIMEOUT = 22001
QUEUE_FULL = 22005


@dataclass(frozen=True, slots=True)
class RecordingWish:
    """Record a call that REST creates from its answer on. ``callback`` as in ``CallOpened``."""

    channels: int = 1
    track: str = "both"
    trim: bool = True
    callback: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OriginatePlan:
    """A call that REST creates, as ``CallOrder.plan`` stores it (rest-api.md section 3).

    ``to`` and ``from_`` as given; ``caller_id`` overrides what ``from_`` shows. ``timeout`` of
    ringing and ``time_limit`` of the call in seconds. What runs when it is answered: ``url`` and
    ``method``, or ``twiml``. Credentials for the far side are columns of their own, encrypted.
    ``node`` is the boot id of the node that the order was left to, whose phone it is for, or empty.
    """

    to: str
    from_: str
    url: str = ""
    method: str = "POST"
    twiml: str = ""
    fallback_url: str = ""
    fallback_method: str = "POST"
    caller_id: str = ""
    timeout: int = 60
    time_limit: int = 14_400
    send_digits: str = ""
    recording: RecordingWish | None = None
    node: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> OriginatePlan:
        """Unknown fields are ignored (a newer writer). Raises ContractError."""
        known = {one.name: values[one.name] for one in fields(cls) if one.name in values}
        try:
            if known.get("recording") is not None:
                known["recording"] = RecordingWish(**known["recording"])
            return cls(**known)
        except TypeError as error:
            raise ContractError(f"originate plan: {error}") from None


# --- log records -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallOpened:
    """A call exists. Committed before any 18x or 200 leaves (architecture section 1, rule 5).

    ``account_sid`` and ``domain_sid`` are empty for a refusal that belongs to no account (unknown
    domain). ``at`` is wall clock, seconds since the epoch. ``sip`` holds what webhooks and pages
    show: ``call_id from_tag username source_ip source_port transport user_agent headers`` (headers
    as ordered pairs). ``callback`` is {url, method, events} of the status callback, so that the
    sweep can keep the promise when the node cannot.
    """

    KIND: ClassVar[str] = "call_opened"
    call_sid: str
    account_sid: str
    domain_sid: str
    domain_name: str
    node: str
    at: float
    direction: str
    from_: str
    to: str
    status: str
    sip: dict[str, Any]
    parent_call_sid: str = ""
    callback: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallEventRecord:
    """One fact about a call. ``seq`` rises by one per call; (call, seq) is unique, replay is safe.

    ``kind`` is one of :data:`EVENT_KINDS`; ``status`` non-empty moves the call's status along the
    allowed transitions. ``data`` is JSON and never holds secrets or gathered digits.
    """

    KIND: ClassVar[str] = "call_event"
    call_sid: str
    seq: int
    at: float
    kind: str
    data: dict[str, Any] = field(default_factory=dict)
    status: str = ""


@dataclass(frozen=True, slots=True)
class CallClosed:
    """The call's final state, applied once by compare-and-set.

    ``cause`` is a slug of ``sipserver.calls.termination``; ``reason`` the same in words for the
    operator; ``sip_status`` the final SIP answer to the INVITE (0 if none was sent); ``media`` the
    last media statistics (see ``sipserver.media.protocol``), with their course under ``series``
    (see ``sipserver.calls.quality_log``).
    """

    KIND: ClassVar[str] = "call_closed"
    call_sid: str
    seq: int
    at: float
    status: str
    cause: str
    reason: str
    sip_status: int = 0
    error_code: int = 0
    answered_at: float | None = None
    media: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MediaMeasured:
    """How the media of a call does while it goes on; ``media`` as in :class:`CallClosed`. Not a
    fact of the log: the newest one counts, and one that is lost is missed by nobody."""

    KIND: ClassVar[str] = "media_measured"
    call_sid: str
    media: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NotificationRecord:
    """Something the customer or operator should read (errors.md). ``level`` error or warning."""

    KIND: ClassVar[str] = "notification"
    at: float
    code: int
    level: str
    message: str
    call_sid: str = ""
    account_sid: str = ""
    request_method: str = ""
    request_url: str = ""
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallbackPromised:
    """An application will be told (webhooks.md sections 4.2, 4.3): becomes an outbox row in the
    same commit as the facts around it. ``message_id`` is the idempotency token; messages of one
    ``stream`` are delivered in the order of ``position`` (from 0); a position is promised once."""

    KIND: ClassVar[str] = "callback_promised"
    message_id: str
    stream: str
    position: int
    purpose: str
    call_sid: str
    account_sid: str
    at: float
    method: str
    url: str
    parameters: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """A recording exists from now on; committed before the first sample. ``path`` is the spool file
    on the node's machine. ``callback`` as in :class:`CallOpened`."""

    KIND: ClassVar[str] = "recording_started"
    recording_sid: str
    call_sid: str
    account_sid: str
    node: str
    at: float
    source: str
    channels: int
    track: str
    trim: bool
    path: str
    callback: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TransferChanged:
    """A REFER was sent or received, or something became known of it. Applied in any order: the
    furthest state wins. ``number`` counts the transfers of one call from 1; ``direction`` sent or
    received; ``ended_by`` empty while it goes on, else as ``twimlrunner.engine.ports.Referred``.
    """

    KIND: ClassVar[str] = "transfer_changed"
    call_sid: str
    number: int
    at: float
    direction: str
    target: str
    refer_status: int = 0
    notify_status: int = 0
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class WebhookAttempt:
    """One HTTP request to a customer, finished or failed (one row per attempt).

    ``purpose`` is ``document``, ``status-callback``, ``recording-callback`` or ``repeat`` (by an
    operator, answers nothing). Times: ``at`` wall clock start,
    ``duration_ms`` whole attempt, ``connect_ms`` and ``first_byte_ms`` from its start (0 unknown).
    ``response_body`` is cut to the stored limit.
    """

    KIND: ClassVar[str] = "webhook_attempt"
    request_id: str
    attempt: int
    call_sid: str
    account_sid: str
    purpose: str
    at: float
    method: str
    url: str
    parameters: list[tuple[str, str]]
    request_headers: list[tuple[str, str]] = field(default_factory=list)
    status: int = 0
    response_headers: list[tuple[str, str]] = field(default_factory=list)
    response_body: str = ""
    remote_address: str = ""
    duration_ms: float = 0.0
    connect_ms: float = 0.0
    first_byte_ms: float = 0.0
    error_code: int = 0
    error_message: str = ""


EVENT_KINDS = (
    "sip",  # one message: data = {dir: in|out, peer, local, transport, text, summary}
    "accepted",  # passed authentication: data = {username, acl}
    "ringing",
    "answered",
    "webhook",  # a document was asked for: data = {request_id, method, url, reason}
    "document",  # a document begins: data = {url, verbs: [names], body}
    "verb-started",  # data = {index, verb, line, summary}
    "verb-ended",  # data = {index, verb, outcome}
    "initiated",  # our INVITE goes out: data = {target}
    "dial",  # data = {what: ringing|answered|failed|screening|bridged|ended, call_sid, ...}
    "bridged",  # data = {with}
    "unbridged",  # data = {with, why}
    "recording",  # data = {what: started|paused|resumed|ended, recording_sid, ...}
    "transfer",  # data = {what, number, status, ...}
    "media",  # data = {what: connected|first-packet|hold|resume|stats|lost, ...}
    "interrupt",  # data = {what}
    "command",  # REST asked for something: data = {what, by, ...}
    "closed",
)

CALL_STATUSES = (
    "queued", "initiated", "ringing", "in-progress", "completed", "busy", "failed", "no-answer",
    "canceled",
)  # fmt: skip
FINAL_STATUSES = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})

LogRecord = (
    CallOpened
    | CallEventRecord
    | CallClosed
    | MediaMeasured
    | NotificationRecord
    | WebhookAttempt
    | CallbackPromised
    | RecordingStarted
    | TransferChanged
)
BusMessage = (
    FetchDocument | FetchReply | CancelFetch | DirectoryChanged | CommandSubmitted | CallDue
)
Message = LogRecord | BusMessage

_KINDS: dict[str, type[Any]] = {
    cls.KIND: cls
    for cls in (
        FetchDocument, FetchReply, CancelFetch, DirectoryChanged, CommandSubmitted, CallDue,
        CallOpened, CallEventRecord, CallClosed, NotificationRecord, WebhookAttempt,
        CallbackPromised, RecordingStarted, TransferChanged,
    )
}  # fmt: skip

_PAIR_FIELDS = frozenset({"parameters", "request_headers", "response_headers"})
_FIELD_NAMES = {cls: tuple(item.name for item in fields(cls)) for cls in _KINDS.values()}


def to_wire(message: Message) -> dict[str, Any]:
    """A JSON-ready dict: the fields plus ``kind`` and ``v``. Shallow: shares lists and dicts."""
    wire = {name: getattr(message, name) for name in _FIELD_NAMES[type(message)]}
    wire["kind"] = message.KIND
    wire["v"] = VERSION
    return wire


def from_wire(wire: Mapping[str, Any]) -> Message:
    """The message of a dict made by :func:`to_wire`; raises :class:`ContractError`."""
    if wire.get("v") != VERSION:
        raise ContractError(f"message version {wire.get('v')!r} is not {VERSION}")
    cls = _KINDS.get(str(wire.get("kind")))
    if cls is None:
        raise ContractError(f"unknown message kind {wire.get('kind')!r}")
    values = {name: wire[name] for name in _FIELD_NAMES[cls] if name in wire}
    try:
        for name in _PAIR_FIELDS & values.keys():
            values[name] = [(str(key), str(text)) for key, text in values[name]]
        return cls(**values)  # type: ignore[no-any-return] # one of _KINDS
    except (TypeError, ValueError) as error:
        raise ContractError(f"{cls.KIND}: {error}") from None
