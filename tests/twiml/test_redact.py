from __future__ import annotations

import pytest

from twimlrunner.twiml.redact import without_passwords


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('<Sip username="u" password="p&amp;w">x</Sip>', '<Sip username="u" password="…">x</Sip>'),
        ("<Sip password='secret'>x</Sip>", '<Sip password="…">x</Sip>'),
        ("<Sip PASSWORD = secret>x", '<Sip PASSWORD = "…">x'),
        ("<Redirect>http://u:p%40w@h/x?a=b:c@d", "<Redirect>http://u:…@h/x?a=b:c@d"),
        ("https://u@h:8080/a:b@c", "https://u@h:8080/a:b@c"),
        ("<Say>your password is unknown</Say>", "<Say>your password is unknown</Say>"),
    ],
)
def test_passwords_are_masked(text: str, kept: str) -> None:
    assert without_passwords(text) == kept
