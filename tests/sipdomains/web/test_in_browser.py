"""A walk through the pages in a real browser, at desk and at phone width, by keyboard."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.utils import timezone
from selenium import webdriver
from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from sipdomains.services import recording_files
from tests.ports import free_port
from tests.programs import needed
from tests.sipdomains.sounds import start_recording, write_tone

FLAGS = (
    "--headless --kiosk --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]  # browsers are slow on a busy machine


def start_browser(profile, downloads=None):
    options = webdriver.ChromeOptions()
    options.binary_location = needed("chromium")
    for flag in FLAGS.split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={profile}")
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(needed("chromedriver"), port=free_port())
    driver = webdriver.Chrome(options=options, service=service)
    driver.set_script_timeout(60)
    return driver


@pytest.fixture
def browser(tmp_path):
    driver = start_browser(tmp_path)
    yield driver
    driver.quit()


def size(browser, width, height):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


# A page that changes by itself may exchange an element between finding and reading it.
EXCHANGED = (NoSuchElementException, StaleElementReferenceException)


def wait(browser, condition, seconds=30):
    patience = WebDriverWait(browser, seconds, poll_frequency=0.05, ignored_exceptions=EXCHANGED)
    return patience.until(condition)


def complaints(browser):
    """What fails, and what our policy forbids. (Hints, as for password managers, are DEBUG.)"""
    return [one["message"] for one in browser.get_log("browser") if one["level"] != "DEBUG"]


def is_wider(browser, width):
    """Whether one has to scroll sideways. (A phone's own width grows with what is on it.)"""
    return browser.execute_script("return document.documentElement.scrollWidth") > width


def rows(browser):
    return browser.execute_script(
        "return [...document.querySelectorAll('.row-link')].map(link => link.id.slice(5))"
    )


def text(browser, selector):
    """What is to be seen of the first such element; nothing of what is closed or hidden."""
    return browser.find_element(By.CSS_SELECTOR, selector).text


def press(browser, *keys):
    """Keys go to whatever has the focus when they come, as they do for people."""
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def focused(browser):
    return browser.execute_script("return document.activeElement.id")


def fill_in_login(browser, name, *more):
    """Each of ``more`` in the next field. A field gets the focus some time after the page is
    there; who types before types into nothing."""
    wait(browser, lambda _: focused(browser) == "id_username")
    for typed in (name, *more):
        press(browser, typed, Keys.ENTER if typed == more[-1] else Keys.TAB)


def log_in(browser, address):
    browser.get(address + "/calls/")
    fill_in_login(browser, "operator", "correct horse")
    wait(browser, lambda _: browser.current_url == address + "/calls/")


@pytest.fixture
def story(make_call, add_event, domain):
    """Three calls, one of them refused, as of now."""
    now = timezone.now()
    calls = [make_call(now - timedelta(minutes=9 - number)) for number in range(3)]
    refused = make_call(
        now - timedelta(minutes=5),
        from_uri="sip:mallory@pbx.example.net",
        status="failed",
        cause="bad-credentials",
        reason="Wrong user name or password.",
        error_code=32202,
        sip_status=403,
        answered_at=None,
        duration=None,
        domain=domain,
    )
    for number, summary in enumerate(("INVITE", "407 Proxy Authentication Required (INVITE)")):
        way = ("in", "out")[number]
        add_event(refused, "sip", {"dir": way, "summary": summary, "text": f"{summary} text"})
    return calls, refused


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("width", "height"), [(1366, 900), (390, 844)])
def test_an_operator_finds_and_opens_a_call_by_keyboard(
    browser, live_server, operator, story, make_call, width, height
):
    calls, refused = story
    size(browser, width, height)
    browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    log_in(browser, live_server.url)
    wait(browser, lambda _: rows(browser) == [call.sid for call in (refused, *reversed(calls))])
    tokyo = timezone.localtime(refused.started_at, timezone.get_fixed_timezone(9 * 60))
    wait(browser, lambda _: text(browser, ".call time") == tokyo.strftime("%Y-%m-%d %H:%M:%S"))
    wait(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, ".call time[title$=' UTC']"))

    # A call that comes in appears by itself; what has the focus keeps it.
    press(browser, "j", "j")
    wait(browser, lambda _: focused(browser) == f"call-{calls[2].sid}")
    fresh = make_call(timezone.now())
    wait(browser, lambda _: rows(browser)[0] == fresh.sid)
    wait(browser, lambda _: focused(browser) == f"call-{calls[2].sid}")
    press(browser, "k", "k")
    wait(browser, lambda _: focused(browser) == f"call-{fresh.sid}")

    # While a filter is edited nothing is exchanged under the reader's hands.
    press(browser, "/", "mall")
    wait(browser, lambda _: focused(browser) == "id_q")
    wait(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, "[data-live].paused"))
    press(browser, Keys.ENTER)
    wait(browser, lambda _: rows(browser) == [refused.sid])
    assert browser.current_url.partition("?")[2] == "q=mall&tz=Asia%2FTokyo"
    wait(browser, lambda _: focused(browser) == f"call-{refused.sid}")

    press(browser, Keys.ENTER)
    wait(browser, lambda _: refused.sid in browser.current_url)
    wait(browser, lambda _: "Refused with 403" in text(browser, ".verdict"))
    assert len(browser.find_elements(By.CSS_SELECTOR, ".course .arrow")) == 2
    browser.find_element(By.CSS_SELECTOR, "#m-2 summary").send_keys(Keys.ENTER)
    wait(
        browser,
        lambda _: text(browser, "#m-2 pre") == "407 Proxy Authentication Required (INVITE) text",
    )
    assert not is_wider(browser, width)

    browser.find_element(By.CSS_SELECTOR, "[data-back]").click()
    wait(browser, lambda _: rows(browser) == [refused.sid])
    assert browser.find_element(By.ID, "id_q").get_attribute("value") == "mall"
    assert not is_wider(browser, width)
    assert browser.get_log("browser") == []


@pytest.mark.django_db(transaction=True)
def test_a_live_call_becomes_final_under_the_readers_eyes(
    browser, live_server, operator, make_call, add_event
):
    now = timezone.now()
    call = make_call(
        now, status="in-progress", answered_at=now, ended_at=None, duration=None, reason=""
    )
    add_event(call, "sip", {"dir": "in", "summary": "INVITE", "text": "INVITE text"})
    size(browser, 1366, 900)
    log_in(browser, live_server.url)
    browser.get(f"{live_server.url}/calls/{call.sid}/")
    # In one step: the page may exchange the element between finding and clicking it.
    browser.execute_script("document.querySelector('#m-1 summary').click()")
    add_event(call, "sip", {"dir": "in", "summary": "BYE", "text": "BYE text"}, after=5)
    wait(browser, lambda _: browser.find_elements(By.ID, "m-2"))
    wait(browser, lambda _: text(browser, "#m-1 pre") == "INVITE text")
    call.status, call.duration = "completed", 5
    call.ended_at = call.updated_at = now - timedelta(minutes=1)  # settled at once
    call.reason, call.cause = "The caller hung up.", "caller-hangup"
    call.save()
    wait(browser, lambda _: not browser.find_elements(By.CSS_SELECTOR, "[data-poll]"))
    wait(browser, lambda _: "Completed after 5 s" in text(browser, ".verdict"))
    wait(browser, lambda _: text(browser, "#m-1 pre") == "INVITE text")
    assert browser.get_log("browser") == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("width", "height"), [(1366, 900), (390, 844)])
def test_a_recording_is_heard_and_saved(
    browser, live_server, operator, settings, tmp_path, make_call, domain, width, height
):
    settings.MEDIA_ROOT = tmp_path / "storage"
    operator.is_staff = operator.is_superuser = True  # who has the longest menu
    operator.save()
    call = make_call(domain=domain)
    row = start_recording(
        domain.account, call, spool=tmp_path, status="completed", duration=3, ended_at=call.ended_at
    )
    row.file.name = recording_files.wav_name(row)
    row.size = recording_files.store(str(write_tone(Path(row.spool_path), 3.0)), row.file.name)
    row.save()
    size(browser, width, height)
    log_in(browser, live_server.url)
    for place in (f"/calls/{call.sid}/", "/recordings/"):
        browser.get(live_server.url + place)
        audio = browser.find_element(By.TAG_NAME, "audio")
        browser.execute_script("arguments[0].focus()", audio)
        press(browser, Keys.SPACE)
        wait(browser, lambda _, a=audio: a.get_property("currentTime") > 0.2)
        assert audio.get_property("duration") == pytest.approx(3.0, abs=0.01)
        # Seeking takes a range request that begins in the middle.
        browser.execute_script("arguments[0].currentTime = 2.5", audio)
        wait(browser, lambda _, a=audio: a.get_property("ended"))
        assert audio.get_property("error") is None
        assert not is_wider(browser, width)
    browser.get(f"{live_server.url}/calls/{call.sid}/")
    heard = browser.execute_async_script(
        """
        const done = arguments[arguments.length - 1];
        const [wav, mp3] = [...document.querySelectorAll(".files a")];
        const length = async (link) => {
          const answer = await fetch(link.href);
          const context = new OfflineAudioContext(1, 8000, 8000);
          return (await context.decodeAudioData(await answer.arrayBuffer())).duration;
        };
        Promise.all([length(wav), length(mp3)]).then(done, (error) => done(String(error)));
        """
    )
    assert heard == pytest.approx([3.0, 3.0], abs=0.1)
    assert default_storage.exists(row.file.name.replace(".wav", ".mp3"))
    assert browser.get_log("browser") == []
