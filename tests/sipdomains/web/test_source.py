"""TwiML in colours: nothing is lost, nothing gets through unescaped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipdomains.web.source import numbered, tokens

CASES = [
    ("<Say>", [("tag", "<Say"), ("tag", ">")]),
    ("</Say>", [("tag", "</Say"), ("tag", ">")]),
    ("<Hangup/>", [("tag", "<Hangup"), ("tag", "/>")]),
    (
        '<Say voice="a>b">x &amp; y',
        [
            ("tag", "<Say"), ("plain", " "), ("attribute", "voice"), ("plain", "="),
            ("string", '"a>b"'), ("tag", ">"), ("plain", "x "), ("entity", "&amp;"),
            ("plain", " y"),
        ],
    ),
    ("<!-- <Say> -->t", [("comment", "<!-- <Say> -->"), ("plain", "t")]),
    ('<?xml version="1.0"?>', [("comment", '<?xml version="1.0"?>')]),
    ("<![CDATA[<a>]]>t", [("string", "<![CDATA[<a>]]>"), ("plain", "t")]),
    # broken
    ("<!-- open", [("comment", "<!-- open")]),
    ('<Say voice="open', [("tag", "<Say"), ("plain", " "), ("attribute", "voice"), ("plain", "="),
                          ("string", '"open')]),
    ("1 < 2 & 3", [("plain", "1 "), ("plain", "<"), ("plain", " 2 "), ("plain", "&"),
                   ("plain", " 3")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_tokens(text, expected):
    assert list(tokens(text)) == expected


@given(st.text(alphabet="<>/!-?[]&;='\" \r\naSx&#1CDATA", max_size=80) | st.text(max_size=80))
def test_no_character_is_lost_and_none_is_markup(text):
    assert "".join(piece for _, piece in tokens(text)) == text
    for line in numbered(text):
        bare = line.html.replace("</i>", "")
        assert "<" not in bare.replace('<i class="', "")


def test_lines_are_numbered_as_editors_do():
    lines = numbered("<Response>\r\n  <Say>a\n\nb</Say>\n</Response>\n")
    assert [line.number for line in lines] == [1, 2, 3, 4, 5]
    assert lines[2].html == ""
    assert numbered("") == []


def test_what_is_no_xml_has_no_colours():
    [line] = numbered("Error: <b>")
    assert line.html == '<i class="x">Error: &lt;b&gt;</i>'


def test_hostile_text_costs_no_more_than_its_length():
    for text in ("<a" * 8000, "<!--" * 4000, "&a" * 8000, "<a '" * 4000, "<" * 16000):
        assert "".join(piece for _, piece in tokens(text)) == text
