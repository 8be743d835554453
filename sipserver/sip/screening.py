"""What every request must pass before anything is done for it (RFC 3261 8.2.1 to 8.2.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sipserver.sip import session_timer
from sipserver.sip.body import SDP, session_description
from sipserver.sip.routing import remote_target

if TYPE_CHECKING:
    from sipserver.sip.core import EngineConfig
    from sipserver.sip.message import Request

# The IANA registry of methods: one of these that we do not allow is 405, any other 501.
_KNOWN_METHODS: Final = frozenset(
    (
        *("ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY", "OPTIONS"),
        *("PRACK", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"),
    )
)
_ONLY_IN_DIALOGS: Final = frozenset({"BYE", "INFO", "NOTIFY", "PRACK", "UPDATE"})
_EVENT_PACKAGE: Final = "refer"  # RFC 3515, the only one known here


class Refusal(NamedTuple):
    """A final response that the engine gives by itself."""

    status: int
    reason: str | None = None  # None: the registered phrase
    headers: tuple[tuple[str, str], ...] = ()


def screen(request: Request, config: EngineConfig, *, in_dialog: bool) -> Refusal | None:
    """Return why a request must be refused, None if it may be processed.

    Raises RemoteProtocolError for headers that cannot be read.
    """
    method = request.method
    if method not in config.allow and method not in config.out_of_dialog_methods:
        status = 405 if method in _KNOWN_METHODS else 501
        return Refusal(status, headers=(("Allow", config.allow_value),))
    refusal = None if in_dialog else _screen_outside(request, config)
    if refusal is None:
        refusal = _screen_extensions(request, config)
    if refusal is None and method in ("INVITE", "UPDATE", "PRACK"):
        refusal = _screen_session(request) or _screen_timer(request, config)
    return refusal


def _screen_outside(request: Request, config: EngineConfig) -> Refusal | None:
    method = request.method
    # RFC 4475 3.3.11: an endpoint would take OPTIONS with 0, and inside a dialog we are the end.
    if request.max_forwards == 0 and method != "OPTIONS":
        return Refusal(483)
    if method in ("INVITE", "OPTIONS") or method in config.out_of_dialog_methods:
        return None
    if method in _ONLY_IN_DIALOGS:
        return (bad_event(request) if method == "NOTIFY" else None) or Refusal(481)
    return Refusal(405, headers=(("Allow", config.allow_outside_value),))


def bad_event(notify: Request) -> Refusal | None:
    """Return 489 for a NOTIFY about anything but a REFER (RFC 6665 4.1.3)."""
    package = (notify.headers.get("Event") or "").partition(";")[0].strip().lower()
    if package == _EVENT_PACKAGE:
        return None
    return Refusal(489, headers=(("Allow-Events", _EVENT_PACKAGE),))


def _screen_extensions(request: Request, config: EngineConfig) -> Refusal | None:
    headers = request.headers
    if "Require" not in headers and "Proxy-Require" not in headers:
        return None
    tags = (*request.require, *(tag.lower() for tag in headers.values("Proxy-Require")))
    unknown = [tag for tag in dict.fromkeys(tags) if tag not in config.supported]
    return Refusal(420, headers=(("Unsupported", ", ".join(unknown)),)) if unknown else None


def _screen_session(request: Request) -> Refusal | None:
    if session_description(request) is None:
        accept = (("Accept", SDP), ("Accept-Encoding", "identity"))
        return Refusal(415, headers=accept)
    if request.method == "INVITE":
        if remote_target(request) is None:
            return Refusal(400, "INVITE needs a Contact with a SIP URI")
        if not _accepts_sdp(request):
            return Refusal(406, headers=(("Accept", SDP),))
    return None


def _screen_timer(request: Request, config: EngineConfig) -> Refusal | None:
    """RFC 4028 9: an interval that is too short is refused, but only to those who understand."""
    asked = session_timer.session_expires(request)
    if asked is None or asked.seconds >= config.min_se:
        return None
    if session_timer.OPTION_TAG not in config.supported or not session_timer.is_supported(request):
        return None
    return Refusal(422, headers=(("Min-SE", str(config.min_se)),))


def _accepts_sdp(request: Request) -> bool:
    """RFC 3261 20.1: without Accept, application/sdp is meant; an empty one accepts nothing."""
    if "Accept" not in request.headers:
        return True
    ranges = {each.partition(";")[0].strip().lower() for each in request.headers.values("Accept")}
    return not ranges.isdisjoint((SDP, "application/*", "*/*"))
