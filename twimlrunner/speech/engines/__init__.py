"""The registry of text-to-speech engines. Only the prompt worker builds them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from twimlrunner.speech.config import SiteEngine
from twimlrunner.speech.ports import SpeechEngine
from twimlrunner.speech.voices import ABSENT, ESPEAK, HIBARI, NANOTTS

FACTORIES: Mapping[str, str] = {
    HIBARI: "twimlrunner.speech.engines.hibari:HibariEngine",
    NANOTTS: "twimlrunner.speech.engines.nanotts:NanottsEngine",
    ESPEAK: "twimlrunner.speech.engines.espeak:EspeakEngine",
}
_DISTRIBUTIONS = {HIBARI: "hibari-tts", NANOTTS: "py-nanotts", ESPEAK: "espeakng-loader"}


def versions(site: Mapping[str, SiteEngine]) -> dict[str, str]:
    """Engine → version, without loading any engine; ``ABSENT`` for one that is not installed."""
    found: dict[str, str] = {}
    for name, distribution in _DISTRIBUTIONS.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            found[name] = ABSENT
    return found | {name: engine.version for name, engine in site.items()}


def load(name: str, site: Mapping[str, SiteEngine]) -> SpeechEngine:
    """Build an engine by name; a site's own wins. Raises LookupError for an unknown name and
    whatever the engine raises when it cannot start."""
    path = site[name].factory if name in site else FACTORIES[name]
    module, _, attribute = path.partition(":")
    engine: SpeechEngine = getattr(importlib.import_module(module), attribute)()
    return engine
