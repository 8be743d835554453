"""Searching within URLs: what is shown of them is found, what is masked is not."""

from __future__ import annotations

import pytest

from sipdomains.models import SipDomain
from sipdomains.redaction import masked

pytestmark = pytest.mark.django_db

URL = "https://user:hunter2@app.example:8443/voice/@me?a=b&Digits=4711&c=d"


@pytest.mark.parametrize(
    ("url", "text", "found"),
    [
        ("https://app.example/voice", "APP.example", True),
        ("https://app.example/voice", "https://app", True),
        ("https://app.example/voice", "pp.e", True),
        ("https://app.example/voice", "p_.e%", False),
        ("https://app.example/voice", "(", False),
        ("https://app.example/a(b)[c]+d$", "a(b)[c]+d$", True),
        ("https://app.example/@me/voice", "@me", False),  # taken for a user: too little is found
        ("https://app.example/ä ß", "Ä ß"[1:], True),
        (URL, "app.example", True),
        (URL, "example:8443/voice/@me?a=", True),
        (URL, "@me", True),
        (URL, "hunter", False),
        (URL, "user", False),
        (URL, ":h", False),
        (URL, "2@app", False),
        (URL, "@app", False),
        (URL, "hunter2@app.example", False),
        (URL, "4711", False),
        (URL, "Digits=4", False),
        (URL, "igits=4", False),
        (URL, "?a=b&Digits=4", False),
        (URL, "?a=b&digits=4", False),
        ("http://u:p@ss@word@host.example/", "ss", False),
        ("http://u:p@ss@word@host.example/", "word", False),
        ("http://u:p@ss@word@host.example/", "host", True),
        ("http://token@host.example/x", "token", False),
        ("http://u:p@host.example?q", "host.example?q", True),
        ("http://u:p@host.example#rc=2", "rc=2", True),
        ("http://app.example/?SpeechResult=secret", "secret", False),
        ("http://app.example/?SpeechResult=secret", "app.example/", True),
        ("", "a", False),
    ],
)
def test_what_is_found(domain, url, text, found):
    SipDomain.objects.filter(pk=domain.pk).update(voice_url=url)
    assert SipDomain.objects.filter(voice_url__in_url=text).exists() is found


def test_nothing_is_found_that_is_masked(domain):
    """Each piece of the URL that is found stands in what is shown."""
    SipDomain.objects.filter(pk=domain.pk).update(voice_url=URL)
    shown = masked(URL)
    pieces = {URL[start : start + size] for size in (1, 3, 6) for start in range(len(URL))}
    found = [one for one in pieces if SipDomain.objects.filter(voice_url__in_url=one).exists()]
    assert found
    assert [one for one in found if one not in shown] == []


def test_it_can_be_negated_and_combined(domain):
    SipDomain.objects.filter(pk=domain.pk).update(voice_url=URL)
    assert SipDomain.objects.exclude(voice_url__in_url="hunter2").get() == domain
    assert not SipDomain.objects.exclude(voice_url__in_url="app.example").exists()
