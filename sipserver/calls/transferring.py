"""A blind transfer that an endpoint asked for, with the ``referUrl`` of Dial.

The document runs on the other leg, the transferee. Without answerOnBridge the transferor is let go
as soon as the document is there; with it the transferor is kept until the transferee is connected
elsewhere, and the two are put together again when that fails (sip-domain.md section 12.2).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from sipserver.calls.bridging import Bridge, has_ended
from sipserver.calls.control import LiveCall
from sipserver.calls.office import Office
from sipserver.calls.outbound import OutboundSession
from sipserver.calls.programs import run_document
from sipserver.calls.received import Received
from sipserver.calls.waiting import first
from twimlrunner.engine.ports import Dialled, DocumentRequest
from twimlrunner.verbs.registry import HANDLERS

FETCH_SECONDS = 20.0  # longer than any fetch


class Transferring:
    """One accepted REFER. Each method returns how Dial ends, or None: the bridge is back."""

    def __init__(
        self,
        call: LiveCall,
        leg: OutboundSession,
        bridge: Bridge,
        refer: Received,
        url: tuple[str, str],
        office: Office,
        news: asyncio.Event,
    ) -> None:
        self._call = call
        self._leg = leg
        self._bridge = bridge
        self._refer = refer
        self._office = office
        self._news = news
        self._request = DocumentRequest(
            url[0], url[1], "refer-url", (("ReferTransferTarget", refer.target),)
        )

    # --- the callee wants the caller to go elsewhere ----------------------------------------

    async def caller(self, keep: bool, done: Dialled) -> Dialled | None:
        """The caller's program goes on with the document."""
        await self._bridge.close("transfer")
        if not keep:
            self._office.spawn(self._dismiss_callee())
            self._leg.detached = True  # it is dismissed when the document is there
            return replace(done, refer_target=self._refer.target)
        session, leg = self._call.session, self._leg
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_bridged() -> None:
            if not connected.done():
                connected.set_result(None)
                self._refer.end(200, "OK")
                self._part(leg)

        session.on_bridged = on_bridged
        try:
            await run_document(session, self._call, self._request, HANDLERS)
        finally:
            session.on_bridged = None
        if connected.done():
            return replace(done, replaced=True)
        self._refer.end(503, "Service Unavailable")
        return await self._back(done)

    async def _dismiss_callee(self) -> None:
        fetched = self._fetched(self._call)
        await first(fetched, self._call.session.over, timeout=FETCH_SECONDS)
        self._refer.end(200, "OK")
        self._dismiss()

    def _dismiss(self) -> None:
        """The transferor is not needed any more, unless REST has taken it away meanwhile."""
        self._leg.dismiss("transferred")

    # --- the caller wants the callee to go elsewhere ----------------------------------------

    async def callee(self, keep: bool, done: Dialled) -> Dialled | None:
        """The callee's leg goes its own way with the document."""
        session, leg = self._call.session, self._leg
        await self._bridge.close("transfer")
        if leg.own_way.done():  # REST has sent it elsewhere in this moment
            self._refer.end(503, "Service Unavailable")
            return done
        if not keep:
            fetched = self._fetched(leg)
            leg.run(self._request)
            await first(fetched, leg.done, session.over, timeout=FETCH_SECONDS)
            self._refer.end(200, "OK")
            return replace(done, replaced=True)
        leg.coming_back = True

        def on_bridged() -> None:
            leg.bridged_elsewhere = True
            self._news.set()

        leg.on_bridged = on_bridged
        leg.run(self._request)
        try:
            while True:
                self._news.clear()
                if leg.bridged_elsewhere:
                    self._refer.end(200, "OK")
                    return replace(done, replaced=True)
                if leg.done.done() or session.over.done() or not leg.detached:
                    break
                if leg.own_way.done():
                    break
                await self._news.wait()
        finally:  # when the caller is redirected meanwhile, there is nobody to come back to
            leg.coming_back = False
            leg.on_bridged = None
        self._refer.end(503, "Service Unavailable")
        if session.over.done():
            return replace(done, caller_gone=True)
        return await self._back(done)

    # --- both -------------------------------------------------------------------------------

    async def _back(self, done: Dialled) -> Dialled | None:
        """The transfer came to nothing: the two hear each other again, if both are still there."""
        if self._call.session.over.done():
            return replace(done, caller_gone=True)
        if has_ended(self._leg) or self._leg.own_way.done():
            return done
        await self._bridge.open()
        return None

    def _part(self, leg: OutboundSession) -> None:
        """The transferor should hang up; if it does not, we do."""
        leg.detached = True
        self._office.later(leg.env.settings.transferor_seconds, self._dismiss)

    def _fetched(self, call: LiveCall | OutboundSession) -> asyncio.Future[None]:
        session = call.session if isinstance(call, LiveCall) else call
        fetched: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def tell() -> None:
            session.on_fetched = None
            if not fetched.done():
                fetched.set_result(None)

        session.on_fetched = tell
        return fetched
