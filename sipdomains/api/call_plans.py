"""What a request makes of a call: a plan for the node that will place it, or a command for the node
that carries it (rest-api.md section 3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sipdomains import contracts, sids
from sipdomains.api.call_inputs import DETECTION_INVALID, URL_INVALID, with_good_headers
from sipdomains.api.errors import ApiError
from sipdomains.contracts import OriginatePlan, RecordingWish
from sipdomains.models import Account, Application
from sipdomains.policy import phone_number
from sipdomains.services import trunks
from twimlrunner.twiml.redact import without_passwords

NUMBER_NOT_ALLOWED, NUMBER_BLOCKED = 21215, 21216
APPLICATION_INVALID = 21218
USERNAME_TOO_LONG, USERNAME_INVALID = 21221, 21222
PASSWORD_TOO_LONG, PASSWORD_INVALID, PASSWORD_MISSING = 21223, 21224, 21225
NO_DETECTION_CALLBACK = 21262
URL_WINS = (32019, "Url and Twiml were both given; Url is used.")
_MAX_CREDENTIAL = 255


@dataclass(slots=True)
class Wanted:
    """A call to create; ``warnings`` are (code, text) of what was given and is not used."""

    plan: OriginatePlan
    callback: dict[str, Any]
    username: str = ""
    password: str = field(default="", repr=False)
    warnings: list[tuple[int, str]] = field(default_factory=list)


def wanted(account: Account, given: dict[str, Any]) -> Wanted:
    """Of the parameters that ``CallInput`` has checked. Raises ApiError."""
    document, callback, warnings = _document(account, given)
    _check_allowed(account, given["To"])
    to, wrong = with_good_headers(given["To"])
    username, password, unused = _credentials(given)
    plan = OriginatePlan(
        to=to,
        from_=without_passwords(given["From"]),
        caller_id=without_passwords(given.get("CallerId", "")),
        timeout=given["Timeout"],
        time_limit=given["TimeLimit"],
        send_digits=given.get("SendDigits", ""),
        recording=_recording(given) if given["Record"] else None,
        **document,
    )
    warnings += [*wrong, *unused, *_detection(given)]
    return Wanted(plan, callback, username, password, warnings)


def _check_allowed(account: Account, to: str) -> None:
    """A number that no trunk may dial now is refused at once, as the vendor does; it would be when
    its turn comes (13227), too. Raises ApiError."""
    number = phone_number(to)
    if number is None:
        return
    rules = [trunk.rule_for(number) for trunk in trunks.of_account(account.sid)]
    if any(rule is not None and rule.allow for rule in rules):
        return
    if any(rule is not None for rule in rules):
        raise ApiError(NUMBER_BLOCKED, f"To: a rule of the trunks denies {number}")
    raise ApiError(NUMBER_NOT_ALLOWED, f"To: no rule of a trunk of the account allows {number}")


def _document(
    account: Account, given: dict[str, Any]
) -> tuple[dict[str, str], dict[str, Any], list[tuple[int, str]]]:
    """What the call runs, whom it tells of its progress, warnings. An application brings all of
    these with it; else Url wins over Twiml."""
    if sid := given.get("ApplicationSid", ""):
        return *_of_application(account, sid), []
    url, twiml = given.get("Url", ""), given.get("Twiml", "")
    if not url and not twiml:
        raise ApiError(URL_INVALID, "Url, Twiml or ApplicationSid is required")
    document = {"url": url, "method": given.get("Method", "POST")} if url else {"twiml": twiml}
    if fallback := given.get("FallbackUrl", ""):
        document["fallback_url"] = fallback
        document["fallback_method"] = given.get("FallbackMethod", "POST")
    callback: dict[str, Any] = {}
    if address := given.get("StatusCallback", ""):
        callback = {
            "url": address,
            "method": given.get("StatusCallbackMethod", "POST"),
            "events": given.get("StatusCallbackEvent") or ["completed"],
        }
    return document, callback, [URL_WINS] if url and twiml else []


def _of_application(account: Account, sid: str) -> tuple[dict[str, str], dict[str, Any]]:
    found = None
    if sids.is_sid(sid, sids.APPLICATION):
        found = Application.objects.filter(account=account, pk=sid).first()
    if found is None:
        raise ApiError(APPLICATION_INVALID, "ApplicationSid is none of this account's")
    if not found.voice_url:
        raise ApiError(URL_INVALID, "The application has no VoiceUrl")
    document = {
        "url": found.voice_url,
        "method": found.voice_method,
        "fallback_url": found.voice_fallback_url,
        "fallback_method": found.voice_fallback_method,
    }
    callback: dict[str, Any] = {}
    if found.status_callback:
        callback = {
            "url": found.status_callback,
            "method": found.status_callback_method,
            "events": ["completed"],
        }
    return document, callback


def _recording(given: dict[str, Any]) -> RecordingWish:
    return RecordingWish(
        channels=2 if given["RecordingChannels"] == "dual" else 1,
        track=given["RecordingTrack"],
        trim=given["Trim"] == "trim-silence",
        callback=recording_callback(given),
    )


def recording_callback(given: dict[str, Any]) -> dict[str, Any]:
    address = given.get("RecordingStatusCallback", "")
    if not address:
        return {}
    return {
        "url": address,
        "method": given.get("RecordingStatusCallbackMethod", "POST"),
        "events": given.get("RecordingStatusCallbackEvent") or ["completed"],
    }


def _credentials(given: dict[str, Any]) -> tuple[str, str, list[tuple[int, str]]]:
    """For the far side's challenge; none of both when one of them cannot be used."""
    username, password = given.get("SipAuthUsername", ""), given.get("SipAuthPassword", "")
    wrong: list[tuple[int, str]] = []
    for name, value, too_long, invalid in (
        ("SipAuthUsername", username, USERNAME_TOO_LONG, USERNAME_INVALID),
        ("SipAuthPassword", password, PASSWORD_TOO_LONG, PASSWORD_INVALID),
    ):
        if len(value) > _MAX_CREDENTIAL:
            wrong.append((too_long, f"{name} is over {_MAX_CREDENTIAL} characters; unused."))
        elif not value.isprintable():
            wrong.append((invalid, f"{name} holds characters that cannot be sent; unused."))
    if username and not password:
        wrong.append((PASSWORD_MISSING, "SipAuthPassword is missing; SipAuthUsername is unused."))
    return ("", "", wrong) if wrong else (username, password, [])


def _detection(given: dict[str, Any]) -> list[tuple[int, str]]:
    if "MachineDetection" not in given:
        return []
    text = "MachineDetection is not supported by this version; nothing is detected."
    warnings = [(DETECTION_INVALID, text)]
    if given["AsyncAmd"] and not given.get("AsyncAmdStatusCallback"):
        warnings.append((NO_DETECTION_CALLBACK, "AsyncAmd was given without its callback."))
    return warnings


def change(given: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """(kind, payload) of the command that ``CallUpdate``'s parameters ask for; None: nothing."""
    match given.get("Status"):
        case "completed":
            return contracts.HANGUP, {}
        case "canceled":
            return contracts.CANCEL, {}
    payload: dict[str, Any] = {}
    if "StatusCallback" in given:
        method = given.get("StatusCallbackMethod", "POST")
        payload["callback"] = {"url": given["StatusCallback"], "method": method}
    if "FallbackUrl" in given:
        payload["fallback_url"] = given["FallbackUrl"]
        payload["fallback_method"] = given.get("FallbackMethod", "POST")
    if "TimeLimit" in given:
        payload["time_limit"] = given["TimeLimit"]
    if url := given.get("Url", ""):
        return contracts.REDIRECT, payload | {"url": url, "method": given.get("Method", "POST")}
    if twiml := given.get("Twiml", ""):
        return contracts.REDIRECT, payload | {"twiml": twiml}
    return (contracts.UPDATE, payload) if payload else None
