"""Engines of a site, for tests: loaded by the worker through their dotted paths."""

import os
import time

import numpy as np


class Tone:
    def render(self, utterance):
        seconds = max(len(utterance.text) / 20, 0.2)
        at = np.arange(int(16_000 * seconds)) / 16_000
        return (0.1 * np.sin(2 * np.pi * 600 * at)).astype(np.float32), 16_000


class Slow(Tone):
    """Who asks for much of it has time to look."""

    def render(self, utterance):
        time.sleep(0.1)
        return super().render(utterance)


class Crash:
    def render(self, utterance):
        os._exit(9)


class Broken:
    def render(self, utterance):
        raise ValueError("no such luck")


class Mute:
    def render(self, utterance):
        return np.zeros(0, np.float32), 16_000
