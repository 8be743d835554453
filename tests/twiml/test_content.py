"""What an answer means by its content type: one test per row of webhooks.md section 1."""

import pytest

from twimlrunner.twiml.content import interpret
from twimlrunner.twiml.document import Document
from twimlrunner.twiml.errors import TwimlError

URL = "https://x.example/a.wav?b=1"
TWIML = b"<Response><Hangup/></Response>"


def names(document: Document) -> list[str]:
    return [node.NAME for node in document.nodes]


@pytest.mark.parametrize(
    "content_type",
    [
        "text/xml", "application/xml", "text/html", "text/xml; charset=utf-8",
        "Text/XML;charset=UTF-8", " application/xml ", "text/plain",
    ],
)  # fmt: skip
def test_twiml_types(content_type):
    assert names(interpret(TWIML, content_type, URL)) == ["Hangup"]


@pytest.mark.parametrize(
    "subtype",
    ["mpeg", "wav", "wave", "x-wav", "aiff", "x-aifc", "x-aiff", "x-gsm", "gsm", "ulaw"],
)
def test_audio_is_played_then_hung_up(subtype):
    document = interpret(b"RIFF", f"audio/{subtype}", URL)
    assert names(document) == ["Play", "Hangup"]
    play = document.nodes[0]
    assert (play.url, play.loop, play.digits) == (URL, 1, "")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"Hello  there,\n you", "text/plain", "Hello there, you"),
        ("Grüße".encode(), "text/plain; charset=utf-8", "Grüße"),
        ("Grüße".encode(), "text/plain", "Grüße"),
        ("Grüße".encode("latin-1"), 'text/plain; format=flowed; charset="ISO-8859-1"', "Grüße"),
        ("Grüße".encode(), "text/plain; charset=x-unknown", "Grüße"),
        (b"<html>oops", "text/plain", "<html>oops"),
    ],
)
def test_plain_text_is_spoken_then_hung_up(body, content_type, text):
    document = interpret(body, content_type, URL)
    assert names(document) == ["Say", "Hangup"]
    say = document.nodes[0]
    assert (say.text, say.voice, say.language) == (text, "man", "en-US")  # type: ignore[attr-defined]


def test_plain_text_has_the_limit_of_say():
    document = interpret(b"a" * 5000, "text/plain", URL)
    assert len(document.nodes[0].text) == 4096  # type: ignore[attr-defined]
    assert [issue.code for issue in document.issues] == [13521]


@pytest.mark.parametrize("content_type", ["", "application/json", "image/png", "text", "xml", ";"])
def test_any_other_type_is_an_error(content_type):
    with pytest.raises(TwimlError) as caught:
        interpret(TWIML, content_type, URL)
    assert caught.value.code == 12300


@pytest.mark.parametrize("content_type", ["", "text/xml", "application/json", "audio/wav"])
def test_an_empty_body_is_an_empty_document(content_type):
    assert interpret(b"", content_type, URL) == Document()


def test_broken_twiml_of_a_twiml_type_is_an_error():
    with pytest.raises(TwimlError) as caught:
        interpret(b"<html>oops", "text/html", URL)
    assert caught.value.code == 12100
