"""RFC 4475: every message of it, and what we do with it.

``ok`` means parsed and valid; what such a message is answered with further up (420, 415, 404 …) is
not this layer's business. A number is the status of the stateless answer, ``drop`` is no answer.
Where the RFC leaves a choice, the remark names it.
"""

from pathlib import Path

import pytest

from sipserver.sip.auth import DigestCredentials
from sipserver.sip.build import response_to
from sipserver.sip.errors import RemoteProtocolError
from sipserver.sip.message import Request, Response, parse_datagram, validate_request
from sipserver.sip.uri import OtherUri, SipUri

CORPUS = Path(__file__).parent.parent / "corpus" / "rfc4475"

LENGTH = ("l", "content-length")

TABLE = [
    # section, message, outcome, remark
    ("3.1.1.1", "wsinv", "ok", ""),
    ("3.1.1.2", "intmeth", "ok", "501 further up"),
    ("3.1.1.3", "esc01", "ok", ""),
    ("3.1.1.4", "escnull", "ok", ""),
    ("3.1.1.5", "esc02", "ok", "not a REGISTER"),
    ("3.1.1.6", "lwsdisp", "ok", ""),
    ("3.1.1.7", "longreq", "ok", ""),
    ("3.1.1.8", "dblreq", "ok", "trailing octets are dropped"),
    ("3.1.1.9", "semiuri", "ok", ""),
    ("3.1.1.10", "transports", "ok", ""),
    ("3.1.1.11", "mpart01", "ok", ""),
    ("3.1.1.12", "unreason", "ok", ""),
    ("3.1.1.13", "noreason", "ok", ""),
    ("3.1.2.1", "badinv01", 400, ""),
    ("3.1.2.2", "clerr", 400, ""),
    ("3.1.2.3", "ncl", 400, ""),
    ("3.1.2.4", "scalar02", 400, ""),
    ("3.1.2.5", "scalarlg", "ok", "discarded when its CSeq is read, see below"),
    ("3.1.2.6", "quotbal", 400, ""),
    ("3.1.2.7", "ltgtruri", 400, ""),
    ("3.1.2.8", "lwsruri", 400, ""),
    ("3.1.2.9", "lwsstart", 400, "could be accepted"),
    ("3.1.2.10", "trws", 400, "could be accepted"),
    ("3.1.2.11", "escruri", 400, "could be accepted without the headers"),
    ("3.1.2.12", "baddate", "ok", "we do not read Date"),
    ("3.1.2.13", "regbadct", 400, ""),
    ("3.1.2.14", "badaspec", "ok", "could be 400; the meaning is clear"),
    ("3.1.2.15", "baddn", 400, "could be accepted"),
    ("3.1.2.16", "badvers", 505, ""),
    ("3.1.2.17", "mismatch01", 400, ""),
    ("3.1.2.18", "mismatch02", 400, "could be 501"),
    ("3.1.2.19", "bigcode", "drop", ""),
    ("3.2.1", "badbranch", "ok", "the transaction layer matches it as RFC 2543 does"),
    ("3.3.1", "insuf", 400, ""),
    ("3.3.2", "unkscm", 416, ""),
    ("3.3.3", "novelsc", 416, ""),
    ("3.3.4", "unksm2", "ok", "the registrar refuses it"),
    ("3.3.5", "bext01", "ok", "420 further up"),
    ("3.3.6", "invut", "ok", "415 further up"),
    ("3.3.7", "regaut01", "ok", "challenged further up"),
    ("3.3.8", "multi01", 400, ""),
    ("3.3.9", "mcl01", 400, ""),
    ("3.3.10", "bcast", "ok", "discarded by the transaction layer for its second Via"),
    ("3.3.11", "zeromf", "ok", "483 or an answer further up"),
    ("3.3.12", "cparam01", "ok", ""),
    ("3.3.13", "cparam02", "ok", ""),
    ("3.3.14", "regescrt", "ok", ""),
    ("3.3.15", "sdp01", "ok", "406 further up"),
    ("3.4.1", "inv2543", "ok", ""),
]


def octets(name):
    return (CORPUS / f"{name}.sip").read_bytes()


def parsed(name):
    return parse_datagram(octets(name))


def test_table_covers_the_whole_corpus():
    assert {name for _, name, _, _ in TABLE} == {path.stem for path in CORPUS.glob("*.sip")}


@pytest.mark.parametrize(("section", "name", "outcome", "remark"), TABLE)
def test_torture_message_gets_the_answer_of_the_rfc(section, name, outcome, remark):
    def read():
        message = parsed(name)
        if isinstance(message, Request):
            validate_request(message)

    if outcome == "ok":
        read()
        return
    with pytest.raises(RemoteProtocolError) as caught:
        read()
    if outcome == "drop":
        assert caught.value.request is None
        return
    assert caught.value.status_hint == outcome
    assert caught.value.request is not None
    answer = bytes(response_to(caught.value.request, outcome, to_tag="t"))
    assert answer.startswith(b"SIP/2.0 %d " % outcome)
    assert parse_datagram(answer).headers.get("Via")


@pytest.mark.parametrize("name", [row[1] for row in TABLE if row[2] == "ok" and row[1] != "dblreq"])
def test_accepted_messages_survive_a_round_trip_in_meaning(name):
    once = parsed(name)
    again = parse_datagram(once.to_bytes())
    assert (again.start_line, again.body) == (once.start_line, once.body)
    without_length = [
        [pair for pair in message.headers.items() if pair[0].strip().lower() not in LENGTH]
        for message in (once, again)
    ]
    assert without_length[0] == without_length[1]


def test_wsinv_is_read_through_all_its_folding():
    message = parsed("wsinv")
    assert message.uri.params == (("unknownparam", None),)
    assert message.to.tag == "1918181833n"
    assert message.from_.display_name == 'J Rosenberg \\"'
    assert message.from_.tag == "98asjd8"
    assert message.max_forwards == 68
    assert message.cseq == (9, "INVITE")
    assert [(via.transport, via.host, via.branch) for via in message.vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    assert message.headers.get("Subject") == ""
    assert message.headers.get("newfangledheader") == "newfangled value continued newfangled value"
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    assert message.contact.display_name == 'Quoted string ""'
    assert message.contact.params.get("q") == "0.33"
    assert message.contact.params.has("secondparam")
    assert message.routes[0].uri.params.has("lr")
    assert len(message.body) == 150


def test_intmeth_keeps_every_unusual_character():
    message = parsed("intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~"
    assert message.uri.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.uri.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.to.display_name == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert message.from_.display_name == "token1~` token2'+_ token3*%!.-"
    assert message.from_.params.get("fromparam''~+*_!.-%") == '"работающий"'
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.call_id == "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"
    assert message.to_bytes().endswith(b"Content-Length: 0\r\n\r\n")


def test_escapes_are_decoded_only_for_the_reader():
    message = parsed("esc01")
    assert message.uri.host == "example.net"
    assert message.uri.user == "sips%3Auser%40example.com"
    assert message.uri.username == "sips:user@example.com"
    assert message.to.uri.username == "user"
    assert message.from_.uri.username == "I have spaces"
    assert parsed("escnull").contacts[1].uri.username == "\x00\x00"


def test_percent_is_no_escape_in_methods_names_and_branches():
    message = parsed("esc02")
    assert message.method == "RE%47IST%45R"
    assert message.to.display_name == "%Z%45"
    assert message.via.branch == "z9hG4bK209%fzsnel234"
    assert [contact.uri.user for contact in message.contacts] == ["alias1", "alias3"]


def test_other_valid_messages_have_the_expected_values():
    assert parsed("lwsdisp").from_.display_name == "caller"
    assert len(parsed("longreq").vias) == 34
    assert parsed("longreq").contact.uri.user == "amazinglylongcallername" * 5
    assert parsed("dblreq").body == b""
    assert parsed("semiuri").uri.username == "user;par=u@example.net"
    assert [via.transport for via in parsed("transports").vias] == [
        "UDP",
        "SCTP",
        "TLS",
        "UNKNOWN",
        "TCP",
    ]
    assert parsed("mpart01").content_type == "multipart/mixed"
    assert bytes(range(256)) in parsed("mpart01").body
    assert parsed("unreason").reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert (parsed("noreason").status, parsed("noreason").reason) == (100, "")
    assert parsed("badaspec").to.uri == SipUri("sip", "t.watson", None, "example.org")
    assert parsed("badbranch").via.branch == "z9hG4bK"
    assert parsed("bext01").require == ("nothingsupportsthis", "nothingsupportsthiseither")
    assert parsed("invut").content_type == "application/unknownformat"
    assert parsed("zeromf").max_forwards == 0
    assert parsed("unksm2").to.uri == OtherUri("isbn:2983792873")
    assert parsed("bcast").vias[1].host == "255.255.255.255"


def test_parameters_without_brackets_belong_to_the_header():
    assert parsed("cparam01").contact.params.has("unknownparam")
    assert not parsed("cparam01").contact.uri.params
    assert parsed("cparam02").contact.uri.params.has("unknownparam")
    assert not parsed("cparam02").contact.params
    assert parsed("regescrt").contact.uri.headers == "Route=%3Csip:sip.example.com%3E"


def test_rfc2543_invite_lacks_tag_branch_and_max_forwards():
    message = parsed("inv2543")
    assert message.from_.tag is None
    assert message.via.branch is None
    assert message.max_forwards is None
    assert len(message.record_routes) == 1


def test_overlarge_cseq_of_a_response_is_found_when_it_is_read():
    message = parsed("scalarlg")
    assert isinstance(message, Response)
    with pytest.raises(RemoteProtocolError):
        _ = message.cseq


def test_unknown_authorization_scheme_is_no_digest():
    with pytest.raises(RemoteProtocolError):
        DigestCredentials.parse(parsed("regaut01").headers.get("Authorization"))
