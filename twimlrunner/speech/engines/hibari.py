"""English by hibari-tts (Apache-2.0): 24 kHz, thread safe, releases the interpreter lock."""

from __future__ import annotations

import numpy as np
from hibari import SAMPLE_RATE, Hibari
from numpy.typing import NDArray

from twimlrunner.speech.ports import Utterance

_SEED = 1
"""The same text gives the same samples."""

_IPA = str.maketrans({"ː": "", "ɹ": "ɹ", "r": "ɹ", "g": "ɡ", "‿": "", ".": "", "ˑ": "", "͡": ""})
_IPA_PAIRS = {
    "eɪ": "A",
    "aɪ": "I",
    "aʊ": "W",
    "ɔɪ": "Y",
    "oʊ": "O",
    "əʊ": "O",
    "dʒ": "ʤ",
    "tʃ": "ʧ",
    "ɝ": "ɜɹ",
    "ɚ": "əɹ",
}
"""The model writes diphthongs and affricates as one sign."""


class HibariEngine:
    """One female voice; pitch is changed by speaking at another speed and resampling back."""

    def __init__(self) -> None:
        self._model = Hibari()  # no other voice name: those are downloaded
        self._model("Ready.", seed=_SEED)  # the first run builds the pronunciation tables

    def render(self, utterance: Utterance) -> tuple[NDArray[np.float32], float]:
        pitch = utterance.voice.pitch * utterance.pitch
        speed = utterance.rate / pitch
        if utterance.ipa:
            samples = self._model.from_phonemes(_phonemes(utterance.ipa), speed, _SEED)
        else:
            # "[text](/phonemes/)" is markup to the model; callers' brackets are not.
            text = utterance.text.replace("](", "] (")
            samples = self._model(text, speed, _SEED)
        return samples.astype(np.float32, copy=False), SAMPLE_RATE * pitch


def _phonemes(ipa: str) -> str:
    text = ipa.translate(_IPA)
    for pair, sign in _IPA_PAIRS.items():
        text = text.replace(pair, sign)
    return text
