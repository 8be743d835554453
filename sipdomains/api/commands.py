"""Asking the node that carries a call, and what is answered when it refuses or says nothing."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from sipdomains import contracts
from sipdomains.api import vendor
from sipdomains.api.errors import ApiError
from sipdomains.live import rejected
from sipdomains.models import Call, CallCommand, CommandState
from sipdomains.services import commands
from sipdomains.services.commands import CallNotActive

# What clients are used to read.
NOT_IN_PROGRESS = "Call is not in-progress. Cannot redirect."
_VERBS = {contracts.RECORDING_START: "record", contracts.RECORDING_UPDATE: "update recording"}


def submit(call: Call, kind: str, payload: dict[str, Any], by: str) -> CallCommand:
    """Store the command. Raises ApiError."""
    try:
        return commands.submit(call, kind, payload, by)
    except CallNotActive as error:
        raise ApiError(error.code, _words(kind)) from error


def stored(command_id: int) -> CallCommand:
    """One that was submitted before. Raises ApiError when it was deleted with its call."""
    try:
        return commands.wait(command_id, 0)
    except CallNotActive as error:
        raise ApiError(error.code, NOT_IN_PROGRESS) from error


def outcome(command: CallCommand) -> CallCommand:
    """What the node made of it: the state is ``applied`` or, when the node has said nothing yet,
    ``pending``. Raises ApiError when it was refused."""
    try:
        if command.state == CommandState.PENDING:
            command = commands.wait(command.pk, settings.API_COMMAND_SECONDS)
    except CallNotActive as error:
        raise ApiError(error.code, _words(command.kind)) from error
    if command.state == CommandState.REJECTED:
        raise refusal(command)
    return command


def refusal(command: CallCommand) -> ApiError:
    """Redirects are refused in the words that clients know, the others with the node's reason."""
    code = command.error_code or contracts.CALL_NOT_IN_PROGRESS
    if code == contracts.CALL_NOT_IN_PROGRESS and command.kind == contracts.REDIRECT:
        return ApiError(code, NOT_IN_PROGRESS)
    return ApiError(code, command.reason or _words(command.kind))


def _words(kind: str) -> str:
    verb = _VERBS.get(kind)
    return f"Call is not in-progress. Cannot {verb}." if verb else NOT_IN_PROGRESS


def outcome_live(call: Call, command: CallCommand) -> CallCommand:
    """As :func:`outcome`; a call that has ended meanwhile is told by 408 (rest-api.md section
    3)."""
    try:
        return outcome(command)
    except ApiError as error:
        gone = not Call.objects.filter(pk=call.pk, ended_at=None).exists()
        if error.code == contracts.CALL_NOT_IN_PROGRESS and call.ended_at is None and gone:
            raise ApiError(error.code, error.message, 408) from error
        raise


def outcome_or_withdrawn(command: CallCommand) -> CallCommand:
    """The command, applied. One that its node does not confirm in time is withdrawn. Raises
    ApiError."""
    command = outcome(command)
    if command.state != CommandState.PENDING:
        return command
    if commands.settle(command.pk, rejected("Nobody waited for it any more.", vendor.UNAVAILABLE)):
        text = "The node that carries the call does not answer just now; nothing was changed"
        raise ApiError(vendor.UNAVAILABLE, text)
    command.refresh_from_db()  # it was settled in the last moment
    if command.state == CommandState.REJECTED:
        raise refusal(command)
    return command
