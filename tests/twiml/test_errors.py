"""Levels of the codes that reading a document reports (errors.md sections 4-6)."""

import pytest

from twimlrunner.twiml.errors import level_of

WARNINGS = [
    12200, 13000, 13210, 13211, 13212, 13213, 13215, 13216, 13217, 13218, 13219, 13220, 13221,
    13222, 13223, 13230, 13232, 13233, 13234, 13235, 13236, 13237, 13241, 13242, 13243, 13248,
    13249, 13250, 13251, 13252, 13253, 13256, 13310, 13312, 13313, 13314, 13320, 13321, 13322,
    13326, 13327, 13328, 13329, 13330, 13331, 13332, 13333, 13334, 13335, 13410, 13430, 13510,
    13511, 13512, 13520, 13521, 13610, 13611, 13612, 13613, 13614, 13615, 13616, 13622, 13699,
    13710, 13810, 13910,
]  # fmt: skip
ERRORS = [
    11100, 13231, 13239, 13240, 13257, 13338, 13621, 14201, 14202, 14203, 14204, 14205,
    14206, 14210, 14211, 14212, 14213, 14300, 16023, 31920, 31922, 31923, 31941,
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "level"),
    [(code, "warning") for code in WARNINGS] + [(code, "error") for code in ERRORS],
)
def test_level(code, level):
    assert level_of(code) == level
