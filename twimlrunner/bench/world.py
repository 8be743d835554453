"""The bench's call: says into a transcript what a real one would say into a phone.

Implements ``CallControl``, ``DocumentPort`` and ``ProgramLog`` of ``twimlrunner.engine.ports``. It
follows a script (moves of the operator, answers of the application); where the script ends it says
what it waits for and waits for ever: whoever runs the program stops it there.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from sipdomains.bench import DIAL, KEYS, MAX_ENTRIES, RECORD, REFER, BenchSetup, Entry, Move
from sipdomains.contracts import FetchReply
from twimlrunner.engine.ports import (
    AudioUrl,
    CallbackTarget,
    CallEnded,
    Clip,
    Dialled,
    DialPlan,
    DialTarget,
    DocumentRequest,
    Fetched,
    FetchFailed,
    FetchResult,
    Recorded,
    RecordPlan,
    Referred,
)
from twimlrunner.twiml.content import interpret
from twimlrunner.twiml.errors import TwimlError
from twimlrunner.twiml.redact import without_passwords
from twimlrunner.webhooks.request import CallFacts, standard_parameters

CHARACTERS_PER_SECOND = 15.0  # of speech
CLIP_SECONDS = 3.0  # of a sound file: it is not fetched
KEY_SECONDS = 0.3
TICK, MOMENT = 0.25, 0.001
SHOWN_TEXT = 16_384

_SIP_STATUS = {"completed": 200, "busy": 486, "no-answer": 487, "failed": 503}
_REFERRED = {
    "accepted": Referred(202, 200, "final"),
    "busy": Referred(202, 486, "final"),
    "refused": Referred(603, 0, "refused"),
}

Wants = dict[str, Any]
"""``kind``: one of ``sipdomains.bench.ANSWERS``, or ``fetch`` with a request, or ``stop``."""


class BenchWorld:
    """``wanted`` is done when the script has ended: the answer that is missing. The first ``given``
    replies were not asked for: they stand for a pasted document."""

    def __init__(
        self,
        setup: BenchSetup,
        moves: Sequence[Move],
        replies: Sequence[FetchReply],
        now: Callable[[], float],
        *,
        given: int = 0,
    ) -> None:
        self.setup = setup
        self.entries: list[Entry] = []
        self.wanted: asyncio.Future[Wants] = asyncio.get_running_loop().create_future()
        self.answered = False
        self.type_ahead = setup.type_ahead
        self._moves = deque(moves)
        self._replies = deque(replies)
        self._now = now
        self._answered = -given  # the number of the next reply; below 0: it was not asked for
        self._keys: deque[str] = deque()
        self._busy = 0  # prompts that are being played
        self._running = False  # a verb
        self._asked = False  # it has had its keys
        self._over = False
        self._things = 0

    # --- CallControl ----------------------------------------------------------------------------

    async def ensure_answered(self) -> None:
        self._unless_over()
        if not self.answered:
            self.answered = True
            self.tell("answered")

    async def play(self, clip: Clip) -> None:
        self._unless_over()
        if isinstance(clip, AudioUrl):
            self.tell("play", url=without_passwords(clip.url))
            await self._pass(CLIP_SECONDS)
            return
        self.tell(
            "say", text=clip.text, voice=clip.voice, language=clip.language, ssml=bool(clip.ssml)
        )
        await self._pass(max(0.5, len(clip.text) / CHARACTERS_PER_SECOND))

    async def pause(self, seconds: float) -> None:
        self._unless_over()
        if seconds and self._running:
            self.tell("pause", seconds=seconds)
        await self._pass(seconds)

    async def send_digits(self, digits: str) -> None:
        self._unless_over()
        self.tell("digits", digits=digits)
        await self._pass(KEY_SECONDS * len(digits))

    async def next_digit(self, timeout: float | None) -> str | None:
        self._unless_over()
        if timeout == 0:
            return self._keys.popleft() if self._keys else None
        await self._until_quiet()  # prompts are heard to their end; then the question is asked
        if not self._keys and not self._asked:
            await self._ask_for_keys()
        if self._keys:
            await asyncio.sleep(KEY_SECONDS)
            return self._keys.popleft()
        if timeout is None:
            await self._for_ever()  # whoever asks so gives up by itself
        await asyncio.sleep(timeout or 0)
        return None

    def forget_digits(self) -> None:
        self._keys.clear()

    async def record(self, plan: RecordPlan) -> Recorded:
        self._unless_over()
        self._would_tell(plan.callback, "the end of the recording")
        move = await self._next(
            {"kind": RECORD, "max_length": plan.max_length, "finish_on": plan.finish_on}
        )
        if move.do == "hangup":
            move = Move("record", seconds=move.seconds, how="hangup")
        seconds = min(move.seconds, plan.max_length)
        ended_by, key = move.how, ""
        if move.how == "key":
            key = move.keys[:1] or plan.finish_on[:1]
            if not key or key not in plan.finish_on:
                ended_by, key = "silence", ""
        elif move.seconds >= plan.max_length and move.how != "hangup":
            ended_by = "max-length"
        self._over = self._over or ended_by == "hangup"
        await self._pass(seconds)
        if not seconds:
            return Recorded("", "", 0, ended_by, key, heard=False, silent=ended_by != "hangup")
        sid, url = self._recording()
        return Recorded(sid, url, seconds, ended_by, key, heard=True)

    async def dial(self, plan: DialPlan) -> Dialled:
        self._unless_over()
        targets = [_target(target) for target in plan.targets]
        for target in plan.targets:
            self._would_tell(target.callback, "the progress of that leg")
            if target.screening is not None:
                self.tell("would", text=f"The called party would first hear {target.screening[0]}.")
        move = await self._next({"kind": DIAL, "targets": targets, "timeout": plan.timeout})
        if move.do == "hangup":
            self._over = True
            return Dialled("canceled", caller_gone=True, kind=plan.targets[-1].kind)
        talked = move.how == "completed"
        if talked and plan.answer_on_bridge:
            await self.ensure_answered()
        seconds = min(move.seconds, plan.time_limit or move.seconds) if talked else 0
        await self._pass(seconds if talked else min(plan.timeout, 5))
        recording = talked and plan.recording is not None
        return Dialled(
            move.how,
            self._sid("CA"),
            seconds,
            bridged=talked,
            recording_url=self._recording()[1] if recording else "",
            sip_call_id=self._sid("")[:16],
            sip_status=_SIP_STATUS.get(move.how, 0),
            kind=plan.targets[0].kind,
        )

    async def refer(self, target: str) -> Referred:
        self._unless_over()
        move = await self._next({"kind": REFER, "target": without_passwords(target)})
        if move.do == "hangup":
            self._over = True
            return Referred(202, 100, "hangup")
        await self._pass(1.0)
        return _REFERRED[move.how]

    # --- the script -----------------------------------------------------------------------------

    async def _ask_for_keys(self) -> None:
        move = await self._next({"kind": KEYS})
        self._asked = True
        if move.do == "hangup":
            self._over = True
            raise CallEnded
        self._keys.extend(move.keys)

    async def _next(self, wants: Wants) -> Move:
        if not self._moves:
            await self._stop(wants)
        move = self._moves.popleft()
        self.tell("move", **move.to_json())
        return move

    async def _stop(self, wants: Wants) -> NoReturn:
        if not self.wanted.done():
            self.wanted.set_result(wants)
        await self._for_ever()

    async def _for_ever(self) -> NoReturn:
        # Not a timer: the virtual clock would jump there.
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nobody sets that future")

    async def _until_quiet(self) -> None:
        """Nothing is played, nor is about to be: between two prompts no time passes."""
        await asyncio.sleep(MOMENT)
        while self._busy:
            await asyncio.sleep(TICK)
            if not self._busy:
                await asyncio.sleep(MOMENT)

    async def _pass(self, seconds: float) -> None:
        self._busy += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            self._busy -= 1

    def _unless_over(self) -> None:
        if self._over:
            raise CallEnded

    def _sid(self, prefix: str) -> str:
        """The same in every replay."""
        self._things += 1
        seed = f"{self.setup.call_sid}-{self._things}"
        return prefix + hashlib.blake2s(seed.encode(), digest_size=16).hexdigest()

    def _recording(self) -> tuple[str, str]:
        sid, setup = self._sid("RE"), self.setup
        base = f"{setup.public_url}/2010-04-01/Accounts/{setup.account_sid}"
        return sid, f"{base}/Recordings/{sid}"

    def _would_tell(self, callback: CallbackTarget | None, what: str) -> None:
        if callback is not None:
            shown = without_passwords(callback.url)
            self.tell("would", text=f"{shown} would be told of {what} ({callback.method}).")

    # --- DocumentPort ---------------------------------------------------------------------------

    async def fetch(self, request: DocumentRequest) -> FetchResult:
        if self._over and not request.parting:
            raise CallEnded
        wants = {
            "kind": "fetch",
            "url": request.url,
            "method": request.method,
            "why": request.why,
            "parameters": [list(pair) for pair in self._parameters(request)],
        }
        if not self._replies:
            await self._stop(wants)
        reply = self._replies.popleft()
        number, self._answered = self._answered, self._answered + 1
        shown = {name: wants[name] for name in wants if name != "kind"}
        self.tell("request", **shown, number=number)
        if reply.error_code:
            return FetchFailed(reply.error_code, reply.error_message, request.url)
        body, url = reply.body.encode("latin-1"), reply.final_url or request.url
        try:
            document = interpret(body, reply.content_type, url)
        except TwimlError as error:
            return FetchFailed(error.code, f"{error.message} (line {error.line})", url)
        text = without_passwords(body[:SHOWN_TEXT].decode("utf-8", "replace"))
        return Fetched(document, url, text)

    def _parameters(self, request: DocumentRequest) -> list[tuple[str, str]]:
        setup = self.setup
        status = "completed" if self._over else "in-progress" if self.answered else "ringing"
        facts = CallFacts(
            call_sid=setup.call_sid,
            account_sid=setup.account_sid,
            from_=setup.from_,
            to=setup.to,
            status=status,
            sip_domain=setup.domain_name,
            sip_domain_sid=setup.domain_sid,
            sip_username=setup.username or None,
            sip_call_id=f"bench-{setup.call_sid[2:14].lower()}",
        )
        return [*standard_parameters(facts), *request.report]

    # --- ProgramLog -----------------------------------------------------------------------------

    def document_started(self, url: str, verbs: Sequence[str], text: str) -> None:
        shown = text or without_passwords(self.setup.document[:SHOWN_TEXT])
        self.tell("document", url=without_passwords(url), verbs=list(verbs), text=shown)

    def verb_started(self, index: int, verb: str, line: int, summary: str) -> None:
        self._asked, self._running = False, True
        self.tell("verb", index=index, verb=verb, line=line, summary=summary)

    def verb_ended(self, index: int, verb: str, outcome: str) -> None:
        self._running = False
        self.tell("verb-end", index=index, verb=verb, outcome=outcome)

    def notify(self, code: int, level: str, message: str, url: str = "") -> None:
        self.tell("note", code=code, level=level, message=message, url=without_passwords(url))

    def tell(self, kind: str, **data: Any) -> None:
        """One line more, until the script has ended."""
        if self.wanted.done():
            return
        if len(self.entries) >= MAX_ENTRIES:
            self.wanted.set_result(
                {"kind": "stop", "why": f"The run has over {MAX_ENTRIES} steps."}
            )
            return
        self.entries.append(Entry(kind, round(self._now(), 3), data))


def _target(target: DialTarget) -> str:
    shown = target.address or ", ".join([uri.uri for uri in target.uris])
    return f"{target.kind} {without_passwords(shown)}"
