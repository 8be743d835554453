"""The loop of tests without real time is that of the bench."""

from twimlrunner.bench.clock import VirtualLoop

__all__ = ["VirtualLoop"]
