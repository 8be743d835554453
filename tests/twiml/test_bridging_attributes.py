"""Dial, its nouns, Enqueue, Refer and the flow verbs: one test per row of the vendor's attribute
tables (twiml-voice.md sections 3 and 4)."""

import pytest

from tests.twiml.reading import check, read
from twimlrunner.twiml.nodes.callbacks import Callback
from twimlrunner.twiml.nodes.conference import Conference, Queue
from twimlrunner.twiml.nodes.dial import RING_TONES
from twimlrunner.twiml.nodes.number import Client, MachineDetection, Number

DIAL = "<Dial¶>+4930123456</Dial>"
NUMBER = "<Dial><Number¶>+4930123456</Number></Dial>"
SIP = "<Dial><Sip¶>sip:a@b.example</Sip></Dial>"
CLIENT = "<Dial><Client¶>alice</Client></Dial>"
ROOM = "<Dial><Conference¶>room</Conference></Dial>"
QUEUE = "<Dial><Queue¶>support</Queue></Dial>"
APPLICATION = "<Dial><Application¶>AP1</Application></Dial>"
ENQUEUE = "<Enqueue¶>support</Enqueue>"
REFER = "<Refer¶><Sip>sip:a@b</Sip></Refer>"
CALL = "CA" + "0123456789abcdef" * 2

ROWS = [
    # Dial
    (DIAL, "action", None, "action", None, None),
    (DIAL, "action", "/x", "action", "/x", None),
    (DIAL, "method", "HEAD", "method", "POST", 13210),
    (DIAL, "timeout", None, "timeout", 30, None),
    (DIAL, "timeout", "5", "timeout", 5, None),
    (DIAL, "timeout", "600", "timeout", 600, None),
    (DIAL, "timeout", "4", "timeout", 30, 13212),
    (DIAL, "timeout", "601", "timeout", 30, 13212),
    (DIAL, "timeLimit", None, "time_limit", 14400, None),
    (DIAL, "timeLimit", "60", "time_limit", 60, None),
    (DIAL, "timeLimit", "0", "time_limit", 14400, 13216),
    (DIAL, "hangupOnStar", None, "hangup_on_star", False, None),
    (DIAL, "hangupOnStar", "true", "hangup_on_star", True, None),
    (DIAL, "hangupOnStar", "*", "hangup_on_star", False, 13213),
    (DIAL, "callerId", None, "caller_id", "", None),
    (DIAL, "callerId", "front-desk", "caller_id", "front-desk", None),
    (DIAL, "callerId", "x" * 300, "caller_id", "", 13248),
    (DIAL, "record", None, "record", "do-not-record", None),
    (DIAL, "record", "true", "record", "record-from-answer", None),
    (DIAL, "record", "false", "record", "do-not-record", None),
    (DIAL, "record", "record-from-ringing-dual", "record", "record-from-ringing-dual", None),
    (DIAL, "record", "yes", "record", "do-not-record", 13217),
    (DIAL, "recordingTrack", None, "recording_track", "both", None),
    (DIAL, "recordingTrack", "inbound", "recording_track", "inbound", None),
    (DIAL, "recordingTrack", "left", "recording_track", "both", 13622),
    (DIAL, "trim", None, "trim", "do-not-trim", None),
    (DIAL, "trim", "x", "trim", "do-not-trim", 12200),
    (
        DIAL, "recordingStatusCallback", "http://r/",
        "recording_callback", Callback("http://r/", "POST", ("completed",)), None,
    ),
    (DIAL, "answerOnBridge", None, "answer_on_bridge", False, None),
    (DIAL, "answerOnBridge", "true", "answer_on_bridge", True, None),
    (DIAL, "answerOnBridge", "TRUE", "answer_on_bridge", False, 13219),
    (DIAL, "ringTone", None, "ring_tone", "", None),
    (DIAL, "ringTone", "us-old", "ring_tone", "us-old", None),
    (DIAL, "ringTone", "xx", "ring_tone", "", 13220),
    (DIAL, "sequential", None, "sequential", False, None),
    (DIAL, "sequential", "true", "sequential", True, None),
    (DIAL, "sequential", "1", "sequential", False, 13218),
    (DIAL, "referUrl", "/r", "refer_url", "/r", None),
    (DIAL, "referMethod", "get", "refer_method", "GET", None),
    (DIAL, "callReason", "your parcel", "call_reason", "your parcel", None),
    (DIAL, "callReason", "x" * 51, "call_reason", "", 12200),
    (DIAL, "recordingConfigurationId", "c", "recording_configuration_id", "c", None),
    (DIAL, "events", "e", "events", "e", None),
    (DIAL, "passports", "p", "passports", "p", None),
    # Number, Sip, Client
    (NUMBER, "url", "/screen", "nouns.0.url", "/screen", None),
    (NUMBER, "method", "x", "nouns.0.method", "POST", 13221),
    (NUMBER, "sendDigits", "ww12#", "nouns.0.send_digits", "ww12#", None),
    (NUMBER, "sendDigits", "A", "nouns.0.send_digits", "", 13222),
    (NUMBER, "byoc", "BY1", "nouns.0.byoc", "BY1", None),
    (NUMBER, "phoneNumber", "+1", "nouns.0.phone_number", "+1", None),
    (NUMBER, "statusCallback", None, "nouns.0.status_callback", None, None),
    (
        NUMBER, "statusCallback", "/s",
        "nouns.0.status_callback", Callback("/s", "POST", ("completed",)), None,
    ),
    (
        SIP.replace("¶", ' statusCallback="/s"¶'), "statusCallbackEvent", "initiated answered",
        "nouns.0.status_callback.events", ("initiated", "answered"), None,
    ),
    (SIP, "statusCallbackEvent", "begun", "nouns.0.status_callback", None, 12200),
    (NUMBER, "machineDetection", None, "nouns.0.machine_detection", None, None),
    (
        NUMBER, "machineDetection", "Enable", "nouns.0.machine_detection",
        MachineDetection("Enable", 30, 2400, 1200, 5000, None), None,
    ),
    (
        SIP.replace("¶", ' machineDetection="DetectMessageEnd"¶'), "machineDetectionTimeout", "5",
        "nouns.0.machine_detection.timeout", 5, None,
    ),
    (NUMBER, "machineDetectionTimeout", "61", "nouns.0.machine_detection", None, 12200),
    (NUMBER, "machineDetectionSpeechThreshold", "999", "nouns.0.machine_detection", None, 12200),
    (
        NUMBER, "machineDetectionSpeechEndThreshold", "5001",
        "nouns.0.machine_detection", None, 12200,
    ),
    (NUMBER, "machineDetectionSilenceTimeout", "1999", "nouns.0.machine_detection", None, 12200),
    (NUMBER, "amdStatusCallback", "/a", "nouns.0.machine_detection", None, None),
    (SIP, "method", "x", "nouns.0.method", "POST", 13241),
    (SIP, "username", "u", "nouns.0.uris.0.username", "u", None),
    (SIP, "password", "p", "nouns.0.uris.0.password", "p", None),
    (SIP, "password", "p" * 256, "nouns.0.uris.0.password", "", 13249),
    (SIP, "sendDigits", "1", "nouns.0.url", None, 12200),
    (CLIENT, "url", "/c", "nouns.0.url", "/c", None),
    (CLIENT, "method", "GET", "nouns.0.method", "GET", None),
    (CLIENT, "machineDetection", "Enable", "nouns.0.identity", "alice", 12200),
    (APPLICATION, "customerId", "7", "nouns.0.customer_id", "7", None),
    (APPLICATION, "copyParentTo", "true", "nouns.0.copy_parent_to", True, None),
    # Conference
    (ROOM, "muted", None, "nouns.0.muted", False, None),
    (ROOM, "muted", "true", "nouns.0.muted", True, None),
    (ROOM, "muted", "x", "nouns.0.muted", False, 13230),
    (ROOM, "beep", None, "nouns.0.beep", "true", None),
    (ROOM, "beep", "onEnter", "nouns.0.beep", "onEnter", None),
    (ROOM, "beep", "loud", "nouns.0.beep", "true", 13235),
    (ROOM, "startConferenceOnEnter", None, "nouns.0.start_on_enter", True, None),
    (ROOM, "startConferenceOnEnter", "x", "nouns.0.start_on_enter", True, 13232),
    (ROOM, "endConferenceOnExit", None, "nouns.0.end_on_exit", False, None),
    (ROOM, "endConferenceOnExit", "x", "", ("error", 13231), None),
    (ROOM, "participantLabel", "amy", "nouns.0.participant_label", "amy", None),
    (ROOM, "participantLabel", "a/b", "", ("error", 16023), None),
    (ROOM, "participantLabel", CALL, "", ("error", 16023), None),
    (ROOM, "participantLabel", "x" * 129, "", ("error", 16023), None),
    (ROOM, "jitterBufferSize", None, "nouns.0.jitter_buffer_size", "large", None),
    (ROOM, "jitterBufferSize", "off", "nouns.0.jitter_buffer_size", "off", None),
    (ROOM, "waitUrl", None, "nouns.0.wait_url", None, None),
    (ROOM, "waitUrl", None, "nouns.0.wait_method", "GET", None),
    (ROOM, "waitUrl", "", "nouns.0.wait_url", "", None),
    (ROOM, "waitUrl", "/wait", "nouns.0.wait_url", "/wait", None),
    (ROOM, "waitUrl", "/wait", "nouns.0.wait_method", "POST", None),
    (ROOM, "waitUrl", "file:///x", "nouns.0.wait_url", None, 13233),
    (ROOM, "waitMethod", "x", "nouns.0.wait_method", "GET", 13234),
    (ROOM, "maxParticipants", None, "nouns.0.max_participants", 250, None),
    (ROOM, "maxParticipants", "2", "nouns.0.max_participants", 2, None),
    (ROOM, "maxParticipants", "251", "nouns.0.max_participants", 250, 12200),
    (ROOM, "record", None, "nouns.0.record", "do-not-record", None),
    (ROOM, "record", "record-from-start", "nouns.0.record", "record-from-start", None),
    (ROOM, "trim", None, "nouns.0.trim", "trim-silence", None),
    (ROOM, "trim", "x", "", ("error", 13239), None),
    (ROOM, "coach", CALL, "nouns.0.coach", CALL, None),
    (ROOM, "coach", "CAx", "", ("error", 13240), None),
    (ROOM, "region", "us1", "nouns.0.region", "us1", None),
    (
        ROOM.replace("¶", ' statusCallback="/s"¶'), "statusCallbackEvent", "start end join",
        "nouns.0.status_callback.events", ("start", "end", "join"), None,
    ),
    (
        ROOM, "statusCallback", "/s", "nouns.0.status_callback", Callback("/s", "POST", ()), None,
    ),
    (ROOM, "eventCallbackUrl", "/e", "nouns.0.event_callback_url", "/e", None),
    # Queue
    (QUEUE, "url", "/q", "nouns.0.url", "/q", None),
    (QUEUE, "url", "news:q", "", ("error", 14211), None),
    (QUEUE, "method", "x", "", ("error", 14210), None),
    (QUEUE, "reservationSid", "WR1", "nouns.0.reservation_sid", "WR1", None),
    (QUEUE, "postWorkActivitySid", "WA1", "nouns.0.post_work_activity_sid", "WA1", None),
    # Enqueue
    (ENQUEUE, "action", None, "action", None, None),
    (ENQUEUE, "action", "x:y", "", ("error", 14203), None),
    (ENQUEUE, "method", "x", "", ("error", 14201), None),
    (ENQUEUE, "waitUrl", None, "wait_url", None, None),
    (ENQUEUE, "waitUrl", "x:y", "", ("error", 14202), None),
    (ENQUEUE, "waitUrlMethod", None, "wait_url_method", "POST", None),
    (ENQUEUE, "waitUrlMethod", "x", "", ("error", 14206), None),
    (ENQUEUE, "workflowSid", "WW1", "workflow_sid", "WW1", None),
    (ENQUEUE, "maxQueueSize", None, "max_queue_size", 1000, None),
    (ENQUEUE, "maxQueueSize", "5001", "max_queue_size", 1000, 12200),
    # Flow
    (REFER, "action", None, "action", None, None),
    (REFER, "action", "/r", "action", "/r", None),
    (REFER, "method", "GET", "method", "GET", None),
    (REFER, "statusCallback", "/s", "target", "sip:a@b", 12200),
    ("<Hangup¶/>", "reason", "x", "line", 1, 12200),
    ("<Leave¶/>", "x", "y", "line", 1, 12200),
    ("<Echo¶/>", "x", None, "line", 1, None),
    ("<Reject¶/>", "reason", None, "reason", "rejected", None),
    ("<Reject¶/>", "reason", "rejected", "reason", "rejected", None),
    ("<Reject¶/>", "reason", "busy", "reason", "busy", None),
    ("<Reject¶/>", "reason", "tired", "reason", "rejected", 13810),
    ("<Redirect¶>/b</Redirect>", "method", None, "method", "POST", None),
    ("<Redirect¶>/b</Redirect>", "method", "get", "method", "GET", None),
    ("<Redirect¶>/b</Redirect>", "method", "x", "method", "POST", 13710),
    ("<Redirect¶/>", "method", None, "url", "", None),
    ("<Sms¶>hi</Sms>", "to", "+1", "to", "+1", None),
    ("<Sms¶>hi</Sms>", "from", "+2", "sender", "+2", None),
    ("<Pay¶/>", "chargeAmount", "9.99", "options", (("chargeAmount", "9.99"),), None),
    ("<Pay¶/>", "statusCallback", "/p", "status_callback", Callback("/p", "POST"), None),
    ("<Prompt¶/>", "for", "postal-code", "options", (("for", "postal-code"),), None),
]  # fmt: skip


@pytest.mark.parametrize(("template", "name", "value", "path", "expected", "code"), ROWS)
def test_attribute(template, name, value, path, expected, code):
    check(template, name, value, path, expected, code)


@pytest.mark.parametrize("tone", RING_TONES)
def test_every_ring_tone_is_known(tone):
    node, codes = read(f'<Dial ringTone="{tone}">+1</Dial>')
    assert (node.ring_tone, codes) == (tone, [])


def test_plain_text_is_a_number():
    node, codes = read("<Dial> +49 30 123456 </Dial>")
    assert isinstance(node.nouns[0], Number)
    assert node.nouns[0].number == "+49 30 123456"
    assert codes == []


@pytest.mark.parametrize(
    ("inner", "codes", "nouns"),
    [
        ("", [13215], 0),
        ("hello world", [13223], 1),
        ("<Number>call me</Number>", [13223], 1),
        ("<Number/>", [13223], 1),
        ("+1<Number>+2</Number>", [12200], 1),
        ("<Say>no</Say><Number>+2</Number>", [13215], 1),
        ("<Number>+1</Number>" * 10, [], 10),
        ("<Number>+1</Number>" * 11, [13215], 10),
        ("<Conference>r</Conference><Number>+1</Number>", [13000], 1),
        ("<Sim>DE1</Sim><WhatsApp>+1</WhatsApp>", [], 2),
    ],
)
def test_nouns_of_dial(inner, codes, nouns):
    node, found = read(f"<Dial>{inner}</Dial>")
    assert found == codes
    assert len(node.nouns) == nouns


def test_conference_and_queue_stand_alone():
    node, _ = read("<Dial><Number>+1</Number><Conference>r</Conference></Dial>")
    assert [type(noun) for noun in node.nouns] == [Conference]
    node, _ = read("<Dial><Number>+1</Number><Queue>r</Queue></Dial>")
    assert [type(noun) for noun in node.nouns] == [Queue]


def test_nested_sip_with_uris_and_headers():
    node, codes = read(
        '<Dial><Sip><Uri priority="1" weight="2" username="u" password="p">sip:a@b</Uri>'
        "<Uri>sip:c@d</Uri>"
        '<Headers><Header name="X-A" value="1"/><Header name="X B" value="2"/></Headers>'
        "</Sip></Dial>"
    )
    (sip,) = node.nouns
    assert [(uri.uri, uri.priority, uri.weight) for uri in sip.uris] == [
        ("sip:a@b", 1, 2),
        ("sip:c@d", 0, 0),
    ]
    assert [(header.name, header.value) for header in sip.headers] == [("X-A", "1")]
    assert codes == [13252]
    assert "'p'" not in repr(node)


@pytest.mark.parametrize(
    ("inner", "code", "uris", "headers"),
    [
        ("", 13243, 0, 0),
        ("sip:a b@c", 13243, 0, 0),
        ("<Uri>sip:a@b</Uri>" * 11, 13250, 10, 0),
        (
            "<Uri>sip:a@b</Uri><Headers>" + '<Header name="X-A" value="1"/>' * 21 + "</Headers>",
            13251, 1, 20,
        ),
        (
            f'<Uri>sip:a@b</Uri><Headers><Header name="X-A" value="{"v" * 1024}"/></Headers>',
            13253, 1, 0,
        ),
    ],
)  # fmt: skip
def test_limits_of_sip(inner, code, uris, headers):
    node, codes = read(f"<Dial><Sip>{inner}</Sip></Dial>")
    (sip,) = node.nouns
    assert (codes, len(sip.uris), len(sip.headers)) == ([code], uris, headers)


def test_a_password_never_shows_in_a_message():
    node, _ = read(f'<Dial><Sip password="{"s3cret" * 60}">sip:a@b</Sip></Dial>')
    assert "s3cret" not in repr(node)


def test_client_with_identity_and_parameters():
    node, codes = read(
        '<Dial><Client><Identity>bob</Identity><Parameter name="a" value="b"/></Client></Dial>'
    )
    (client,) = node.nouns
    assert isinstance(client, Client)
    assert client.identity == "bob"
    assert [(p.name, p.value) for p in client.parameters] == [("a", "b")]
    assert codes == []


@pytest.mark.parametrize(
    ("inner", "code"),
    [("", 14204), ("x" * 65, 14205)],
)
def test_name_of_a_queue(inner, code):
    node, _ = read(f"<Enqueue>{inner}</Enqueue>")
    assert node.issue.code == code


def test_enqueue_with_a_task_needs_no_name():
    node, codes = read('<Enqueue workflowSid="WW1"><Task priority="5">{"a":1}</Task></Enqueue>')
    assert (node.name, node.tasks[0].body, node.tasks[0].priority) == ("", '{"a":1}', 5)
    assert codes == []


@pytest.mark.parametrize(
    ("inner", "target", "codes"),
    [
        ("<Sip>sip:a@b?X-A=1</Sip>", "sip:a@b?X-A=1", []),
        ("", "", [12200]),
        ("<Sip/>", "", [12200]),
        ("<Sip>sip:a@b</Sip><Sip>sip:c@d</Sip>", "sip:a@b", [12200]),
        ("<Sip>sip:a b</Sip>", "", [12200]),
        ("<Number>+1</Number><Sip>sip:a@b</Sip>", "sip:a@b", [12200]),
    ],
)
def test_target_of_refer(inner, target, codes):
    node, found = read(f"<Refer>{inner}</Refer>")
    assert (node.target, found) == (target, codes)


@pytest.mark.parametrize("name", ["", "x" * 129])
def test_a_conference_needs_a_name(name):
    node, codes = read(f"<Dial><Conference>{name}</Conference></Dial>")
    assert (node.nouns[0].name, codes) == ("", [13237])


def test_enqueue_takes_one_task():
    node, codes = read('<Enqueue workflowSid="WW1"><Task>1</Task><Task>2</Task></Enqueue>')
    assert ([task.body for task in node.tasks], codes) == (["1"], [12200])


@pytest.mark.parametrize(
    ("inner", "identity"),
    [("", ""), ("a<Identity>b</Identity>", "a"), ("<Identity>a</Identity>" * 2, "a")],
)
def test_a_client_has_one_identity(inner, identity):
    node, codes = read(f"<Dial><Client>{inner}</Client></Dial>")
    assert (node.nouns[0].identity, codes) == (identity, [12200])
