"""Ports for the servers and phones that tests start, which no other test process is given.

Who asks the kernel for a free port and lets it go again may find it taken a moment later: by the
other worker of ``pytest -n 2``, or by any outgoing connection, for those get ports of the same
range. So these ports are below that range, in blocks. A process owns a block as long as it keeps
the block's first port bound, which the kernel allows to one process only.
"""

from __future__ import annotations

import contextlib
import socket

FIRST, END = 12000, 32000  # the kernel gives ports from 32768 on to outgoing connections
SIZE = 250


class Block:
    """Ports of this process alone until it ends."""

    def __init__(self) -> None:
        for start in range(FIRST, END, SIZE):
            lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                lock.bind(("127.0.0.1", start))
            except OSError:
                lock.close()
                continue
            self._lock = lock
            self._next, self._end = start + 1, start + SIZE
            _kept.append(self)
            return
        raise RuntimeError(f"no block of ports is left between {FIRST} and {END}")

    def port(self) -> int | None:
        """One that was not given yet, free for UDP and TCP, on IPv4 and IPv6. (A program that knows
        nothing of blocks may use it.)"""
        while self._next < self._end:
            port, self._next = self._next, self._next + 1
            if _is_free(port):
                return port
        return None

    def rest(self) -> tuple[int, int]:
        """First and last of the ports that were not given yet; gives them all."""
        first, self._next = self._next, self._end
        return first, self._end - 1


_kept: list[Block] = []  # for ever: what was given may be in use as long as the process lives
_singles: list[Block] = []


def free_port() -> int:
    """One that was not given yet, free for UDP and TCP, on IPv4 and IPv6."""
    while not _singles or (port := _singles[-1].port()) is None:
        _singles.append(Block())
    return port


def _is_free(port: int) -> bool:
    with contextlib.ExitStack() as stack:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                probe = stack.enter_context(socket.socket(family, kind))
                try:
                    probe.bind((host, port))
                except OSError:
                    return False
    return True
