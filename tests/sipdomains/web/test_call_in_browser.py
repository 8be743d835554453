"""A walk through the page of a call in a real browser: by keyboard, at desk and phone width."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sipdomains.services import recording_files, repeats
from tests.sipdomains.sounds import start_recording, write_tone
from tests.sipdomains.web.test_in_browser import (
    browser,  # noqa: F401 - a fixture
    is_wider,
    log_in,
    press,
    pytestmark,  # noqa: F401 - the same needs
    size,
    wait,
)

DOCUMENT = '<Response>\n  <Say voice="man">Hello</Say>\n  <Dial>bob</Dial>\n</Response>'
LONG = "INVITE sip:100@pbx.example.net SIP/2.0\r\n" + "X-Long: y\r\n" * 500


@pytest.fixture
def story(make_call, add_event, add_attempt, add_note, domain, settings, tmp_path):
    settings.MEDIA_ROOT = tmp_path / "storage"
    began = timezone.now() - timedelta(minutes=5)
    call = make_call(
        began, domain=domain, account=domain.account,
        media={
            "codec": "PCMU", "mos": 4.2,
            "series": {"at": [5, 10, 15], "mos": [4.4, 4.1, 3.2], "loss": [0, 1, 9]},
        },
    )  # fmt: skip
    child = make_call(
        began, parent=call, direction="outbound-dial", to_uri="sip:bob@phones.example.net"
    )
    for number in range(6):
        add_event(call, "sip", {"dir": "in", "summary": "INVITE", "text": LONG + str(number)})
    add_event(call, "webhook", {"reason": "voice-url"}, 0.1)
    add_event(call, "document", {"url": "http://app/voice", "verbs": ["Say"], "body": DOCUMENT}, 1)
    add_event(call, "verb-started", {"index": 0, "verb": "Say", "line": 2, "summary": "Say x"}, 1)
    add_event(call, "verb-ended", {"index": 0, "verb": "Say", "outcome": "continue"}, 2)
    add_event(child, "sip", {"dir": "out", "summary": "INVITE", "text": "INVITE bob"}, 2.5)
    add_attempt(
        call, at=began + timedelta(seconds=0.1), account=domain.account, status=200,
        response_body=DOCUMENT, parameters=[["CallSid", call.sid]], duration_ms=20,
    )  # fmt: skip
    add_note(call, 13321, level="warning")
    row = start_recording(
        domain.account, call, spool=tmp_path, status="completed", duration=3, ended_at=call.ended_at
    )
    row.file.name = recording_files.wav_name(row)
    row.size = recording_files.store(str(write_tone(Path(row.spool_path), 3.0)), row.file.name)
    row.save()
    return call


def shown(browser, selector):  # noqa: F811 - the fixture's value
    return browser.find_element(By.CSS_SELECTOR, selector).is_displayed()


@pytest.mark.django_db(transaction=True)
def test_operator_reads_a_call_and_has_a_request_repeated(
    browser, live_server, operator, story, add_attempt, monkeypatch  # noqa: F811
):  # fmt: skip
    def answered(name, args, **options):
        add_attempt(story, request_id=args[0], purpose="repeat", status=418, response_body="<x/>")

    monkeypatch.setattr(repeats.current_app, "send_task", answered)
    size(browser, 1366, 900)
    log_in(browser, live_server.url)
    browser.get(f"{live_server.url}/calls/{story.sid}/")
    heads = browser.find_elements(By.CSS_SELECTOR, ".heads li")
    assert [head.text.partition("\n")[0] for head in heads] == [
        "alice", "sipdomains", "bob@phones.example.net", "app.example.com",
    ]  # fmt: skip

    # A message that did not fit into the page comes when it is opened, by keyboard.
    browser.execute_script("arguments[0].focus()",
                           browser.find_element(By.CSS_SELECTOR, "#m-6 summary"))  # fmt: skip
    press(browser, Keys.ENTER)
    wait(browser, lambda _: browser.find_element(By.CSS_SELECTOR, "#m-6 pre").text.endswith("5"))
    press(browser, Keys.ENTER)

    # A notification leads to its place; kinds of rows can be hidden.
    browser.find_element(By.CSS_SELECTOR, ".notes a").click()
    wait(browser, lambda _: browser.current_url.endswith("#n-" + story.notifications.get().sid))
    browser.find_element(By.ID, "show-sip").send_keys(Keys.SPACE)
    assert not shown(browser, "#m-1")
    assert shown(browser, ".row.g-http")
    assert browser.find_element(By.CSS_SELECTOR, ".source .last .beside").text == "done, 1.00 s"
    assert len(browser.find_elements(By.CSS_SELECTOR, ".curve path")) == 2

    # A click into the picture of a recording leads there.
    wave = browser.find_element(By.CSS_SELECTOR, ".wave")
    assert "Transcript: none" in browser.find_element(By.CSS_SELECTOR, ".sounds li").text
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", wave)
    wait(browser, lambda _: wave.find_elements(By.CSS_SELECTOR, "path"))
    wave.click()
    audio = browser.find_element(By.TAG_NAME, "audio")
    wait(browser, lambda _: 1.3 < audio.get_property("currentTime") < 1.7)
    played = wave.find_element(By.CSS_SELECTOR, ".played")
    wait(browser, lambda _: 40 < float(played.get_attribute("width").rstrip("%")) < 60)
    assert not is_wider(browser, 1366)

    # A request is repeated after a confirmation, and its answer shown.
    summary = browser.find_element(By.CSS_SELECTOR, ".row.g-http summary")
    browser.execute_script("arguments[0].focus()", summary)
    press(browser, Keys.ENTER)
    wait(browser, lambda _: browser.find_elements(By.LINK_TEXT, "Repeat this request …"))
    browser.find_element(By.LINK_TEXT, "Repeat this request …").send_keys(Keys.ENTER)
    wait(browser, lambda _: browser.current_url.endswith("/repeat"))
    browser.find_element(By.CSS_SELECTOR, ".confirm button").send_keys(Keys.ENTER)
    wait(browser, lambda _: "418" in browser.find_element(By.ID, "repeated").text)

    # On a phone: nothing is wider than the screen, whatever is opened.
    size(browser, 390, 844)
    assert not is_wider(browser, 390)
    browser.get(f"{live_server.url}/calls/{story.sid}/")
    browser.execute_script(
        "for (const row of document.querySelectorAll('details')) row.open = true"
    )
    wait(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, "#m-6 pre"))
    assert not is_wider(browser, 390)
    assert browser.get_log("browser") == []
