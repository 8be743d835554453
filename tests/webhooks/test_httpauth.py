"""RFC 7617 and RFC 7616."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twimlrunner.webhooks.httpauth import authorization, choose


@pytest.mark.parametrize(
    ("headers", "scheme", "algorithm"),
    [
        (['Basic realm="x"'], "basic", None),
        (["basic"], "basic", None),
        (['Digest realm="r", nonce="n"'], "digest", "MD5"),
        (['Digest realm="r", nonce="n", algorithm=sha-256, qop="auth"'], "digest", "SHA-256"),
        (['Digest realm="r", nonce="n", qop="auth,auth-int"'], "digest", "MD5"),
        (['Basic realm="x", Digest realm="r", nonce="n"'], "digest", "MD5"),
        (['Digest nonce="n", realm="a, Basic b"', 'Basic realm="x"'], "digest", "MD5"),
        (
            ['Digest nonce="n", algorithm=MD5', 'Digest nonce="n", algorithm=SHA-256-sess'],
            "digest",
            "SHA-256-SESS",
        ),
        (['Digest realm="r", nonce="n", qop="auth-int"', "Basic"], "basic", None),
        (['Digest realm="r", nonce="n", algorithm=SHA-512'], None, None),
        (['Digest realm="r"'], None, None),
        (["Bearer"], None, None),
        (["Negotiate abc==, Basic realm=x"], "basic", None),
        ([""], None, None),
        ([], None, None),
    ],
)
def test_strongest_usable_challenge(headers, scheme, algorithm):
    challenge = choose(headers)
    assert (challenge and challenge["scheme"]) == scheme
    assert (challenge or {}).get("algorithm") == algorithm


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_example_of_rfc_7616(algorithm, response):
    challenge = choose(
        [
            'Digest realm="http-auth@example.org", qop="auth, auth-int", '
            f'algorithm={algorithm}, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
            'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
        ]
    )
    value = authorization(
        challenge | {"nc": 1},
        username="Mufasa",
        password="Circle of Life",
        method="GET",
        target="/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert f'response="{response}"' in value
    assert "nc=00000001" in value
    assert "qop=auth," in value


def test_quotes_are_escaped():
    challenge = choose([r'Digest realm="a\"b", nonce="n"'])
    assert challenge["realm"] == 'a"b'
    value = authorization(
        challenge, username='x"', password="", method="GET", target="/", cnonce="c"
    )
    assert r'username="x\""' in value
    assert r'realm="a\"b"' in value
    assert "qop" not in value


@given(st.lists(st.text(alphabet='Digest Basic,="\\nonce realm\t\x00é', max_size=60), max_size=3))
def test_any_text_is_survived(headers):
    challenge = choose(headers)
    assert challenge is None or challenge["scheme"] in ("basic", "digest")
