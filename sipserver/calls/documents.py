"""LiveDocuments: the interpreter's ``DocumentPort`` for one call, over the webhook gateway."""

from __future__ import annotations

from sipserver.calls.control import LiveCall
from sipserver.calls.session import CallSession
from sipserver.calls.termination import interrupt_cause, termination
from twimlrunner.engine.ports import (
    CallEnded,
    DocumentRequest,
    Fetched,
    FetchFailed,
    FetchResult,
)
from twimlrunner.twiml.content import interpret
from twimlrunner.twiml.errors import TwimlError
from twimlrunner.twiml.redact import without_passwords
from twimlrunner.webhooks.request import standard_parameters

STORED_TEXT = 16_384


class LiveDocuments:
    """A hang-up aborts the fetch under way (CallEnded). A parting request (a verb's last report)
    still goes out, with the call's final status."""

    def __init__(self, session: CallSession, call: LiveCall) -> None:
        self._session = session
        self._call = call

    async def fetch(self, request: DocumentRequest) -> FetchResult:
        session = self._session
        if session.over.done() and not request.parting:
            raise CallEnded
        if request.inline is not None:
            return _inline(request.inline)
        session.event(
            "webhook",
            {
                "url": without_passwords(request.url),
                "method": request.method,
                "reason": request.why,
            },
        )
        status = session.status
        if session.over.done():
            status = termination(interrupt_cause(session.over.result())).status
        parameters = [*standard_parameters(session.call_facts(status)), *request.report]
        work = session.env.webhooks.fetch(
            call_sid=session.call_sid,
            account_sid=session.policy.account_sid,
            url=request.url,
            method=request.method,
            parameters=parameters,
            session=session.http_session,
            verify_tls=session.policy.verify_tls,
        )
        reply = await (work if request.parting else self._call.unless_over(work))
        session.http_session = reply.session
        if session.on_fetched is not None:
            session.on_fetched()
        if reply.error_code:
            return FetchFailed(reply.error_code, reply.error_message, request.url)
        body = reply.body.encode("latin-1")
        return _read(body, reply.content_type, reply.final_url or request.url)


def _inline(text: str) -> FetchResult:
    """A document that REST has given: it has no URL, so that relative ones lead nowhere (15004)."""
    return _read(text.encode("utf-8", "replace"), "text/xml", "")


def _read(body: bytes, content_type: str, url: str) -> FetchResult:
    try:
        document = interpret(body, content_type, url)
    except TwimlError as error:
        return FetchFailed(error.code, f"{error.message} (line {error.line})", url)
    text = without_passwords(body[:STORED_TEXT].decode("utf-8", "replace"))
    return Fetched(document, url, text)
