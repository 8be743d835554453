"""What prompts are made of: values, errors and the engine protocol. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PromptError(Exception):
    """Audio could not be had: ``code`` and ``message`` of errors.md (112xx, 13420, 12400)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class SpeechIssue(NamedTuple):
    """A warning about a Say: ``code`` of errors.md section 5 (13511, 13512, 13520, 13521)."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Voice:
    """One engine's voice. ``name`` and ``language`` are the engine's own words; ``pitch`` is a
    factor on the voice's natural pitch; ``version`` is the engine's and keeps caches apart."""

    engine: str
    version: str
    name: str
    language: str
    pitch: float = 1.0


@dataclass(frozen=True, slots=True)
class Utterance:
    """Text for one voice. ``rate`` and ``pitch`` are factors, ``volume`` is in dB; ``ipa`` says
    how ``text`` sounds, where an engine can use it."""

    text: str
    voice: Voice
    rate: float = 1.0
    pitch: float = 1.0
    volume: float = 0.0
    ipa: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """A pause of ``ms`` milliseconds."""

    ms: int


Part = Utterance | Silence


@dataclass(frozen=True, slots=True)
class Chunk:
    """What becomes one file: about a sentence. ``key`` is the content address (hex)."""

    key: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class SpeechPlan:
    """The files of one Say in order, and what was wrong with it."""

    chunks: tuple[Chunk, ...]
    issues: tuple[SpeechIssue, ...] = ()


class SpeechEngine(Protocol):
    """A text-to-speech engine, living in the prompt worker only."""

    def render(self, utterance: Utterance) -> tuple[NDArray[np.float32], float]:
        """(mono samples in -1..1, samples per second). Called from several threads at once: an
        engine that cannot bear that locks itself. No audio (an empty array) for text it cannot
        read. Raises anything when it is broken."""
