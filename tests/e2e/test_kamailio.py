"""Calls through a record-routing proxy: every request of a dialog takes the route that the dialog
has (RFC 3261 12.2, 16). The proxy helps nobody who forgets it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.baresip import Baresip
from tests.e2e.kamailio.proxy import Proxy
from tests.e2e.server import DOMAIN, PASSWORD, USER, Answer, Application, Server, call_id_of
from tests.e2e.sipp import OPEN_DOMAIN, Callee, Sipp, run
from tests.e2e.sound import loudest, read_wav, sounding, tone

pytestmark = pytest.mark.e2e

ALLOWED, OTHER = "127.0.0.2", "127.0.0.3"
OFFICE_DOMAIN = "office.example.net"  # takes calls of ALLOWED only


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, web_application: Application
) -> Iterator[Server]:
    """A node that believes what a proxy on this machine says about where callers are."""
    running = Server(tmp_path_factory.mktemp("behind"), SIP_TRUSTED_PROXIES="127.0.0.1")
    running.start()
    voice = f"{web_application.url}/voice"
    running.create_domain(DOMAIN, voice, "--username", USER, "--password", PASSWORD)
    running.create_domain(OPEN_DOMAIN, voice, "--allow", "127.0.0.0/8")
    running.create_domain(OFFICE_DOMAIN, voice, "--allow", f"{ALLOWED}/32")
    yield running
    running.stop_in_order()


@pytest.fixture(scope="module")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with contextlib.closing(Proxy(server, tmp_path_factory.mktemp("kamailio"))) as running:
        yield running
    assert "ERROR" not in running.output
    assert "CRITICAL" not in running.output


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_call_that_we_end(
    server: Server, proxy: Proxy, app: Application, tmp_path: Path, transport: str
) -> None:
    """Over TCP the proxy is in the route twice, once for each transport."""
    app.document("/voice", "<Hangup/>")
    result = run(proxy, tmp_path, "authenticated", domain=DOMAIN, transport=transport)
    routes = [line for line in result.last(200).splitlines() if line.startswith("Record-Route")]
    assert len(routes) == (1 if transport == "u1" else 2)
    bye = next(text for text in result.received if text.startswith("BYE "))
    assert proxy.is_top_via_of(bye)
    assert server.call(result.call_id)["cause"] == "hangup-verb"


def test_call_that_the_caller_holds_resumes_and_ends(
    server: Server, proxy: Proxy, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", "<Play>/tone-500-60.wav</Play>")
    app.answers["/tone-500-60.wav"] = Answer(tone(500.0, 60, 8000), "audio/wav")
    call = Sipp(proxy, tmp_path, "hold")
    for _ in ("hold", "resume", "hang up"):
        call.go_on()
    result = call.followed()
    row = server.call(result.call_id)
    assert row["cause"] == "caller-hangup"
    changes = [e["data"].get("what") for e in server.events(row["sid"]) if e["kind"] == "media"]
    assert [what for what in changes if what in ("hold", "resume")] == ["hold", "resume"]


def test_call_given_up_while_it_rings(
    server: Server, proxy: Proxy, app: Application, tmp_path: Path
) -> None:
    app.document("/voice", "<Say>too late</Say>", gate=threading.Event())
    result = run(proxy, tmp_path, "canceled")
    assert 487 in result.statuses
    assert server.call(result.call_id)["cause"] == "canceled"


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_phone_of_another_make(
    server: Server, proxy: Proxy, app: Application, tmp_path: Path, transport: str
) -> None:
    app.document("/voice", "<Play>/tone-700.wav</Play>")
    app.answers["/tone-700.wav"] = Answer(tone(700.0), "audio/wav")
    phone = Baresip(proxy, tmp_path / "phone", transport=transport, codec="pcmu")
    with contextlib.closing(phone):
        phone.wait_until_over()
    rate, samples = read_wav(phone.heard())
    assert loudest(sounding(samples), rate) == pytest.approx(700, abs=10)
    assert server.call(call_id_of(phone.output))["cause"] == "document-ended"


@pytest.mark.parametrize("way", ["uri", "trunk"])
def test_call_that_we_place(
    server: Server, proxy: Proxy, app: Application, tmp_path: Path, way: str
) -> None:
    """Both legs take the proxy; the callee hears ACK and BYE from it."""
    with contextlib.closing(Callee(tmp_path, "callee_answers")) as callee:
        if way == "uri":
            noun = f"<Sip>sip:callee-{callee.port}@127.0.0.1:{proxy.sip_port}</Sip>"
        else:
            server.manage(
                "createtrunk", "edge", "127.0.0.1", "--port", str(proxy.sip_port),
                "--allow-prefix", "+49",
            )  # fmt: skip
            noun = f"<Number>+49{callee.port}</Number>"
        app.document("/voice", f'<Dial timeLimit="1" action="/done">{noun}</Dial>')
        app.document("/done", "<Hangup/>")
        result = run(proxy, tmp_path, "plain")
        requests = [text for sent, text in callee.messages() if sent == "received"]
    assert [text.split(" ", 1)[0] for text in requests] == ["INVITE", "ACK", "BYE"]
    assert all(proxy.is_top_via_of(text) for text in requests)
    told = next(hit for hit in app.hits if hit.path == "/done").values
    assert told["DialCallStatus"] == "completed"
    [child] = server.children_of(server.call(result.call_id), 1)
    assert child["cause"] == "time-limit"


def test_callee_holds_resumes_and_ends(
    server: Server, proxy: Proxy, app: Application, tmp_path: Path
) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_holds")) as callee:
        target = f"sip:callee-{callee.port}@127.0.0.1:{proxy.sip_port}"
        app.document("/voice", f"<Dial><Sip>{target}</Sip></Dial>")
        call = Sipp(proxy, tmp_path, "plain")
        for _ in ("hold", "resume", "hang up"):
            callee.go_on()
        call.followed()
        callee.messages()


def test_refer_that_we_send(server: Server, proxy: Proxy, app: Application, tmp_path: Path) -> None:
    app.document("/voice", '<Refer action="/done"><Sip>sip:carol@pbx.example</Sip></Refer>')
    app.document("/done", "<Hangup/>")
    result = run(proxy, tmp_path, "refer_done")
    refer = next(text for text in result.received if text.startswith("REFER "))
    assert proxy.is_top_via_of(refer)
    told = next(hit for hit in app.hits if hit.path == "/done").values
    assert told["NotifySipResponseCode"] == "200"


def test_refer_that_we_get(server: Server, proxy: Proxy, app: Application, tmp_path: Path) -> None:
    with contextlib.closing(Callee(tmp_path, "callee_refers")) as callee:
        target = f"sip:callee-{callee.port}@127.0.0.1:{proxy.sip_port}"
        app.document("/voice", f'<Dial referUrl="/refer"><Sip>{target}</Sip></Dial>')
        app.document("/refer", "<Say>You were transferred.</Say>")
        run(proxy, tmp_path, "plain")
        messages = callee.messages()
    notifies = [text for _, text in messages if text.startswith("NOTIFY ")]
    assert len(notifies) == 2
    assert all(proxy.is_top_via_of(text) for text in notifies)


def test_source_is_what_the_proxy_says(
    server: Server, proxy: Proxy, app: Application, tmp_path: Path
) -> None:
    """A caller's own X-Source-IP is worth nothing."""
    app.document("/voice", "<Hangup/>")
    result = run(proxy, tmp_path, "plain", domain=OFFICE_DOMAIN, local=ALLOWED)
    assert server.call(result.call_id)["source_ip"] == ALLOWED
    assert app.hits[0].values["SipSourceIp"] == ALLOWED
    refused = run(
        proxy, tmp_path, "refused_invite", domain=OFFICE_DOMAIN, local=OTHER, status="403",
        hops="70", headers=f"X-Source-IP: {ALLOWED}\n",
    )  # fmt: skip
    row = server.call(refused.call_id)
    assert (row["cause"], row["source_ip"]) == ("source-not-allowed", OTHER)
