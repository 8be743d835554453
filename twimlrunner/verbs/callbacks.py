"""Callback attributes of a document as the call layer takes them."""

from __future__ import annotations

from twimlrunner.engine.handler import VerbContext
from twimlrunner.engine.ports import CallbackTarget, VerbFailed
from twimlrunner.twiml.nodes.callbacks import Callback


def callback_target(callback: Callback | None, context: VerbContext) -> CallbackTarget | None:
    """``callback`` with its URL made absolute. One that cannot be is reported and left out: it
    costs the callback, not the document."""
    if callback is None:
        return None
    try:
        url = context.resolve(callback.url)
    except VerbFailed as error:
        context.warn(error.code, f"{error.message}; the callback is left out")
        return None
    return CallbackTarget(url, callback.method, callback.events)
