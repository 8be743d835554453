"""Session timers: calls end when nobody confirms that they still exist (RFC 4028)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from sipserver.sip import grammar, limits
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.invite_usage import InviteUsage, Phase
from sipserver.sip.uri import parse_params

if TYPE_CHECKING:
    from sipserver.sip.core import Core, HeaderList
    from sipserver.sip.message import Message, Request, Response
    from sipserver.sip.timers import Deadline

OPTION_TAG: Final = "timer"
_SHORTEST: Final = 90  # seconds: RFC 4028 4; a peer that asks for less would keep us busy
_RETRY: Final = 10.0  # seconds at least between a failed refresh and the next


class SessionExpires(NamedTuple):
    """A Session-Expires value: seconds and ``uac``, ``uas`` or nothing."""

    seconds: int
    refresher: str


@dataclass(slots=True)
class SessionTimer:
    """What was agreed for one call. ``expires`` is the moment to hang up."""

    interval: int
    min_se: int
    ours: bool  # it is us who refresh
    can_update: bool  # the peer allows UPDATE
    expires: float = 0.0
    next: Deadline | None = None


class SessionTimers:
    """The timers of all calls. ``refresh`` sends the request; whoever can do that sets it."""

    __slots__ = ("_core", "enabled", "initial_headers", "refresh")

    refresh: Callable[[InviteUsage, SessionTimer, float], None]

    def __init__(self, core: Core) -> None:
        config = core.config
        self._core = core
        self.enabled = OPTION_TAG in config.supported
        self.initial_headers: HeaderList = (
            _headers(config.session_expires, config.min_se) if self.enabled else ()
        )

    # ---- what the messages say -------------------------------------------------------------

    def refresh_headers(self, usage: InviteUsage) -> HeaderList:
        """Return what a re-INVITE or UPDATE of ours says, so that the timer stays (7.4)."""
        timer = usage.timer
        if timer is None:
            return ()
        return _headers(timer.interval, timer.min_se, "uac" if timer.ours else "uas")

    def accept(self, usage: InviteUsage, request: Request, now: float) -> HeaderList:
        """Start the timer that an INVITE or UPDATE of the peer asks for, or none; returns what our
        2xx says about it (section 9)."""
        if usage.phase is Phase.EARLY and request.method != "INVITE":
            return ()
        can_update = self._stop(usage)
        asked = session_expires(request) if self.enabled else None
        if asked is None:
            return ()
        supported = is_supported(request)
        config = self._core.config
        if not supported and asked.seconds < config.min_se:
            return ()  # a proxy's wish, and 422 would not be understood
        min_se = _min_se(request) or config.min_se
        interval = min(asked.seconds, max(config.session_expires, min_se))
        ours = not supported or asked.refresher == "uas"
        timer = SessionTimer(interval, min_se, ours, _allows_update(request, can_update))
        self._start(usage, timer, now)
        value = ("Session-Expires", f"{interval};refresher={'uas' if ours else 'uac'}")
        return (value, ("Require", OPTION_TAG)) if supported else (value,)

    def accepted(
        self, usage: InviteUsage, request: Request, response: Response, now: float
    ) -> None:
        """Start the timer that a 2xx to an INVITE or UPDATE of ours agrees to, or none (7.2)."""
        can_update = self._stop(usage)
        try:
            agreed = session_expires(response) if self.enabled else None
        except RemoteProtocolError:
            agreed = None
        if agreed is not None:
            timer = SessionTimer(
                interval=max(agreed.seconds, _SHORTEST),
                min_se=_min_se(request) or self._core.config.min_se,
                ours=agreed.refresher != "uas",
                can_update=_allows_update(response, can_update),
            )
            self._start(usage, timer, now)

    # ---- time ------------------------------------------------------------------------------

    def failed(
        self, usage: InviteUsage, status: int, response: Response | None, now: float
    ) -> None:
        """A refresh of ours has failed (status 491 also: it cannot be sent now): try again."""
        timer = usage.timer
        if timer is None:
            return
        when = now + max(_RETRY, (timer.expires - now) / 2)
        if status == 491:
            when = now + self._glare_delay(usage)
        elif status == 422 and response is not None:
            longer = _min_se(response) or 0
            if longer > timer.interval:
                timer.interval = timer.min_se = longer
                when = now
        elif status in (405, 501) and timer.can_update:
            timer.can_update = False
            when = now
        self._schedule(usage, timer, when)

    def _glare_delay(self, usage: InviteUsage) -> float:
        """RFC 3261 14.1: the owner of the Call-ID waits longer, in units of 10 ms."""
        below = self._core.random_below
        return (below(201) if usage.server is not None else 210 + below(191)) / 100

    def _start(self, usage: InviteUsage, timer: SessionTimer, now: float) -> None:
        timer.expires = now + timer.interval - min(32.0, timer.interval / 3)  # section 10
        usage.timer = timer
        self._schedule(usage, timer, now + timer.interval / 2 if timer.ours else timer.expires)

    def _schedule(self, usage: InviteUsage, timer: SessionTimer, when: float) -> None:
        core = self._core

        def expire(now: float) -> None:
            if usage.phase in (Phase.ANSWERED, Phase.CONFIRMED):
                core.say_bye(usage, now)
                core.end(usage, "session-expired", now=now)

        def refresh(now: float) -> None:
            timer.next = core.deadlines.at(timer.expires, expire)
            self.refresh(usage, timer, now)

        core.deadlines.cancel(timer.next)
        if when < timer.expires:
            timer.next = core.deadlines.at(when, refresh)
        else:
            timer.next = core.deadlines.at(timer.expires, expire)

    def _stop(self, usage: InviteUsage) -> bool:
        """Forget the timer; returns whether the peer allowed UPDATE so far."""
        timer = usage.timer
        if timer is None:
            return False
        self._core.deadlines.cancel(timer.next)
        usage.timer = None
        return timer.can_update


def session_expires(message: Message) -> SessionExpires | None:
    """Return the Session-Expires of a message, None if it has none. Raises RemoteProtocolError."""
    value = message.headers.get("Session-Expires")
    if value is None:
        return None
    seconds, semicolon, tail = value.partition(";")
    number = grammar.parse_number(seconds.strip(), "Session-Expires", limits.MAX_DELTA_SECONDS)
    refresher = (parse_params(tail).get("refresher") or "") if semicolon else ""
    return SessionExpires(number, refresher.lower())


def is_supported(request: Request) -> bool:
    """Whether the sender of a request knows session timers."""
    return OPTION_TAG in request.supported or OPTION_TAG in request.require


def longer_headers(invite: Request, refused: Response) -> HeaderList:
    """Return what an INVITE says after 422, empty if that would be nothing better (7.3)."""
    asked = session_expires(invite)
    least = _min_se(refused)
    return _headers(least, least) if asked and least and least > asked.seconds else ()


def _allows_update(message: Message, before: bool) -> bool:
    allowed = message.headers.get_all("Allow")
    return any("UPDATE" in value for value in allowed) if allowed else before


def _min_se(message: Message) -> int | None:
    value = (message.headers.get("Min-SE") or "").partition(";")[0].strip()
    try:
        return grammar.parse_number(value, "Min-SE", limits.MAX_DELTA_SECONDS)
    except RemoteProtocolError:
        return None


def _headers(interval: int, min_se: int, refresher: str = "") -> HeaderList:
    value = f"{interval};refresher={refresher}" if refresher else str(interval)
    return (("Session-Expires", value), ("Min-SE", str(min_se)))
