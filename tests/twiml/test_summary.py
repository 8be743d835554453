"""The line about a verb in the call log."""

import pytest

from tests.twiml.reading import read
from twimlrunner.twiml.nodes import NODES
from twimlrunner.twiml.summary import summarise


@pytest.mark.parametrize(
    ("verb", "summary"),
    [
        ("<Say>hello</Say>", '"hello" man'),
        (f"<Say loop='2' voice='woman'>{'a' * 100}</Say>", f'"{"a" * 60}…" woman x2'),
        ("<Play>/a</Play>", "/a"),
        ("<Play loop='2'>https://user:secret@x.example/a?b=1</Play>", "https://x.example/a?b=1 x2"),
        ("<Play>http://u:secret@[x</Play>", "(not a URL)"),
        ("<Play digits='4711'/>", "4 digits"),
        ("<Pause length='3'/>", "3 s"),
        ("<Redirect/>", "POST (current document)"),
        ("<Redirect method='GET'>/b</Redirect>", "GET /b"),
        ("<Reject reason='busy'/>", "busy"),
        ("<Gather input='dtmf speech'/>", "dtmf speech"),
        (
            "<Dial><Number sendDigits='4711'>+1</Number>"
            "<Sip username='secret' password='secret'>sip:a:secret@b</Sip>"
            "<Client>bob</Client></Dial>",
            'Number "+1", Sip "sip:a:…@b", Client "bob"',
        ),
        ("<Dial><Sip><Uri>sip:a@b</Uri><Uri>sip:c@d</Uri></Sip></Dial>", 'Sip "sip:a@b" "sip:c@d"'),
        ("<Dial><Conference>room</Conference></Dial>", 'Conference "room"'),
        ("<Dial><WhatsApp>+1</WhatsApp><Sim>DE1</Sim></Dial>", 'WhatsApp "+1", Sim "DE1"'),
        ("<Dial/>", ""),
        ("<Enqueue>support</Enqueue>", '"support"'),
        ("<Refer><Sip>sip:a@b</Sip></Refer>", "sip:a@b"),
        ("<Refer><Sip>sip:a:secret@b?X=1</Sip></Refer>", "sip:a:…@b?X=1"),
        ("<Connect><Room>r</Room></Connect>", "Room"),
        ("<Connect/>", ""),
        ("<Stop><Stream name='a'/></Stop>", "Stream"),
        ("<Hangup/>", ""),
    ],
)
def test_summary(verb, summary):
    assert summarise(read(verb)[0]) == summary


def test_nothing_is_too_much_for_it():
    for name in NODES:
        node, _ = read(f"<{name}/>")
        assert isinstance(summarise(node), str)
