"""Digest authentication: RFC 2617, RFC 7616, RFC 8760 and sip-domain.md section 2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipserver.sip import auth
from sipserver.sip.auth import DigestCredentials, NonceState
from sipserver.sip.errors import LocalProtocolError, RemoteProtocolError

SPEC_NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
SPEC_URI = "sip:100@pbx.example.net"
SPEC_HA1 = "b8a25f9aa1de2d498058c43dbbaaaf95"
RFC7616_NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
RFC7616_CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"

VECTORS = [
    # algorithm, user, realm, password, method, uri, nonce, cnonce (None: no qop), response
    ("MD5", "alice", "sip.example.net", "Correct9HorseX", "INVITE", SPEC_URI, SPEC_NONCE, None,
     "2421d0b4c1894488874a2ad48bb83458"),
    ("MD5", "alice", "sip.example.net", "Correct9HorseX", "INVITE", SPEC_URI, SPEC_NONCE,
     "0a4f113b", "6608c34dea926a3b0f3d9321087e9b88"),
    ("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life", "GET", "/dir/index.html", SPEC_NONCE,
     "0a4f113b", "6629fae49393a05397450978507c4ef1"),
    ("MD5", "Mufasa", "http-auth@example.org", "Circle of Life", "GET", "/dir/index.html",
     RFC7616_NONCE, RFC7616_CNONCE, "8ca523f5e9506fed4657c9700eebdbec"),
    ("SHA-256", "Mufasa", "http-auth@example.org", "Circle of Life", "GET", "/dir/index.html",
     RFC7616_NONCE, RFC7616_CNONCE,
     "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
]  # fmt: skip


def test_worked_ha1_of_the_specification():
    assert auth.ha1("MD5", "alice", "sip.example.net", "Correct9HorseX") == SPEC_HA1


@pytest.mark.parametrize("vector", VECTORS)
def test_published_vectors_on_both_sides(vector):
    algorithm, user, realm, password, method, uri, nonce, cnonce, response = vector
    qop = ', qop="auth"' if cnonce else ""
    value = auth.answer_challenge(
        f'Digest realm="{realm}", nonce="{nonce}", algorithm={algorithm}{qop}',
        username=user,
        password=password,
        method=method,
        uri=uri,
        nonce_count=1,
        cnonce=cnonce or "",
    )
    credentials = DigestCredentials.parse(value)
    assert credentials.response == response
    assert (credentials.username, credentials.realm) == (user, realm)
    assert (credentials.nonce, credentials.uri) == (nonce, uri)
    hashes = [auth.ha1(name, user, realm, password) for name in ("MD5", "SHA-256")]
    assert auth.verify(credentials, *hashes, method)
    assert not auth.verify(credentials, *hashes, "REGISTER")
    wrong = [auth.ha1(name, user, realm, "wrong") for name in ("MD5", "SHA-256")]
    assert not auth.verify(credentials, *wrong, method)
    assert not auth.verify(credentials, "", "", method)


def answered(algorithms, **overrides):
    values = [f'Digest realm="r", nonce="n", qop="auth", algorithm={name}' for name in algorithms]
    arguments = {
        "username": "u",
        "password": "p",
        "method": "INVITE",
        "uri": "sip:a@b",
        "nonce_count": 1,
        "cnonce": "c",
    }
    return DigestCredentials.parse(auth.answer_challenge(values, **arguments | overrides))


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["MD5"], "MD5"),
        (["MD5", "SHA-256"], "SHA-256"),
        (["SHA-256", "MD5"], "SHA-256"),
        (["md5", "sha-512-256"], "SHA-512-256"),
        (["AKAv1-MD5", "MD5"], "MD5"),
    ],
)
def test_strongest_known_challenge_is_answered(offered, chosen):
    assert answered(offered).algorithm == chosen


def test_nothing_known_cannot_be_answered():
    with pytest.raises(RemoteProtocolError):
        answered(["AKAv1-MD5"])
    with pytest.raises(LocalProtocolError):
        auth.ha1("SHA-1", "u", "r", "p")


def test_sha512_256_is_verified_by_nobody_here_but_computed_for_trunks():
    credentials = answered(["SHA-512-256"])
    assert len(credentials.response) == 64
    md5, sha256 = (auth.ha1(name, "u", "r", "p") for name in ("MD5", "SHA-256"))
    assert not auth.verify(credentials, md5, sha256, "INVITE")


def test_our_challenges_come_in_the_order_of_preference():
    values = auth.challenges("sip.example.net", "N", ("SHA-256", "MD5"))
    assert values == [
        'Digest realm="sip.example.net", nonce="N", algorithm=SHA-256, qop="auth"',
        'Digest realm="sip.example.net", nonce="N", algorithm=MD5, qop="auth"',
    ]
    stale = auth.challenges("r", "N", stale=True)
    assert all(value.endswith(", stale=true") for value in stale)
    assert auth.parse_challenge(stale[0]).stale
    assert auth.parse_challenge(values[0]) == auth.Challenge(
        "sip.example.net", "N", "SHA-256", True
    )


def test_opaque_and_quotes_go_back_as_they_came():
    value = auth.answer_challenge(
        r'DIGEST realm="a \"b\", c" , nonce="n", opaque="o\\p", qop="auth-int,auth",foo=bar',
        username='u"x',
        password="p",
        method="BYE",
        uri="sip:a@b",
        nonce_count=255,
        cnonce="c",
    )
    assert r'opaque="o\\p"' in value
    assert "nc=000000ff" in value
    credentials = DigestCredentials.parse(value)
    assert (credentials.username, credentials.realm) == ('u"x', 'a "b", c')
    assert credentials.qop == "auth"


CREDENTIALS = (
    'Digest username="u", realm="r", nonce="n", uri="sip:a@b", response="ABC", '
    'algorithm=md5, qop=auth, nc=0000000A, cnonce="c"'
)


def test_credentials_are_normalised_and_unknown_parameters_ignored():
    credentials = DigestCredentials.parse(CREDENTIALS + ', x=y, opaque="", z="a,b"')
    assert credentials.algorithm == "MD5"
    assert credentials.response == "abc"
    assert credentials.nonce_count == "0000000A"
    plain = DigestCredentials.parse(
        'digest username="u",realm="r",nonce="n",uri="sip:a@b",response="x",nc=1'
    )
    assert (plain.algorithm, plain.qop, plain.nonce_count, plain.cnonce) == (
        "MD5",
        None,
        None,
        None,
    )
    assert "abc" not in repr(credentials)


@pytest.mark.parametrize(
    "value",
    ["", "Digest", "Basic dTpw", "Digest x", 'Digest username="u', "Digest ,"]
    + [CREDENTIALS.replace(part, "") for part in (
        'username="u", ', 'realm="r", ', 'nonce="n", ', 'uri="sip:a@b", ', 'response="ABC", ',
        ', cnonce="c"', "nc=0000000A, ")]
    + [CREDENTIALS.replace("qop=auth", "qop=auth-int"), CREDENTIALS.replace("0000000A", "x"),
       CREDENTIALS.replace("md5", "SHA-1"), CREDENTIALS + ', realm="again"',
       CREDENTIALS + ', a="b" c', CREDENTIALS + ", <=>",
       CREDENTIALS + "".join(f", a{number}=1" for number in range(60))],
)  # fmt: skip
def test_malformed_credentials_are_refused(value):
    with pytest.raises(RemoteProtocolError):
        DigestCredentials.parse(value)


@pytest.mark.parametrize(
    "value",
    ['Digest realm="r"', 'Digest nonce="n"', "NTLM x",
     'Digest realm="r", nonce="n", qop="auth-int"',
     'Digest realm="r", nonce="n", algorithm=MD5-sess'],
)  # fmt: skip
def test_challenges_we_cannot_answer_are_refused(value):
    with pytest.raises(RemoteProtocolError):
        auth.parse_challenge(value)


CHALLENGE = 'Digest realm="r", nonce="n", qop="auth", algorithm='
STALE = CHALLENGE + "MD5, stale=TRUE"


def reply(challenges, **overrides):
    arguments = {
        "status": 407,
        "username": "u",
        "password": "p",
        "method": "INVITE",
        "uri": "sip:a@b",
        "cnonce": "c",
    }
    return auth.answer(challenges, **arguments | overrides)


@pytest.mark.parametrize(("status", "name"), [(401, "Authorization"), (407, "Proxy-Authorization")])
def test_a_challenge_is_answered_in_the_header_it_asks_for(status, name):
    header, value = reply([CHALLENGE + "MD5", CHALLENGE + "SHA-256"], status=status)
    credentials = DigestCredentials.parse(value)
    assert (header, credentials.algorithm) == (name, "SHA-256")
    assert auth.verify(credentials, "", auth.ha1("SHA-256", "u", "r", "p"), "INVITE")


@pytest.mark.parametrize(
    ("challenges", "arguments"),
    [
        ([CHALLENGE + "MD5"], {"status": 403}),
        ([CHALLENGE + "MD5"], {"username": ""}),
        ([CHALLENGE + "MD5"], {"again": True}),
        ([], {}),
        (["NTLM x", CHALLENGE + "MD5-sess"], {}),
        ([STALE, CHALLENGE + "SHA-256"], {"again": True}),
    ],
)
def test_when_there_is_nothing_to_say(challenges, arguments):
    assert reply(challenges, **arguments) is None


def test_a_stale_nonce_is_answered_again():
    assert reply([STALE], again=True) is not None
    assert reply([STALE], again=True, nonce_count=2)[1].endswith("nc=00000002")


SECRET = b"k" * 32
NONCES = [
    # issued, now, call-id seen, state
    (1000, 1000, "call", NonceState.VALID),
    (1000, 1030, "call", NonceState.VALID),
    (1000, 1030.5, "call", NonceState.STALE),
    (1000, 999, "call", NonceState.VALID),
    (1000, 960, "call", NonceState.FORGED),
    (1000, 1000, "other", NonceState.FORGED),
    (1000, 1040, "other", NonceState.FORGED),
]


@pytest.mark.parametrize(("issued", "now", "call_id", "state"), NONCES)
def test_nonce_states(issued, now, call_id, state):
    nonce = auth.make_nonce(SECRET, issued, "call")
    assert auth.check_nonce(SECRET, nonce, call_id, now, 30) is state
    assert auth.check_nonce(b"other key", nonce, "call", now, 30) is NonceState.FORGED


@given(st.text(max_size=60))
def test_invented_nonces_are_forged(nonce):
    assert auth.check_nonce(SECRET, nonce, "call", 1000, 30) is NonceState.FORGED


@given(st.integers(0, 50), st.characters(exclude_categories=["Cs"]))
def test_altered_nonces_are_forged(at, char):
    nonce = auth.make_nonce(SECRET, 1000, "call")
    altered = nonce[:at] + char + nonce[at + 1 :]
    if altered != nonce:
        assert auth.check_nonce(SECRET, altered, "call", 1000, 30) is NonceState.FORGED


@given(st.text(max_size=100))
def test_no_text_breaks_the_parsers(text):
    for parse in (DigestCredentials.parse, auth.parse_challenge):
        for value in (text, f"Digest {text}", f'Digest realm="r",nonce="n",{text}'):
            try:
                parse(value)
            except RemoteProtocolError:
                pass
