"""Connect, Start, Stop and their nouns: one test per row of the vendor's tables
(twiml-voice.md section 5, media-streams.md section 1)."""

import pytest

from tests.twiml.reading import check, read
from twimlrunner.twiml.nodes.callbacks import Callback

START = '<Start><Stream url="wss://x/"¶/></Start>'
BARE = "<Start><Stream¶/></Start>"
CONNECT = '<Connect¶><Stream url="wss://x/"/></Connect>'
CONNECT_STREAM = '<Connect><Stream url="wss://x/"¶/></Connect>'
RECORDING = "<Start><Recording¶/></Start>"
TRANSCRIPTION = "<Start><Transcription¶/></Start>"
SIPREC = "<Start><Siprec¶/></Start>"
RELAY = '<Connect><ConversationRelay url="wss://x/"¶/></Connect>'
AGENT = "<Connect><VirtualAgent¶/></Connect>"

ROWS = [
    (BARE, "url", "wss://x/y", "nouns.0.url", "wss://x/y", None),
    (BARE, "url", "ws://x/y", "nouns.0.url", "ws://x/y", None),
    (BARE, "url", "/y", "nouns.0.url", "/y", None),
    (BARE, "url", "https://x/y", "", ("error", 31922), None),
    (BARE, "url", "wss://x/y?a=b", "", ("error", 31920), None),
    (BARE, "url", "wss://x y", "", ("error", 31923), None),
    (BARE, "url", "wss://[x", "", ("error", 31923), None),
    (START, "name", "mine", "nouns.0.name", "mine", None),
    (START, "track", None, "nouns.0.track", "inbound_track", None),
    (START, "track", "both_tracks", "nouns.0.track", "both_tracks", None),
    (START, "track", "left", "", ("error", 31941), None),
    (CONNECT_STREAM, "track", "outbound_track", "", ("error", 31941), None),
    (START, "statusCallback", "http://x/", "nouns.0.status_callback",
     Callback("http://x/", "POST"), None),
    (START, "statusCallbackMethod", "GET", "nouns.0.status_callback", None, None),
    (START, "connectorName", "c", "nouns.0.connector_name", "c", None),
    (CONNECT, "action", None, "action", None, None),
    (CONNECT, "action", "/x", "action", "/x", None),
    (CONNECT, "method", "get", "method", "GET", None),
    ("<Start¶><Recording/></Start>", "action", "/x", "action", "/x", None),
    ("<Stop¶><Stream name='a'/></Stop>", "x", None, "nouns.0.name", "a", None),
    (RECORDING, "trim", None, "nouns.0.trim", "do-not-trim", None),
    (RECORDING, "track", "outbound", "nouns.0.track", "outbound", None),
    (RECORDING, "track", "x", "nouns.0.track", "both", 12200),
    (RECORDING, "channels", "dual", "nouns.0.channels", "dual", None),
    (RECORDING, "channels", "quad", "nouns.0.channels", "mono", 12200),
    (RECORDING, "name", "r", "nouns.0.name", "r", None),
    (RECORDING, "recordingStatusCallback", "/r", "nouns.0.recording_callback",
     Callback("/r", "POST", ("completed",)), None),
    (TRANSCRIPTION, "name", "t", "nouns.0.name", "t", None),
    (TRANSCRIPTION, "track", "inbound_track", "nouns.0.track", "inbound_track", None),
    (TRANSCRIPTION, "statusCallbackUrl", "/t", "nouns.0.status_callback_url", "/t", None),
    (TRANSCRIPTION, "statusCallbackMethod", "GET", "nouns.0.status_callback_method", "GET", None),
    (TRANSCRIPTION, "inboundTrackLabel", "a", "nouns.0.inbound_track_label", "a", None),
    (TRANSCRIPTION, "outboundTrackLabel", "b", "nouns.0.outbound_track_label", "b", None),
    (TRANSCRIPTION, "partialResults", "true", "nouns.0.partial_results", True, None),
    (TRANSCRIPTION, "languageCode", "de-DE", "nouns.0.language_code", "de-DE", None),
    (TRANSCRIPTION, "transcriptionEngine", "google", "nouns.0.transcription_engine", "google",
     None),
    (TRANSCRIPTION, "profanityFilter", "false", "nouns.0.profanity_filter", False, None),
    (TRANSCRIPTION, "speechModel", "telephony", "nouns.0.speech_model", "telephony", None),
    (TRANSCRIPTION, "hints", "a,b", "nouns.0.hints", "a,b", None),
    (TRANSCRIPTION, "enableAutomaticPunctuation", "false",
     "nouns.0.enable_automatic_punctuation", False, None),
    (TRANSCRIPTION, "intelligenceService", "GA1", "nouns.0.intelligence_service", "GA1", None),
    (SIPREC, "name", "s", "nouns.0.name", "s", None),
    (SIPREC, "connectorName", "c", "nouns.0.connector_name", "c", None),
    (SIPREC, "track", "both_tracks", "nouns.0.track", "both_tracks", None),
    (SIPREC, "statusCallback", "/s", "nouns.0.status_callback", Callback("/s", "POST"), None),
    (RELAY, "welcomeGreeting", "Hi", "service.options", (("welcomeGreeting", "Hi"),), None),
    (RELAY, "ttsProvider", "x", "service.options", (("ttsProvider", "x"),), None),
    (RELAY, "nonsense", "x", "service.options", (), 12200),
    (AGENT, "connectorName", "c", "service.connector_name", "c", None),
    (AGENT, "language", "de", "service.language", "de", None),
    (AGENT, "sentimentAnalysis", "true", "service.sentiment_analysis", True, None),
    (AGENT, "statusCallback", "/s", "service.status_callback", Callback("/s", "POST"), None),
    ("<Connect><Room¶>r</Room></Connect>", "participantIdentity", "p",
     "service.participant_identity", "p", None),
    ("<Connect><Room¶/></Connect>", "x", None, "service.name", "", 12200),
    ("<Connect><Conversation¶/></Connect>", "inboundTimeout", "5",
     "service.options", (("inboundTimeout", "5"),), None),
    ("<Connect><AiSession¶/></Connect>", "aiConnector", "c", "service.ai_connector", "c", None),
    ("<Connect><Autopilot¶>UA1</Autopilot></Connect>", "x", None, "service.name", "UA1", None),
]  # fmt: skip


@pytest.mark.parametrize(("template", "name", "value", "path", "expected", "code"), ROWS)
def test_attribute(template, name, value, path, expected, code):
    check(template, name, value, path, expected, code)


def test_parameters_of_a_stream_have_a_limit():
    node, codes = read(
        '<Start><Stream url="wss://x/"><Parameter name="a" value="b"/>'
        f'<Parameter name="c" value="{"d" * 499}"/><Parameter value="e"/></Stream></Start>'
    )
    assert [(p.name, p.value) for p in node.nouns[0].parameters] == [("a", "b"), ("", "e")]
    assert codes == [12200, 12200]


@pytest.mark.parametrize("inner", ["", "<Room>r</Room>", "<Stream url='wss://x/'/><Say>x</Say>"])
@pytest.mark.parametrize("verb", ["Start", "Stop"])
def test_a_wrong_child_of_start_or_stop_is_an_error(verb, inner):
    node, _ = read(f"<{verb}>{inner}</{verb}>")
    assert (node.verb, node.issue.code) == (verb, 14300)


@pytest.mark.parametrize(
    ("inner", "service"),
    [
        ("", None),
        ("<Stream url='wss://x/'/><Room>r</Room>", "Stream"),
        ("<Siprec/><Room>r</Room>", "Room"),
    ],
)
def test_connect_needs_exactly_one_noun(inner, service):
    node, codes = read(f"<Connect>{inner}</Connect>")
    assert (node.service.NAME if node.service else None) == service
    assert codes == [12200]


def test_children_of_the_agents():
    node, codes = read(
        '<Connect><ConversationRelay url="wss://x/"><Language code="de-DE" voice="v"/>'
        '<Parameter name="a" value="b"/></ConversationRelay></Connect>'
    )
    assert node.service.languages[0].code == "de-DE"
    assert node.service.languages[0].options == (("voice", "v"),)
    assert node.service.parameters[0].value == "b"
    assert codes == []
    node, codes = read(
        '<Connect><VirtualAgent connectorName="c"><Config name="a" value="b"/>'
        '<Parameter name="c" value="d"/></VirtualAgent></Connect>'
    )
    assert (node.service.configs[0].name, node.service.parameters[0].name) == ("a", "c")
    assert codes == []


def test_pay_with_prompts():
    node, codes = read(
        '<Pay action="/p"><Prompt for="payment-card-number"><Say>Number?</Say></Prompt>'
        '<Parameter name="a" value="b"/></Pay>'
    )
    assert node.prompts[0].prompts[0].text == "Number?"
    assert node.parameters[0].name == "a"
    assert codes == []
