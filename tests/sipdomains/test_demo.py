"""The demo application and the health pages."""

from __future__ import annotations

import io
import wave
from array import array

import pytest
from django.db import DatabaseError, connection
from lxml import etree
from twilio.request_validator import RequestValidator

FORM = {"CallSid": "CA1", "SipUsername": "<alice & bob>", "To": "sip:demo@127.0.0.1"}


def signed(client, path: str, token: str, account: str, method: str = "POST", **form: str):
    parameters = FORM | {"AccountSid": account} | form
    url = f"http://testserver{path}"
    if method == "POST":
        signature = RequestValidator(token).compute_signature(url, parameters)
        return client.post(path, parameters, HTTP_X_TWILIO_SIGNATURE=signature)
    query = f"{path}?AccountSid={account}&SipUsername=alice"
    signature = RequestValidator(token).compute_signature(f"http://testserver{query}", {})
    return client.get(query, HTTP_X_TWILIO_SIGNATURE=signature)


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_signed_request_gets_twiml(client, alice, method) -> None:
    response = signed(client, "/demo/voice", alice.auth_token, alice.sid, method)
    assert response.status_code == 200
    assert response["Content-Type"] == "text/xml"
    document = etree.fromstring(response.content)
    assert [verb.tag for verb in document] == ["Say", "Play", "Pause", "Redirect"]
    assert "alice" in document[0].text


def test_the_second_document_says_goodbye(client, alice) -> None:
    response = signed(client, "/demo/goodbye", alice.auth_token, alice.sid)
    assert [verb.tag for verb in etree.fromstring(response.content)] == ["Say", "Hangup"]


def test_other_requests_are_refused(client, alice, bob) -> None:
    good = RequestValidator(alice.auth_token).compute_signature(
        "http://testserver/demo/voice", FORM | {"AccountSid": alice.sid}
    )
    for form, signature in (
        (FORM | {"AccountSid": alice.sid}, ""),
        (FORM | {"AccountSid": alice.sid}, "A" * 27 + "="),
        (FORM | {"AccountSid": alice.sid, "To": "forged"}, good),
        (FORM | {"AccountSid": bob.sid}, good),
        (FORM | {"AccountSid": "AC0"}, good),
        (FORM, good),
    ):
        response = client.post("/demo/voice", form, HTTP_X_TWILIO_SIGNATURE=signature)
        assert response.status_code == 403
    assert client.put("/demo/voice").status_code == 405


def test_the_tune_is_an_audible_wav_that_caches_well(client) -> None:
    response = client.get("/demo/tone.wav")
    assert response["Content-Type"] == "audio/wav"
    with wave.open(io.BytesIO(response.content)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        assert 3 < file.getnframes() / 8000 < 5
        samples = array("h", file.readframes(file.getnframes()))
    assert 8000 < max(samples) < 32767
    again = client.get("/demo/tone.wav", HTTP_IF_NONE_MATCH=response["ETag"])
    assert again.status_code == 304


def test_health(client, db) -> None:
    assert client.get("/healthz").content == b"ok\n"
    assert client.get("/readyz").content == b"ready\n"


def test_without_a_database_the_process_is_not_ready(client, monkeypatch) -> None:
    def refuse():
        raise DatabaseError("down")

    monkeypatch.setattr(connection, "cursor", refuse)
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200
