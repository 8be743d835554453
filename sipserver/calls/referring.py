"""Refer: a REFER that we send, and what its NOTIFYs tell (sip-domain.md section 12.1).

The verb waits for the outcome. When the call ends first, the outcome is still watched for a while;
either way the follow-up task settles the transfer's row.
"""

from __future__ import annotations

import asyncio
import logging

from sipdomains.contracts import TransferChanged
from sipserver.calls.session import CallSession
from sipserver.calls.waiting import first
from sipserver.sip.errors import LocalProtocolError
from sipserver.sip.events import Notified
from sipserver.sip.grammar import format_host_port
from sipserver.sip.message import Response
from sipserver.sip.refer import parse_sipfrag, refer_to_value
from twimlrunner.engine.ports import Referred
from twimlrunner.twiml.redact import without_passwords

log = logging.getLogger(__name__)


class Transfer:
    """One REFER of ours. ``settled`` is set by the final response that refuses it, the final
    NOTIFY, or the end of the subscription."""

    def __init__(self, session: CallSession, target: str) -> None:
        session.transfers += 1
        self.number = session.transfers
        self._session = session
        self._target = target
        self.refer_status = 0
        self.notify_status = 0
        self.ended_by = ""
        self.heard_at = asyncio.get_running_loop().time()  # the last news
        self.settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def send(self, refer_to: str) -> None:
        session = self._session
        self._write()
        session.event("transfer", {"what": "sent", "number": self.number, "target": self._target})
        session.on_notified = self._notified
        host = format_host_port(session.env.sip.local_host(session.flow), None)
        session.env.sip.refer(
            session.usage,
            refer_to,
            referred_by=f"<sip:{session.policy.domain_name or host}>",
            on_final=self._answered,
        )

    def result(self, ended_by: str) -> Referred:
        return Referred(self.refer_status, self.notify_status, self.ended_by or ended_by)

    def end(self, ended_by: str) -> None:
        """Settle the row; nothing more is expected."""
        session = self._session
        self.ended_by = self.ended_by or ended_by
        self._write()
        session.event(
            "transfer",
            {"what": "ended", "number": self.number, "by": self.ended_by,
             "status": self.notify_status or self.refer_status},
        )  # fmt: skip

    async def watch(self) -> None:
        """The call has ended: its transfer may still be told of."""
        await first(self.settled, timeout=self._session.env.settings.transfer_watch_seconds)
        self.end("hangup")

    def _answered(self, status: int, response: Response | None) -> None:
        self._heard()
        self.refer_status = status if response is not None else 0
        if status >= 300:
            self._settle("refused" if response is not None else "timeout")
        else:
            self._write()

    def _notified(self, event: Notified) -> None:
        self._heard()
        fragment = parse_sipfrag(event.request.content_type, event.request.body)
        if fragment is not None:
            self.notify_status = fragment.status
            self._session.event(
                "transfer",
                {"what": "notified", "number": self.number, "status": fragment.status},
            )
        if fragment is not None and fragment.status >= 200:
            self._settle("final")
        elif event.over:
            self._settle("terminated")
        else:
            self._write()

    def _heard(self) -> None:
        self.heard_at = asyncio.get_running_loop().time()

    def _settle(self, ended_by: str) -> None:
        if not self.settled.done():
            self.ended_by = ended_by
            self.settled.set_result(None)

    def _write(self) -> None:
        session = self._session
        session.env.log.append(
            TransferChanged(
                call_sid=session.call_sid,
                number=self.number,
                at=session.env.clock.wall(),
                direction="sent",
                target=self._target,
                refer_status=self.refer_status,
                notify_status=self.notify_status,
                ended_by=self.ended_by,
            )
        )


async def refer(session: CallSession, target: str) -> Referred:
    """Send it and wait for the outcome, at most ``refer_seconds`` after the last news."""
    if session.over.done():
        return Referred(0, 0, "hangup")
    try:
        refer_to = refer_to_value(target)
    except LocalProtocolError as error:
        session.notify(32110, "warning", f"Refer: {error}")
        return Referred(0, 0, "refused")
    transfer = Transfer(session, without_passwords(target)[:255])
    transfer.send(refer_to)
    try:
        await _outcome(transfer, session)
    except asyncio.CancelledError:
        transfer.end("canceled")
        raise
    if transfer.settled.done():
        transfer.end(transfer.ended_by)
        return transfer.result("")
    if session.over.done():
        session.after_end = transfer.watch()
        return transfer.result("hangup")
    transfer.end("timeout")
    return transfer.result("timeout")


async def _outcome(transfer: Transfer, session: CallSession) -> None:
    """Until it is settled, the call is over, or nothing was heard for too long."""
    loop = asyncio.get_running_loop()
    while not (transfer.settled.done() or session.over.done()):
        left = transfer.heard_at + session.env.settings.refer_seconds - loop.time()
        if left <= 0:
            return
        await first(transfer.settled, session.over, timeout=left)
