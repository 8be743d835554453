"""A REFER that an endpoint sends while it is bridged (sip-domain.md section 12.2)."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sipdomains.contracts import TransferChanged
from sipserver.calls.bridging import join
from sipserver.calls.office import Office
from sipserver.calls.session import CallSession
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.events import InDialogRequest
from sipserver.sip.refer import ReferTo, format_sipfrag, parse_refer_to
from twimlrunner.twiml.redact import without_passwords

log = logging.getLogger(__name__)

_NO_REFER_URL = 13802
_OVER = "terminated;reason=noresource"


@dataclass(slots=True)
class Received:
    """An accepted REFER of ``transferor``; the other leg is the transferee."""

    transferor: CallSession
    transferee: CallSession
    target: str
    number: int
    event_id: int

    def trying(self) -> None:
        """RFC 3515 2.4.4: a NOTIFY follows at once."""
        self._notify(100, "Trying", "active;expires=60")
        self._write()
        self.transferor.event(
            "transfer", {"what": "received", "number": self.number, "target": self.target}
        )

    def end(self, status: int, reason: str) -> None:
        """Tell how it went, and that nothing more will be told."""
        self._notify(status, reason, _OVER)
        self._write(status, "final")
        session = self.transferor
        session.event("transfer", {"what": "ended", "number": self.number, "status": status})

    def _notify(self, status: int, reason: str, state: str) -> None:
        session = self.transferor
        session.env.sip.notify(
            session.usage, format_sipfrag(status, reason), state=state, event_id=self.event_id
        )

    def _write(self, status: int = 0, ended_by: str = "") -> None:
        session = self.transferor
        session.env.log.append(
            TransferChanged(
                call_sid=session.call_sid,
                number=self.number,
                at=session.env.clock.wall(),
                direction="received",
                target=self.target,
                refer_status=202,
                notify_status=status,
                ended_by=ended_by,
            )
        )


def decline(session: CallSession, request: InDialogRequest, message: str) -> None:
    """603: the call stays as it is."""
    session.notify(_NO_REFER_URL, "error", message)
    session.env.sip.respond(request.transaction, 603)


def accept(
    session: CallSession,
    request: InDialogRequest,
    office: Office,
    *,
    has_url: bool,
) -> Received | None:
    """Answer the REFER of a bridged leg. None when there is nothing to be done by the Dial: it was
    refused, or it is an attended transfer, which takes the bridge apart by itself."""
    bridge = session.bridge
    if bridge is None or bridge.handover is not None:
        session.env.sip.respond(request.transaction, 491)
        return None
    try:
        refer_to = parse_refer_to(request.request)
    except RemoteProtocolError as error:
        session.notify(32218, "warning", f"REFER refused: {error.message}")
        session.env.sip.respond(request.transaction, error.status_hint)
        return None
    received = _received(session, bridge.other(session), refer_to, request)
    if _attended(session, refer_to, request, received, office):
        return None
    if not has_url:
        decline(session, request, "The endpoint sent REFER, but Dial has no referUrl.")
        return None
    session.env.sip.respond(request.transaction, 202)
    received.trying()
    return received


def _received(
    session: CallSession, other: CallSession, refer_to: ReferTo, request: InDialogRequest
) -> Received:
    session.transfers += 1
    return Received(
        session,
        other,
        without_passwords(refer_to.verbatim),
        session.transfers,
        request.request.cseq.number,
    )


def _attended(
    session: CallSession,
    refer_to: ReferTo,
    request: InDialogRequest,
    received: Received,
    office: Office,
) -> bool:
    """Whether the REFER replaces another call of the same endpoint, which is here too."""
    replaces = refer_to.replaces
    if replaces is None:
        return False
    sip = session.env.sip
    usage = sip.find_dialog(replaces.call_id, replaces.to_tag, replaces.from_tag)
    consult = office.session_of(usage) if usage is not None else None
    if consult is None:
        return False  # a call elsewhere: the application may know what to do
    bridge, second = session.bridge, consult.bridge
    mine = consult.policy.account_sid == session.policy.account_sid
    if bridge is None or second is None or second is bridge or second.handover or not mine:
        session.notify(32218, "warning", "REFER refused: the call to be replaced is not bridged.")
        sip.respond(request.transaction, 603)
        return True
    sip.respond(request.transaction, 202)
    received.trying()
    one = bridge.hand_over(bridge.other(session))
    other = second.hand_over(second.other(consult))
    received.end(200, "OK")
    office.spawn(join(one, other))
    return True
