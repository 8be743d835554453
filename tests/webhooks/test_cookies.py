"""RFC 6265, as far as a call needs it."""

import pytest

from twimlrunner.webhooks.cookies import MAX_COOKIES, header, store
from twimlrunner.webhooks.url import parse_url

URL = parse_url("https://app.example.org/voice/menu?x=1")
NOW = 1_700_000_000.0


def kept(*lines, url=URL, at=URL, now=NOW):
    return header(store([], lines, url, now), at, now)


@pytest.mark.parametrize(
    ("line", "at", "expected"),
    [
        ("a=1", "https://app.example.org/voice/other", "a=1"),
        ("a=1", "https://app.example.org/voice", "a=1"),
        ("a=1", "https://app.example.org/voicemail", ""),
        ("a=1", "https://app.example.org/", ""),
        ("a=1; Path=/", "http://app.example.org/", "a=1"),
        ("a=1; Path=/; Secure", "http://app.example.org/", ""),
        ("a=1; Path=/", "https://sub.app.example.org/", ""),
        ("a=1; Path=/; Domain=example.org", "https://other.example.org/", "a=1"),
        ("a=1; Path=/; Domain=.Example.Org", "https://example.org/", "a=1"),
        ("a=1; Path=/; Domain=example.org", "https://badexample.org/", ""),
        ("a=1; Path=/; Domain=org", "https://app.example.org/", ""),
        ("a=1; Path=/; Domain=elsewhere.net", "https://elsewhere.net/", ""),
        ("a=1; Path=/; Max-Age=60", "https://app.example.org/", "a=1"),
        ("a=1; Path=/; Max-Age=0", "https://app.example.org/", ""),
        ("a=1; Path=/; Max-Age=-5", "https://app.example.org/", ""),
        ("a=1; Path=/; Expires=Wed, 21 Oct 2015 07:28:00 GMT", "https://app.example.org/", ""),
        ("a=1; Path=/; Expires=Wed, 21-Oct-2099 07:28:00 GMT", "https://app.example.org/", "a=1"),
        ("a=1; Path=/; Expires=rubbish", "https://app.example.org/", "a=1"),
        ("a=b=c; Path=/", "https://app.example.org/", "a=b=c"),
        ("novalue", "https://app.example.org/voice/", ""),
        ("=1; Path=/", "https://app.example.org/", ""),
        ("a=\x01; Path=/", "https://app.example.org/", ""),
        ("a=" + "x" * 5000 + "; Path=/", "https://app.example.org/", ""),
    ],
)
def test_where_a_cookie_returns(line, at, expected):
    assert kept(line, at=parse_url(at)) == expected


def test_no_domain_cookies_between_addresses():
    url = parse_url("http://192.0.2.1/")
    assert kept("a=1; Domain=2.1", url=url, at=parse_url("http://192.1.2.1/")) == ""


def test_later_values_replace_and_longer_paths_come_first():
    jar = store([], ["a=1; Path=/", "b=2; Path=/voice"], URL, NOW)
    jar = store(jar, ["a=3; Path=/"], URL, NOW)
    assert header(jar, URL, NOW) == "b=2; a=3"
    assert header(store(jar, ["a=; Path=/; Max-Age=0"], URL, NOW), URL, NOW) == "b=2"


def test_cookies_expire_during_the_call():
    jar = store([], ["a=1; Path=/; Max-Age=10"], URL, NOW)
    assert header(jar, URL, NOW + 9) == "a=1"
    assert header(jar, URL, NOW + 10) == ""


def test_number_is_limited():
    jar = store([], [f"c{n}=1; Path=/" for n in range(100)], URL, NOW)
    assert len(jar) == MAX_COOKIES
    assert jar[-1][0] == "c99"
