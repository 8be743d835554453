"""webhooks.md section 5, and agreement with the validator that applications use."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from twimlrunner.webhooks.request import build
from twimlrunner.webhooks.signature import sign
from twimlrunner.webhooks.url import parse_url

T = "0123456789abcdef0123456789abcdef"
MYAPP = "https://mycompany.com/myapp.php?foo=1&bar=2"
WORKED_URL = "https://app.example.org/voice?tenant=7"
WORKED = [
    ("AccountSid", "AC00000000000000000000000000000001"),
    ("ApiVersion", "2010-04-01"),
    ("CallSid", "CA00000000000000000000000000000002"),
    ("CallStatus", "ringing"),
    ("Called", "sip:100@pbx.example.net"),
    ("Caller", "sip:alice@pbx.example.net"),
    ("Direction", "inbound"),
    ("From", "sip:alice@pbx.example.net"),
    ("SipCallId", "a84b4c76e66710@192.0.2.10"),
    ("SipDomain", "pbx.example.net"),
    ("SipDomainSid", "SD00000000000000000000000000000003"),
    ("SipHeader_X-Customer", "42"),
    ("SipSourceIp", "192.0.2.10"),
    ("SipUsername", "alice"),
    ("To", "sip:100@pbx.example.net"),
]
REPEATED = [*WORKED, *[("SipHeader_X-Tag", value) for value in "bab"]]


@pytest.mark.parametrize(
    ("token", "url", "parameters", "signature"),
    [
        (
            "12345",
            MYAPP,
            [
                ("CallSid", "CA1234567890ABCDE"),
                ("Caller", "+14158675309"),
                ("Digits", "1234"),
                ("From", "+14158675309"),
                ("To", "+18005551212"),
            ],
            "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
        ),
        (
            "12345",
            MYAPP,
            [("Sid", "CA123"), ("SidAccount", "AC123")]
            + [("Digits", value) for value in ("5678", "1234", "1234")],
            "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
        ),
        (
            "12345",
            "https://example.com/myapp?bodySHA256="
            "5ccde7145dfb8f56479710896586cb9d5911809d83afbe34627818790db0aec9",
            [],
            "hPXmLwIy3Fgqv1i9KPmH/HhQ6zo=",
        ),
        (T, "https://app.example.org:8443/voice", [("A", "1")], "ysbnTVxDBIshIrWLMdBuoA6F0n0="),
        (T, "https://app.example.org/voice", [("A", "1")], "DzgAMd+lPZvTtkaQVajMJhww7aM="),
        (T, WORKED_URL, WORKED, "yP2+i/FBUJiuUtaVkA7qwA+0Jjc="),
        (T, WORKED_URL, REPEATED, "vC3lYktGEpaG1NjkzxqB9yWscLg="),
    ],
)
def test_vectors(token, url, parameters, signature):
    assert sign(token, url, parameters) == signature


def test_vector_of_a_get_request():
    request = build("GET", parse_url(WORKED_URL), WORKED, token=T, idempotency_token="i")
    assert dict(request.headers)["X-Twilio-Signature"] == "r2jeDI1sZEw+XbpZJTu+g9ODIuk="
    assert request.body == b""


def test_order_of_parameters_does_not_matter():
    assert sign(T, WORKED_URL, reversed(WORKED)) == sign(T, WORKED_URL, WORKED)


class Form(dict):
    """A multi-dict as frameworks hand it to the validator."""

    def getlist(self, name):
        return self[name]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
pairs = st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), texts))
hosts = st.sampled_from(["app.example.org", "app.example.org:8443", "192.0.2.1", "[2001:db8::1]"])
# The validator takes URLs apart and drops an empty ";" while it does so.
paths = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=";"), max_size=30)


@given(pairs, hosts, paths, st.sampled_from(["http", "https"]), st.sampled_from(["GET", "POST"]))
def test_the_validator_accepts_what_is_sent(parameters, host, path, scheme, method):
    url = parse_url(f"{scheme}://{host}/{path}")
    request = build(method, url, parameters, token=T, idempotency_token="i")
    form = Form()
    for name, value in parse_qsl(request.body.decode(), keep_blank_values=True):
        form.setdefault(name, []).append(value)
    signature = dict(request.headers)["X-Twilio-Signature"]
    assert RequestValidator(T).validate(request.url.sent, form, signature)
    if method == "POST":
        assert sorted((k, v) for k, vs in form.items() for v in vs) == sorted(parameters)
