"""A call as a file: JSON, text ladder and packets, checked by parsers that are not ours."""

import ipaddress
import json
import struct
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from sipdomains import access
from sipdomains.models import Account, CallEvent
from sipdomains.selectors import wholecall
from sipdomains.web.pcap import Message, capture, checksum, consistent
from tests.programs import needed
from tests.sipdomains.web.conftest import NOON

AT = datetime(2026, 3, 4, 12, 0, 0, 123456, tzinfo=UTC)
INVITE = (
    b"INVITE sip:100@pbx.example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n"
    b"From: <sip:a@h>;tag=1\r\nTo: <sip:100@h>\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n"
    b"Content-Length: 0\r\n\r\n"
)
OK = INVITE.replace(b"INVITE sip:100@pbx.example.net SIP/2.0", b"SIP/2.0 200 OK")


def message(source, target, transport="udp", data=INVITE, after=0.0):
    return Message(AT + timedelta(seconds=after), source, target, transport, data)


def packets(file):
    """(seconds, packet) of a file of libpcap, little endian, of raw IP."""
    magic, major, minor, _, _, _, link = struct.unpack("<IHHiIII", file[:24])
    assert (magic, major, minor, link) == (0xA1B2C3D4, 2, 4, 101)
    place, found = 24, []
    while place < len(file):
        seconds, micros, kept, whole = struct.unpack("<IIII", file[place : place + 16])
        assert kept == whole
        found.append((seconds + micros / 1e6, file[place + 16 : place + 16 + kept]))
        place += 16 + kept
    return found


def parse(packet):
    """(source, target, transport, payload); checks lengths and checksums."""
    if packet[0] >> 4 == 4:
        assert struct.unpack(">H", packet[2:4])[0] == len(packet)
        assert checksum(packet[:20]) == 0
        protocol, source, target, rest = packet[9], packet[12:16], packet[16:20], packet[20:]
    else:
        assert packet[0] >> 4 == 6
        assert struct.unpack(">H", packet[4:6])[0] == len(packet) - 40
        protocol, source, target, rest = packet[6], packet[8:24], packet[24:40], packet[40:]
    pseudo = source + target + struct.pack(">IHBB", len(rest), 0, 0, protocol)
    assert checksum(pseudo + rest) == 0
    ports = struct.unpack(">HH", rest[:4])
    if protocol == 17:
        assert struct.unpack(">H", rest[4:6])[0] == len(rest)
        name, payload = "udp", rest[8:]
    else:
        assert protocol == 6
        name, payload = "tcp", rest[(rest[12] >> 4) * 4 :]
    ends = [
        (str(ipaddress.ip_address(raw)), port)
        for raw, port in zip((source, target), ports, strict=True)
    ]
    return (*ends, name, payload)


A4, B4 = ("192.0.2.9", 5060), ("198.51.100.7", 40000)
A6, B6 = ("2001:db8::9", 5060), ("2001:db8::7", 40000)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("a", "b"), [(A4, B4), (A6, B6)])
def test_packets_have_sound_headers(transport, a, b):
    file = capture([message(a, b, transport), message(b, a, transport, OK, 0.25)])
    (first_at, first), (second_at, second) = packets(file)
    assert parse(first) == (a, b, transport, INVITE)
    assert parse(second) == (b, a, transport, OK)
    assert first_at == pytest.approx(AT.timestamp(), abs=1e-6)
    assert second_at - first_at == pytest.approx(0.25, abs=2e-6)


def test_stream_is_numbered_by_its_octets():
    file = capture([message(A4, B4, "tcp"), message(A4, B4, "tcp"), message(B4, A4, "tls", OK)])
    numbers = [struct.unpack(">II", packet[24:32]) for _, packet in packets(file)]
    size = len(INVITE)
    assert numbers == [(1, 1), (1 + size, 1), (1, 1 + 2 * size)]


@pytest.mark.parametrize(
    ("source", "target", "shown"),
    [
        (("", 5060), B4, ("192.0.2.1", "198.51.100.7")),
        (A4, ("sip.example.net", 5060), ("192.0.2.9", "192.0.2.2")),
        (A6, ("0.0.0.0", 5060), ("2001:db8::9", "2001:db8::2")),
        (("[fe80::1%eth0]", 99999), B6, ("fe80::1", "2001:db8::7")),
    ],
)
def test_unknown_addresses_become_those_of_documentation(source, target, shown):
    [(_, packet)] = packets(capture([message(source, target)]))
    found = parse(packet)
    assert (found[0][0], found[1][0]) == shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"A\r\nContent-Length: 99\r\n\r\nabc", b"A\r\nContent-Length: 3\r\n\r\nabc"),
        (b"A\r\nl:5\r\nX-l: 5\r\n\r\n", b"A\r\nl:0\r\nX-l: 5\r\n\r\n"),
        (b"A\r\nContent-Length: 9", b"A\r\nContent-Length: 9"),
    ],
)
def test_length_is_that_of_what_is_left(given, expected):
    assert consistent(given) == expected


def test_wireshark_reads_the_messages(tmp_path):
    file = tmp_path / "call.pcap"
    cut = OK.replace(b"Content-Length: 0", b"Content-Length: 500")
    file.write_bytes(
        capture(
            [
                message(A4, B4), message(B4, A4, "udp", OK),
                message(A6, B6, "tcp"), message(B6, A6, "tcp", cut), message(B6, A6, "tcp", OK),
            ]
        )
    )  # fmt: skip
    fields = ["-e", "ip.src", "-e", "ipv6.src", "-e", "sip.Method", "-e", "sip.Status-Code"]
    run = subprocess.run(
        [needed("tshark"), "-r", str(file), "-T", "fields", *fields],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert [line.split("\t") for line in run.stdout.splitlines()] == [
        ["192.0.2.9", "", "INVITE", ""],
        ["198.51.100.7", "", "", "200"],
        ["", "2001:db8::9", "INVITE", ""],
        ["", "2001:db8::7", "", "200"],
        ["", "2001:db8::7", "", "200"],
    ]


# --- the views ------------------------------------------------------------------------------------


@pytest.fixture
def call(make_call, add_event, add_attempt, add_note):
    call = make_call(headers=[["X-Account", "42"], ["Authorization", "Basic hunter2"]])
    child = make_call(parent=call, direction="outbound-dial", to_uri="sip:bob@h")
    text = INVITE.decode()
    trace = {"transport": "udp", "summary": "INVITE", "text": text}
    add_event(call, "sip", {"dir": "in", "peer": "198.51.100.7:40000", **trace})
    add_event(call, "webhook", {"url": "http://u:hunter2@app/", "method": "POST"}, 0.1)
    add_event(
        child, "sip",
        {"dir": "out", "peer": "203.0.113.5:5060", "local": "192.0.2.9:5062", **trace}, 1.5,
    )  # fmt: skip
    add_event(call, "document", {"url": "http://app/", "verbs": ["Say"], "body": "<Say/>" * 2000})
    add_attempt(call, url="http://u:hunter2@app/", at=NOON, status=200, duration_ms=5)
    add_note(call, 11200)
    return call


def test_json_has_everything_and_no_secret(desk, call):
    answer = desk.get(f"/calls/{call.sid}/call.json")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{call.sid}.json"'
    text = b"".join(answer).decode()
    assert "hunter2" not in text
    whole = json.loads(text)
    assert whole["call"]["headers"] == [["X-Account", "42"], ["Authorization", "…"]]
    assert [event["kind"] for event in whole["events"]] == ["sip", "document", "webhook", "sip"]
    assert whole["events"][0]["data"]["text"] == INVITE.decode()
    assert whole["webhook_requests"][0]["status"] == 200
    assert whole["notifications"][0]["mend"]
    assert len(whole["legs"]) == 1


def test_json_leaves_nothing_out_however_much_there_is(
    desk, call, make_call, add_attempt, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(wholecall, "CHUNK", 50)  # less than what shares one moment
    [child] = call.children.all()
    CallEvent.objects.filter(call__in=[call, child]).delete()
    CallEvent.objects.bulk_create(
        CallEvent(call=one, seq=seq, at=NOON + timedelta(seconds=seq // 60), kind="sip")
        for one in (call, child) for seq in range(1, 701)
    )  # fmt: skip
    for _ in range(120):
        add_attempt(call, url="http://app/", at=NOON)
    with django_assert_max_num_queries(60):
        whole = json.loads(b"".join(desk.get(f"/calls/{call.sid}/call.json")))
    told = [(event["call_sid"], event["seq"]) for event in whole["events"]]
    assert sorted(told) == [(one.sid, seq) for one in (call, child) for seq in range(1, 701)]
    assert [event["at"] for event in whole["events"]] == sorted(e["at"] for e in whole["events"])
    assert len({row["id"] for row in whole["webhook_requests"]}) == 121
    assert (whole["complete"], whole["recordings"], len(whole["legs"])) == (True, [], 1)


def test_json_of_a_call_has_nothing_of_legs_that_are_not_theirs(
    client, make_user, make_call, add_event, domain
):
    other = Account.objects.create(friendly_name="Other")
    call = make_call(account=domain.account)
    child = make_call(parent=call, account=other)
    add_event(child, "sip", {"text": "INVITE"})
    client.force_login(make_user("member", access.VIEWER, accounts=[domain.account]))
    whole = json.loads(b"".join(client.get(f"/calls/{call.sid}/call.json")))
    assert (whole["legs"], whole["events"]) == ([], [])
    assert client.get(f"/calls/{child.sid}/call.json").status_code == 404


def test_ladder_is_plain_text(desk, call):
    answer = desk.get(f"/calls/{call.sid}/ladder.txt")
    text = answer.content.decode()
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "hunter2" not in text
    drawn = text.partition("SIP messages")[0]
    first = next(line for line in drawn.splitlines() if line.endswith("INVITE"))
    assert "- INVITE -" in first
    assert ">|" in first
    assert "… 1.5 s later" in drawn or "1.4 s later" in drawn
    assert "bob@h" in drawn
    assert "CSeq: 1 INVITE" in text


def test_packets_are_those_of_all_legs(desk, call):
    answer = desk.get(f"/calls/{call.sid}/messages.pcap")
    first, second = [parse(packet) for _, packet in packets(answer.content)]
    assert first[:2] == (("198.51.100.7", 40000), ("192.0.2.9", 5062))
    assert second[:2] == (("192.0.2.9", 5062), ("203.0.113.5", 5060))


def test_call_without_messages_is_an_empty_capture(desk, make_call):
    answer = desk.get(f"/calls/{make_call().sid}/messages.pcap")
    assert packets(answer.content) == []


@pytest.mark.parametrize("name", ["call.json", "ladder.txt", "messages.pcap"])
def test_files_of_no_call_are_not_there(desk, name):
    assert desk.get(f"/calls/CA{'f' * 32}/{name}").status_code == 404


# --- what is loaded when it is opened -------------------------------------------------------------


def test_message_and_request_are_loaded_when_they_are_opened(desk, call):
    htmx = {"HX-Request": "true"}
    part = desk.get(f"/calls/{call.sid}/events/1/", headers=htmx).content.decode()
    assert "CSeq: 1 INVITE" in part
    assert "<html" not in part
    whole = desk.get(f"/calls/{call.sid}/events/1/").content.decode()
    assert "<html" in whole
    pk = call.webhook_requests.get().pk
    assert "hunter2" not in desk.get(f"/calls/{call.sid}/requests/{pk}/request/").content.decode()
    assert desk.get(f"/calls/{call.sid}/requests/{pk}/response/", headers=htmx).status_code == 200
    more = f"/calls/{call.sid}/documents/1/"
    assert f'hx-get="{more}"' in desk.get(f"/calls/{call.sid}/").content.decode()
    assert '<i class="x-t">&lt;Say</i>' in desk.get(more, headers=htmx).content.decode()


HUGE = 99999999999999999999
ABSENT = ["documents/0/", "documents/2/", f"documents/{HUGE}/", "events/2/", "events/99/",
          f"events/{HUGE}/", "requests/0/request/", f"requests/{HUGE}/request/"]  # fmt: skip


@pytest.mark.parametrize("path", ABSENT)
def test_part_that_does_not_exist_is_a_404(desk, call, path):
    assert desk.get(f"/calls/{call.sid}/{path}").status_code == 404


def test_part_of_a_request_has_one_of_two_names(desk, call):
    pk = call.webhook_requests.get().pk
    assert desk.get(f"/calls/{call.sid}/requests/{pk}/else/").status_code == 404
