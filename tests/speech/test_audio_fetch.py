"""Play's files over real HTTP: every type, caching, limits, the code of each failure."""

import asyncio
import base64
import datetime
import ssl
import struct
from contextlib import asynccontextmanager

import numpy as np
import pytest
import soundfile
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pytest_httpserver import HTTPServer
from werkzeug import Response

from tests.webhooks.peers import listening
from twimlrunner.audio.convert import convert
from twimlrunner.audio.fetch import Fetcher
from twimlrunner.audio.formats import Format
from twimlrunner.engine.ports import AudioUrl
from twimlrunner.speech.config import PromptConfig
from twimlrunner.speech.ports import PromptError

pytestmark = pytest.mark.integration
SECONDS = 0.5


def tone(rate=8000, hertz=440, seconds=SECONDS, channels=1):
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    return np.stack([wave] * channels, axis=1)


def encoded(tmp_path, *, rate=8000, hertz=440, channels=1, seconds=SECONDS, **kind):
    path = tmp_path / "source"
    soundfile.write(path, tone(rate, hertz, seconds, channels), rate, **kind)
    return path.read_bytes()


def heard(path):
    """(strongest frequency, seconds, rms)"""
    found, rate = soundfile.read(path)
    info = soundfile.info(path)
    assert (rate, info.channels, info.subtype, info.format) == (8000, 1, "PCM_16", "WAV")
    spectrum = np.abs(np.fft.rfft(found * np.hanning(len(found))))
    return np.argmax(spectrum) * rate / len(found), len(found) / rate, np.sqrt(np.mean(found**2))


@pytest.fixture
def make_fetcher(tmp_path):
    def make(**settings):
        settings = {"connect_timeout": 1.0, "read_timeout": 1.0, "fetch_timeout": 5.0} | settings
        return Fetcher(PromptConfig(folder=str(tmp_path / "cache"), **settings))

    return make


@pytest.fixture
async def fetch(make_fetcher):
    fetcher = make_fetcher()

    async def get(url, verify_tls=True):
        return await fetcher.fetch(url, verify_tls=verify_tls)

    return get


async def code(awaitable):
    with pytest.raises(PromptError) as caught:
        await awaitable
    return caught.value.code


def serve(httpserver, data, content_type="audio/wav", path="/a", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = Response(data, content_type=content_type, headers=named)
    httpserver.expect_request(path).respond_with_response(response)
    return httpserver.url_for(path)


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("audio/mpeg", {"format": "MP3", "rate": 44100, "channels": 2}),
        ("audio/mpeg", {"format": "MP3", "rate": 16000}),
        ("audio/wav", {"format": "WAV", "subtype": "PCM_16", "rate": 48000, "channels": 2}),
        ("audio/wave", {"format": "WAV", "subtype": "PCM_24", "rate": 22050}),
        ("audio/x-wav", {"format": "WAV", "subtype": "PCM_U8", "rate": 11025}),
        ("audio/x-wav", {"format": "WAV", "subtype": "FLOAT", "rate": 8000}),
        ("audio/wav", {"format": "WAV", "subtype": "ULAW"}),
        ("audio/wav", {"format": "WAV", "subtype": "ALAW"}),
        ("audio/wav", {"format": "WAV", "subtype": "GSM610"}),
        ("audio/wav", {"format": "WAV", "subtype": "IMA_ADPCM", "rate": 16000}),
        ("audio/aiff", {"format": "AIFF", "rate": 44100}),
        ("audio/x-aiff", {"format": "AIFF", "rate": 44100, "channels": 2}),
        ("audio/x-aifc", {"format": "AIFF", "subtype": "ULAW"}),
        ("audio/basic", {"format": "AU", "subtype": "ULAW"}),
        ("audio/gsm", {"format": "RAW", "subtype": "GSM610"}),
        ("audio/x-gsm", {"format": "RAW", "subtype": "GSM610"}),
        ("audio/ulaw", {"format": "RAW", "subtype": "ULAW"}),
        ("audio/basic", {"format": "RAW", "subtype": "ULAW"}),
        ("application/octet-stream", {"format": "WAV", "rate": 16000}),
        ("", {"format": "MP3", "rate": 44100}),
    ],
)
async def test_every_type_is_heard(fetch, httpserver, tmp_path, content_type, kind):
    url = serve(httpserver, encoded(tmp_path, **kind), content_type)
    hertz, seconds, rms = heard(await fetch(url))
    assert hertz == pytest.approx(440, abs=4)
    assert seconds == pytest.approx(SECONDS, abs=0.12)
    assert rms == pytest.approx(0.35, abs=0.06)


async def test_downsampling_leaves_no_aliases(fetch, httpserver, tmp_path):
    url = serve(httpserver, encoded(tmp_path, rate=48000, hertz=6000, format="WAV"))
    assert heard(await fetch(url))[2] < 0.01


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0",
        b"ID3" + b"\xff" * 200,
        b"\xff\xfb" * 100,
        b"<html>not audio</html>",
        b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack(
            "<IHHIIHH", 16, 1, 1024, 8000, 16000, 2, 16
        ) + b"data" + struct.pack("<I", 0),
        b"FORM\0\0\0\0AIFFCOMM" + b"\xff" * 64,
    ],
)  # fmt: skip
async def test_hostile_files_are_refused(fetch, httpserver, data):
    assert await code(fetch(serve(httpserver, data))) == 13420


async def test_float_files_with_nonsense_are_tamed(fetch, httpserver, tmp_path):
    wave = tone()[:, 0]
    wave[::7] = np.nan
    wave[::11] = np.inf
    wave[1] = -1e30
    soundfile.write(tmp_path / "x", wave, 8000, format="WAV", subtype="FLOAT")
    found, _ = soundfile.read(await fetch(serve(httpserver, (tmp_path / "x").read_bytes())))
    assert np.isfinite(found).all()


async def test_a_truncated_file_is_played_as_far_as_it_goes(make_fetcher, httpserver, tmp_path):
    data = encoded(tmp_path, rate=16000, seconds=4, format="WAV")
    path = await make_fetcher(max_audio_bytes=64_044).fetch(
        serve(httpserver, data), verify_tls=True
    )
    assert heard(path)[1] == pytest.approx(2.0, abs=0.01)


def test_long_audio_is_cut(tmp_path):
    (tmp_path / "x").write_bytes(encoded(tmp_path, rate=44100, seconds=5, format="WAV"))
    convert(str(tmp_path / "x"), Format.CONTAINER, str(tmp_path / "y"), 2)
    assert heard(tmp_path / "y")[1] == pytest.approx(2.0, abs=0.01)


# --- caching --------------------------------------------------------------------------------


async def test_a_fresh_file_is_not_asked_for_again(fetch, httpserver, tmp_path):
    url = serve(httpserver, encoded(tmp_path, format="WAV"), Cache_Control="max-age=60")
    assert await fetch(url) == await fetch(url)
    assert len(httpserver.log) == 1


async def test_a_stale_file_is_revalidated(fetch, httpserver, tmp_path):
    data = encoded(tmp_path, format="WAV")

    def answer(request):
        if request.headers.get("If-None-Match") == '"v1"':
            return Response(status=304, headers={"Cache-Control": "max-age=60"})
        headers = {"ETag": '"v1"', "Cache-Control": "no-cache"}
        return Response(data, content_type="audio/wav", headers=headers)

    httpserver.expect_request("/a").respond_with_handler(answer)
    url = httpserver.url_for("/a")
    paths = [await fetch(url) for _ in range(3)]
    assert [reply.status_code for _, reply in httpserver.log] == [200, 304]
    assert len(set(paths)) == 1


async def test_last_modified_is_sent_back(fetch, httpserver, tmp_path):
    stamp = "Fri, 15 Jan 2021 08:00:00 GMT"
    data = encoded(tmp_path, format="WAV")
    url = serve(httpserver, data, Last_Modified=stamp, Cache_Control="max-age=0")
    await fetch(url)
    await fetch(url)
    assert httpserver.log[1][0].headers["If-Modified-Since"] == stamp


async def test_a_changed_file_is_heard(fetch, httpserver, tmp_path):
    first, second = (encoded(tmp_path, hertz=hertz, format="WAV") for hertz in (440, 1000))
    answers = [Response(d, content_type="audio/wav", headers={"Cache-Control": "no-cache"})
               for d in (first, second)]  # fmt: skip
    for answer in answers:
        httpserver.expect_ordered_request("/a").respond_with_response(answer)
    url = httpserver.url_for("/a")
    assert heard(await fetch(url))[0] == pytest.approx(440, abs=4)
    assert heard(await fetch(url))[0] == pytest.approx(1000, abs=4)


async def test_no_store_is_fetched_each_time(fetch, httpserver, tmp_path):
    data = encoded(tmp_path, format="WAV")
    url = serve(httpserver, data, Cache_Control="no-store", ETag='"v1"')
    await fetch(url)
    await fetch(url)
    assert len(httpserver.log) == 2
    assert "If-None-Match" not in httpserver.log[1][0].headers


async def test_the_same_content_at_two_urls_is_one_file(fetch, httpserver, tmp_path):
    data = encoded(tmp_path, format="WAV")
    assert await fetch(serve(httpserver, data)) == await fetch(serve(httpserver, data, path="/b"))


# --- requests -------------------------------------------------------------------------------


async def test_the_request_is_a_plain_get_of_the_url(fetch, httpserver, tmp_path):
    data = encoded(tmp_path, format="WAV")
    await fetch(serve(httpserver, data) + "?x=1&y=%20#frag")
    request = httpserver.log[0][0]
    assert (request.method, request.query_string) == ("GET", b"x=1&y=%20")
    assert request.get_data() == b""
    assert "X-Twilio-Signature" not in request.headers
    assert request.headers["Host"] == f"{httpserver.host}:{httpserver.port}"


async def test_redirects_are_followed(fetch, httpserver, tmp_path):
    serve(httpserver, encoded(tmp_path, format="RAW", subtype="ULAW"), "", path="/deep/x.ulaw")
    moved = Response(status=302, headers={"Location": "deep/x.ulaw"})
    httpserver.expect_request("/go").respond_with_response(moved)
    assert heard(await fetch(httpserver.url_for("/go")))[0] == pytest.approx(440, abs=4)


async def test_endless_redirects_end(fetch, httpserver):
    httpserver.expect_request("/go").respond_with_response(
        Response(status=302, headers={"Location": "/go"})
    )
    assert await code(fetch(httpserver.url_for("/go"))) == 11215
    assert len(httpserver.log) == 11


@pytest.mark.parametrize(
    ("location", "expected"),
    [("http://169.254.169.254/", 59902), ("file:///etc/passwd", 11100), ("http://[x/", 11100)],
)
async def test_redirects_are_vetted(fetch, location, expected):
    answer = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answer.encode()) as url:
        assert await code(fetch(url)) == expected


async def test_basic_credentials_are_sent_when_asked_for(fetch, httpserver, tmp_path):
    data = encoded(tmp_path, format="WAV")
    expected = "Basic " + base64.b64encode(b"joe:p@ss").decode()

    def answer(request):
        if request.headers.get("Authorization") == expected:
            return Response(data, content_type="audio/wav")
        return Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    httpserver.expect_request("/a").respond_with_handler(answer)
    url = f"http://joe:p%40ss@{httpserver.host}:{httpserver.port}/a"
    await fetch(url)
    assert [reply.status_code for _, reply in httpserver.log] == [401, 200]
    assert await code(fetch(url.replace("joe", "jim"))) == 11200
    assert len(httpserver.log) == 4


async def test_digest_credentials_are_answered(fetch, httpserver, tmp_path):
    data = encoded(tmp_path, format="WAV")

    def answer(request):
        given = request.headers.get("Authorization", "")
        if given.startswith('Digest username="joe"') and 'uri="/a?b=1"' in given:
            return Response(data, content_type="audio/wav")
        return Response(status=401, headers={"WWW-Authenticate": 'Digest realm="r", nonce="n"'})

    httpserver.expect_request("/a").respond_with_handler(answer)
    await fetch(f"http://joe:pass@{httpserver.host}:{httpserver.port}/a?b=1")
    assert [reply.status_code for _, reply in httpserver.log] == [401, 200]


# --- failures -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 400, 404, 500, 503])
async def test_other_statuses_fail(fetch, httpserver, status):
    httpserver.expect_request("/a").respond_with_data("x", status=status)
    assert await code(fetch(httpserver.url_for("/a"))) == 11200


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ftp://127.0.0.1/a", 11100),
        ("a.wav", 11100),
        ("http:///a", 11100),
        ("http://[x/a", 11100),
        ("http://127.0.0.1:1/a", 11202),
        ("http://no-such-host.invalid/a", 11210),
        ("http://169.254.169.254/latest", 59902),
        ("http://\ud800/", 11100),
    ],
)
async def test_codes_of_failures(fetch, url, expected):
    assert await code(fetch(url)) == expected


async def test_loopback_can_be_denied(make_fetcher, httpserver):
    fetcher = make_fetcher(allow_loopback=False)
    assert await code(fetcher.fetch(httpserver.url_for("/a"), verify_tls=True)) == 59902


@asynccontextmanager
async def raw_server(answer, *, wait=False, host="127.0.0.1", seen=None):
    """The URL of a server that sends ``answer``, then closes or waits for the client to."""

    async def handle(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request)
        writer.write(answer)
        await writer.drain()
        if wait:
            await reader.read()

    async with listening(handle, host=host) as port:
        name = f"[{host}]" if ":" in host else host
        yield f"http://{name}:{port}/"


@pytest.mark.parametrize(
    ("answer", "wait", "expected"),
    [
        (b"garbage\r\n\r\n", False, 11206),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", False, 11206),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\nx", False, 11206),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx", False, 11206),
        (b"", False, 11206),
        (b"", True, 11200),
    ],
)
async def test_bad_servers(make_fetcher, answer, wait, expected):
    fetcher = make_fetcher(read_timeout=0.2 if wait else 30.0, fetch_timeout=60.0)
    async with raw_server(answer, wait=wait) as url:
        assert await code(fetcher.fetch(url, verify_tls=True)) == expected


async def test_a_server_that_drips_ends_with_the_total_time(make_fetcher):
    fetcher = make_fetcher(fetch_timeout=0.3, read_timeout=5.0)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: 9\r\n\r\nRI"
    async with raw_server(head, wait=True) as url:
        assert await code(fetcher.fetch(url, verify_tls=True)) == 11200


async def test_a_total_time_of_the_urls_own_has_its_own_code(fetch):
    async with raw_server(b"", wait=True) as url:
        assert await code(fetch(f"{url}#tt=100")) == 11203


async def test_ipv6(fetch, tmp_path):
    data = encoded(tmp_path, format="WAV")
    head = f"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\nContent-Length: {len(data)}\r\n\r\n"
    async with raw_server(head.encode() + data, host="::1") as url:
        assert heard(await fetch(url))[0] == pytest.approx(440, abs=4)


async def test_a_validator_in_odd_letters_goes_back_as_it_came(fetch, tmp_path):
    data = encoded(tmp_path, format="WAV")
    head = (
        b'HTTP/1.1 200 OK\r\nETag: "\xe9"\r\nCache-Control: no-cache\r\n'
        b"Content-Type: audio/wav\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(data)
    )
    seen = []
    async with raw_server(head + data, seen=seen) as url:
        first = await fetch(url)
        assert await fetch(url) == first
    assert b'If-None-Match: "\xe9"' in seen[-1]


@pytest.fixture
def tls_server(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with HTTPServer(ssl_context=context) as server:
        server.pem = pem
        yield server


async def test_certificates_are_verified_unless_switched_off(
    fetch, make_fetcher, tls_server, tmp_path
):
    serve(tls_server, encoded(tmp_path, format="WAV"))
    url = f"https://localhost:{tls_server.port}/a"
    assert await code(fetch(url)) == 11237
    assert heard(await fetch(url, verify_tls=False))[0] == pytest.approx(440, abs=4)
    assert await code(fetch(url)) == 11237  # not served from what was had unverified
    trusting = make_fetcher(ca_file=str(tls_server.pem))
    assert await trusting.fetch(url, verify_tls=True)
    wrong_name = f"https://127.0.0.1:{tls_server.port}/a"
    assert await code(trusting.fetch(wrong_name, verify_tls=True)) == 11235


async def test_plain_http_where_tls_is_expected(fetch, httpserver):
    url = f"https://{httpserver.host}:{httpserver.port}/a"
    assert await code(fetch(url, verify_tls=False)) == 11206


# --- through the node -----------------------------------------------------------------------


async def test_the_node_fetches_once_for_all_and_then_from_the_index(service, httpserver, tmp_path):
    data = encoded(tmp_path, rate=44100, format="MP3")
    url = serve(httpserver, data, "audio/mpeg", Cache_Control="max-age=60")
    paths = await asyncio.gather(*(service.fetch(AudioUrl(url), verify_tls=True) for _ in range(5)))
    assert len(set(paths)) == len(httpserver.log) == 1
    assert heard(paths[0])[0] == pytest.approx(440, abs=4)
    await service.stop()
    assert await service.fetch(AudioUrl(url), verify_tls=True) == paths[0]


async def test_the_node_hears_of_failures(service):
    assert await code(service.fetch(AudioUrl("http://127.0.0.1:1/"), verify_tls=True)) == 11202
    assert await code(service.fetch(AudioUrl("http://\ud800/"), verify_tls=True)) == 11100
