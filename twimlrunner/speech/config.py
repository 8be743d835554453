"""Settings of the prompt service, as plain data: they travel to the worker as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SiteEngine:
    """An engine of the site's own.

    ``factory`` is a dotted path ``package.module:callable`` that returns a
    :class:`~twimlrunner.speech.ports.SpeechEngine`; ``version`` is part of every cache key.
    ``languages`` maps BCP-47 tags (or bare languages) to the engine's own voice names and
    ``voices`` vendor voice names; both win over the table in ``voices.py``.
    """

    factory: str
    version: str
    languages: Mapping[str, str] = field(default_factory=dict)
    voices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PromptConfig:
    """``folder`` holds the cache (made if missing, shared by nodes of one machine at will).

    Bytes, seconds and counts as the names say; ``fetch_timeout`` bounds a whole fetch, conversion
    excluded. From ``allow_private`` on: the egress policy and the trust store for Play, the same
    as those of webhooks (``EgressPolicy.build``). ``environment`` names the variables that a
    site's engine needs: the worker sees hardly any otherwise.
    """

    folder: str
    cache_bytes: int = 2 * 1024**3
    threads: int = 2
    max_queue: int = 512
    speech_timeout: float = 20.0
    fetch_timeout: float = 60.0
    connect_timeout: float = 5.0
    read_timeout: float = 15.0
    max_audio_bytes: int = 64 * 1024**2
    max_audio_seconds: int = 40 * 60
    max_fetches: int = 32
    allow_private: bool = True
    allow_loopback: bool = True
    allow_networks: tuple[str, ...] = ()
    deny_networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    ca_file: str = ""
    site_engines: Mapping[str, SiteEngine] = field(default_factory=dict)
    environment: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form; :meth:`from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PromptConfig:
        """Raises TypeError for unknown or missing fields."""
        values = dict(data)
        for name in ("allow_networks", "deny_networks", "ports", "environment"):
            values[name] = tuple(values.get(name, ()))
        engines = values.get("site_engines", {})
        values["site_engines"] = {name: SiteEngine(**engine) for name, engine in engines.items()}
        return cls(**values)
