"""What calls work with: the node's ports and the numbers of the call layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sipserver.calls.intake import IntakeConfig
from sipserver.calls.ports import (
    CallLog,
    Clock,
    Directory,
    Media,
    Prompts,
    Recordings,
    SipPort,
    WebhookGateway,
)


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Numbers and texts of the call layer. Seconds are floats.

    ``parting_seconds``: how long a verb may still report after the peer is gone; longer than any
    request takes. ``farewell_seconds``: how long messages after the end still belong to the call.
    ``cleanup_seconds``: bound on freeing what a call holds. ``ring_grace_seconds`` is added to
    Dial's timeout. ``first_response_seconds``: an INVITE with another target behind it that gets
    no response at all for so long is given up. ``refer_seconds``: how long a transfer may take
    that says nothing. ``transfer_watch_seconds``: how long the outcome of a transfer is waited for
    after its call has ended. ``transferor_seconds``: how long a peer that was transferred may
    take to hang up (sip-domain.md section 12.2).
    """

    node: str
    user_agent: str
    intake: IntakeConfig
    parting_seconds: float = 17.0
    farewell_seconds: float = 2.0
    cleanup_seconds: float = 2.0
    apology: str = "We are sorry. An application error has occurred. Goodbye."
    apology_seconds: float = 15.0
    ring_grace_seconds: float = 5.0
    first_response_seconds: float = 4.0
    refer_seconds: float = 30.0
    transfer_watch_seconds: float = 60.0
    transferor_seconds: float = 32.0
    ring_tone: str = "us"
    sip_ports: frozenset[int] = frozenset({5060})  # that we listen on


@dataclass(frozen=True, slots=True)
class Environment:
    """The ports of the node that calls work through. ``new_id`` makes unguessable identifiers."""

    settings: CallSettings
    sip: SipPort
    directory: Directory
    log: CallLog
    webhooks: WebhookGateway
    prompts: Prompts
    media: Media
    recordings: Recordings
    clock: Clock
    new_call_sid: Callable[[], str]
    new_id: Callable[[], str]
    random: Callable[[], float]
