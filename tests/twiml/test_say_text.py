"""What Say speaks: text, SSML, limits (twiml-voice.md section 2)."""

import pytest

from tests.twiml.reading import read
from twimlrunner.twiml.ssml import TAGS


@pytest.mark.parametrize(
    ("inner", "text", "ssml", "codes"),
    [
        (" hello\n  world ", "hello world", "", []),
        ("a &amp; b &lt;c&gt;", "a & b <c>", "", []),
        ("<![CDATA[a & b]]>", "a & b", "", []),
        ("Grüße <!-- x -->aus", "Grüße aus", "", []),
        ("", "", "", [13520]),
        (" \n ", "", "", [13520]),
        ('a <break time="1s"/> b', "a b", 'a <break time="1s"></break> b', []),
        ("<p>a</p><s>b</s>", "ab", "<p>a</p><s>b</s>", []),
        ('<lang xml:lang="fr-FR">oui</lang>', "oui", '<lang xml:lang="fr-FR">oui</lang>', []),
        ('<sub alias="World Wide Web">WWW</sub>', "World Wide Web",
         '<sub alias="World Wide Web">WWW</sub>', []),
        ('<emphasis level="strong">a <w role="x">b</w></emphasis>', "a b",
         '<emphasis level="strong">a <w role="x">b</w></emphasis>', []),
        ("<p>a &amp; b</p>", "a & b", "<p>a &amp; b</p>", []),
        ('<say-as interpret-as="date" format="dmy">1.2.</say-as>', "1.2.",
         '<say-as interpret-as="date" format="dmy">1.2.</say-as>', []),
        ('<phoneme alphabet="ipa" ph="&quot;&lt;">x</phoneme>', "x",
         '<phoneme alphabet="ipa" ph="&quot;&lt;">x</phoneme>', []),
        ("<b>bold</b> text", "bold text", "", [12200]),
        ("<b><p>x</p></b>", "x", "<p>x</p>", [12200]),
        ('<prosody rate="fast" onload="x">a</prosody>', "a",
         '<prosody rate="fast">a</prosody>', [12200]),
        ("Hear <Play>http://x/</Play> this", "Hear this", "", [12200]),
        ("<break/>", "", "<break></break>", []),
    ],
)  # fmt: skip
def test_text_and_markup(inner, text, ssml, codes):
    node, found = read(f'<Say voice="Polly.Amy">{inner}</Say>')
    assert (node.text, node.ssml, found) == (text, ssml, codes)


@pytest.mark.parametrize("tag", TAGS)
def test_every_tag_is_known_with_its_attributes(tag):
    attributes = " ".join(
        f'{name.replace("{http://www.w3.org/XML/1998/namespace}", "xml:")}="v"'
        for name in TAGS[tag]
    )
    node, codes = read(f"<Say><{tag} {attributes}>x</{tag}></Say>")
    assert node.ssml.startswith(f"<{tag}")
    assert codes == []


@pytest.mark.parametrize(("voice", "most"), [("man", 4096), ("woman", 4096), ("Polly.Amy", 3000)])
def test_longest_text(voice, most):
    node, codes = read(f'<Say voice="{voice}">{"a" * most}</Say>')
    assert (len(node.text), codes) == (most, [])
    node, codes = read(f'<Say voice="{voice}">{"a" * (most + 1)}</Say>')
    assert (node.text, codes) == ("", [13521])


def test_longest_text_counts_what_is_spoken():
    node, codes = read(f'<Say voice="Polly.Amy">{"a" * 3000}<break time="1s"/></Say>')
    assert len(node.text) == 3000
    assert node.ssml
    assert codes == []
