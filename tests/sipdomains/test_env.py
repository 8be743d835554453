from __future__ import annotations

import pytest

from sipdomains.settings.env import Env, EnvError, dns_server, listen_address, network, port_range


def read_file(path: str) -> str:
    files = {"/run/token": "from-file\n", "/run/keys": "one\ntwo\n", "/run/empty": "\n"}
    if path not in files:
        raise FileNotFoundError(2, "No such file or directory")
    return files[path]


def env(**values: str) -> Env:
    return Env(values, read_file)


@pytest.mark.parametrize("text", ["1", "true", "YES", " on "])
def test_true(text: str) -> None:
    assert env(X=text).boolean("X", False) is True


@pytest.mark.parametrize("text", ["0", "False", "no", "off"])
def test_false(text: str) -> None:
    assert env(X=text).boolean("X", True) is False


@pytest.mark.parametrize("default", [True, False])
def test_an_empty_value_counts_as_not_set(default: bool) -> None:
    assert env(X="  ").boolean("X", default) is default
    assert env(X="").integer("X", 7) == 7
    assert env(X="").items("X", ["a"]) == ["a"]
    assert env(X="").seconds("X", 1.5) == 1.5
    assert env(X="").text("X", "d") == "d"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5), ("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), ("1h", 3600), ("30D", 2592000)],
)
def test_durations(text: str, seconds: float) -> None:
    assert env(X=text).seconds("X", 0) == seconds


def test_items() -> None:
    assert env(X=" a, b ,,c,").items("X") == ["a", "b", "c"]


@pytest.mark.parametrize(
    "read",
    [
        lambda e: e.boolean("X", False),
        lambda e: e.integer("X", 1),
        lambda e: e.seconds("X", 1),
    ],
)
def test_errors_name_the_variable(read) -> None:
    with pytest.raises(EnvError, match=r"^X: 'maybe'"):
        read(env(X="maybe"))


@pytest.mark.parametrize("text", ["0", "11"])
def test_bounds(text: str) -> None:
    with pytest.raises(EnvError, match="at least 1 and at most 10"):
        env(X=text).integer("X", 5, minimum=1, maximum=10)


def test_a_secret_comes_from_the_variable_or_from_its_file() -> None:
    assert env(X="plain").secret("X") == "plain"
    assert env(X_FILE="/run/token").secret("X") == "from-file"
    assert env().secret("X", "default") == "default"
    assert env(X_FILE="/run/keys").secrets("X", []) == ["one", "two"]
    assert env(X="one, two").secrets("X", []) == ["one", "two"]
    assert env().secrets("X", ["d"]) == ["d"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"X": "s3cret", "X_FILE": "/run/token"}, "both set"),
        ({"X_FILE": "/run/nothing"}, "cannot read /run/nothing: No such file"),
        ({"X_FILE": "/run/empty"}, "is empty"),
    ],
)
def test_what_is_wrong_with_a_secret_is_said_without_it(values, message) -> None:
    with pytest.raises(EnvError, match=message) as caught:
        env(**values).secret("X")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp:0.0.0.0:5060", ("udp", "0.0.0.0", 5060)),
        ("tcp:[::]:5060", ("tcp", "::", 5060)),
        (" udp:[2001:db8::1]:0 ", ("udp", "2001:db8::1", 0)),
    ],
)
def test_listen_addresses(text: str, address: tuple[str, str, int]) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5060", "must begin with udp: or tcp:"),
        ("tls:0.0.0.0:5061", "must begin with"),
        ("udp:0.0.0.0", "is not of the form udp:address:port"),
        ("udp:0.0.0.0:70000", "is not of the form"),
        ("udp:localhost:5060", "'localhost' is not an IP address"),
        ("udp:::1:5060", "in brackets"),
        ("udp:[127.0.0.1]:5060", "in brackets"),
        ("udp::5060", "is not of the form"),
    ],
)
def test_bad_listen_addresses(text: str, message: str) -> None:
    with pytest.raises(EnvError, match=message):
        listen_address(text)


def test_port_range() -> None:
    assert port_range("20000 - 29999") == (20000, 29999)


@pytest.mark.parametrize("text", ["20000", "a-b", "30000-20000", "80-90", "60000-70000", "5-"])
def test_bad_port_ranges(text: str) -> None:
    with pytest.raises(EnvError, match=text):
        port_range(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.53", ("10.0.0.53", 53)),
        ("10.0.0.53:5353", ("10.0.0.53", 5353)),
        ("2001:db8::53", ("2001:db8::53", 53)),
        ("[2001:db8::53]", ("2001:db8::53", 53)),
        ("[2001:db8::53]:5353", ("2001:db8::53", 5353)),
    ],
)
def test_dns_servers(text: str, expected: tuple[str, int]) -> None:
    assert dns_server(text) == expected


@pytest.mark.parametrize(
    "text", ["ns.example.net", "10.0.0.53:", "10.0.0.53:0", "10.0.0.53:70000", "[::1]5", "", ":53"]
)
def test_bad_dns_servers(text: str) -> None:
    with pytest.raises(EnvError, match="is not an IP address"):
        dns_server(text)


def test_networks() -> None:
    assert network("10.1.2.3/8") == "10.0.0.0/8"
    assert network("::1") == "::1/128"
    with pytest.raises(EnvError, match="nonsense"):
        network("nonsense")
