"""The document as a whole: what is refused, with which code, and hostile input
(errors.md section 4, webhooks.md section 1)."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twimlrunner.twiml.document import Document, Invalid
from twimlrunner.twiml.errors import TwimlError
from twimlrunner.twiml.limits import DEPTH, DOCUMENT_BYTES, ELEMENTS
from twimlrunner.twiml.nodes import NODES
from twimlrunner.twiml.parser import parse

CORPUS = Path(__file__).parent.parent / "corpus" / "twiml"


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        (b"", 12100, 1),
        (b"   ", 12100, 1),
        (b"hello", 12100, 1),
        (b'\n<?xml version="1.0"?><Response/>', 12100, 2),
        (b' <?xml version="1.0"?><Response/>', 12100, 1),
        (b"<Response><Say>a & b</Say></Response>", 12100, 1),
        (b"<Response>\n<Say>\n</Response>", 12100, 3),
        (b"<html><body><br></body></html>", 12100, 1),
        (b"<Response/><Response/>", 12100, 1),
        (b"<Response>&nbsp;</Response>", 12100, 1),
        (b"<Response><Say>\x00</Say></Response>", 12100, 1),
        (b"<Response><Say>\xff\xfe</Say></Response>", 12100, 1),
        (b'<?xml version="1.0" encoding="bogus"?><Response/>', 12100, 1),
        (b"<!DOCTYPE Response><Response/>", 12100, 1),
        (b'<!DOCTYPE Response SYSTEM "file:///etc/passwd"><Response/>', 12100, 1),
        (b'<Response version="2"/>', 12101, 1),
        (b"\n<html/>", 12102, 2),
        (b"<response/>", 12102, 1),
        (b'<Response xmlns="urn:x"/>', 12102, 1),
        (b"<Response>" + b" " * DOCUMENT_BYTES + b"</Response>", 11750, 0),
        (b"<Response>" + b"<Pause/>" * ELEMENTS + b"</Response>", 12100, 1),
        (
            b"<Response>\n<Say " + b" ".join(b"a%d=''" % n for n in range(101)) + b"/></Response>",
            12100,
            2,
        ),
        (b"<Response>" + b"<p>" * DEPTH + b"</p>" * DEPTH + b"</Response>", 12100, 1),
    ],
)
def test_refused(body, code, line):
    with pytest.raises(TwimlError) as caught:
        parse(body)
    assert (caught.value.code, caught.value.line) == (code, line)
    assert caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"<Response/>",
        b"<Response></Response>",
        b"\n<Response/>",
        b'<?xml version="1.0" encoding="UTF-8"?>\n<Response/>\n',
        b'\xef\xbb\xbf<?xml version="1.0"?><Response/>',
        b'<Response version="2010-04-01"/>',
        b"<!-- hi --><Response/>",
        '<?xml version="1.0" encoding="ISO-8859-1"?><Response/>'.encode("latin-1"),
        b"<Response>" + b" " * (DOCUMENT_BYTES - 21) + b"</Response>",
    ],
)
def test_empty_documents(body):
    assert parse(body) == Document()


def test_declared_encoding_is_used():
    body = '<?xml version="1.0" encoding="ISO-8859-1"?><Response><Say>Grüße</Say></Response>'
    assert parse(body.encode("latin-1")).nodes[0].text == "Grüße"  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", sorted(CORPUS.glob("hostile-*.xml")), ids=lambda path: path.stem)
def test_hostile_document_is_refused(path):
    with pytest.raises(TwimlError) as caught:
        parse(path.read_bytes())
    assert caught.value.code == 12100


@pytest.mark.parametrize("path", sorted(CORPUS.glob("good-*.xml")), ids=lambda path: path.stem)
def test_good_document_is_read_without_a_word(path):
    result = parse(path.read_bytes())
    assert result.nodes
    assert result.issues == ()
    assert not any(isinstance(node, Invalid) for node in result.nodes)


def test_the_corpus_is_there():
    assert len(list(CORPUS.glob("hostile-*.xml"))) >= 6
    assert len(list(CORPUS.glob("good-*.xml"))) >= 4


def read_or_refuse(body: bytes) -> Document | int:
    """The document, or the code it was refused with. Any other exception is a bug."""
    try:
        return parse(body)
    except TwimlError as error:
        return error.code


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_bytes_are_a_document_or_a_twiml_error(body):
    assert isinstance(result := read_or_refuse(body), Document) or result in (12100, 12101, 12102)


_NAMES = st.sampled_from(
    [*NODES, "Number", "Sip", "Uri", "Headers", "Header", "Client", "Identity", "Conference",
     "Queue", "Stream", "Parameter", "Task", "Recording", "Siprec", "break", "p", "sub", "x"]
)  # fmt: skip
_ATTRIBUTES = st.sampled_from(
    ["action", "method", "loop", "voice", "language", "digits", "length", "timeout", "url",
     "input", "finishOnKey", "hints", "reason", "record", "name", "value", "statusCallback",
     "statusCallbackEvent", "maxLength", "transcribe", "track", "waitUrl", "coach", "x"]
)  # fmt: skip
_VALUES = st.one_of(
    st.sampled_from(["", "true", "auto", "0", "-1", "5", "GET", "http://x/", "/y", "wss://x/"]),
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12),
)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")


_TREES = st.recursive(
    st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=8).map(_escape),
    lambda inner: st.builds(
        lambda name, attributes, children: "<{}{}>{}</{}>".format(
            name,
            "".join(f' {key}="{_escape(value)}"' for key, value in attributes.items()),
            "".join(children),
            name,
        ),
        _NAMES,
        st.dictionaries(_ATTRIBUTES, _VALUES, max_size=4),
        st.lists(inner, max_size=3),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_TREES, max_size=4))
def test_any_tree_of_names_is_read_or_refused(trees):
    body = f"<Response>{''.join(trees)}</Response>".encode()
    result = read_or_refuse(body)
    if isinstance(result, Document):
        assert all(issue.level == "warning" for issue in result.issues)
        assert all(hash(node) == hash(node) for node in result.nodes)
    else:
        assert result == 12100
