"""No two processes are given the same port."""

import subprocess
import sys
from pathlib import Path

from tests import ports

OTHER = """
from tests.ports import Block, free_port
print(*Block().rest(), free_port(), flush=True)
input()
"""


def test_no_port_is_given_twice_in_a_process_or_to_another():
    single, (first, last) = ports.free_port(), ports.Block().rest()
    assert not first <= single <= last
    assert ports.free_port() != single
    root = Path(__file__).resolve().parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", OTHER], cwd=root, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:  # fmt: skip
        others = [int(word) for word in other.stdout.readline().split()]
        other.communicate("\n")
    assert others[1] < first or others[0] > last
    assert not first <= others[2] <= last
    assert single not in (others[2], *range(others[0], others[1] + 1))
    assert max(last, *others) < ports.END <= 32768
