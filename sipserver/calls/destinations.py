"""Where a noun of Dial leads: the INVITEs to try, worked out before any is sent."""

from __future__ import annotations

from dataclasses import dataclass, field

from sipserver.sip.events import Flow


@dataclass(frozen=True, slots=True)
class Attempt:
    """One INVITE. It goes over ``flow`` (a registered phone's), else to ``destination``
    (transport, address, port). ``from_host`` is the host part of our From, ``to`` the To URI.
    ``headers`` are those wanted by the URI or the document, already vetted. ``trunk`` is its name
    or empty. ``caller_id`` replaces the one of the call when it is not empty. ``follow`` tells
    whether a 3xx may be followed."""

    request_uri: str
    to: str
    from_host: str
    flow: Flow | None = None
    destination: tuple[str, str, int] | None = None
    headers: tuple[tuple[str, str], ...] = ()
    username: str = ""
    password: str = field(default="", repr=False)
    trunk: str = ""
    caller_id: str = ""
    follow: bool = True


@dataclass(frozen=True, slots=True)
class Branch:
    """Attempts in order: the next one follows a 503, a timeout or a transport that fails."""

    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Destinations:
    """Branches that ring at the same time: the contacts of one user, else just one. ``issues`` are
    warnings (code, message)."""

    branches: tuple[Branch, ...]
    issues: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Undialable:
    """The noun leads nowhere: error code, words for the operator, the SIP status that this is
    reported as."""

    code: int
    message: str
    sip_status: int
    issues: tuple[tuple[int, str], ...] = ()
