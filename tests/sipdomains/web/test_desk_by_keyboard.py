"""The desk by keyboard alone, at desk and phone width: from each page to what it is there for."""

from __future__ import annotations

import pytest
from celery import current_app
from django.urls import reverse
from selenium.webdriver.common.keys import Keys

from sipdomains.bench import BenchResult
from sipdomains.models import CallCommand, IpAddress, SavedFilter
from sipdomains.services import benchruns, testcalls
from tests.sipdomains.web import scenes, test_in_browser
from tests.sipdomains.web.keyboard import DESK, PHONE, Walker
from tests.sipdomains.web.scenes import live, place, refused, whole  # noqa: F401 - fixtures

pytestmark = [*test_in_browser.pytestmark, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(tmp_path_factory, folder):
    driver = test_in_browser.start_browser(tmp_path_factory.mktemp("profile"), folder)
    yield driver
    driver.quit()


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def walker(request, browser, live_server, operator):
    """Signed in. What the browser complains about on the way is a fault."""
    operator.is_staff = operator.is_superuser = True  # who has the longest menu
    operator.save()
    browser.delete_all_cookies()
    walker = Walker(browser, live_server.url, request.param)
    walker.open("/login/")
    test_in_browser.fill_in_login(browser, "operator", "correct horse")
    walker.until("return location.pathname === '/'")
    yield walker
    told = test_in_browser.complaints(browser)
    browser.get("about:blank")  # nothing is asked for any more while the database is emptied
    assert told == []


@pytest.fixture
def tasks(monkeypatch):
    """What the pages ask of the workers, of which there are none."""
    asked = []
    monkeypatch.setattr(
        current_app, "send_task", lambda name, args, **options: asked.append((name, *args))
    )
    return asked


def test_a_number_leads_to_its_calls_which_are_filtered_kept_and_exported(
    walker, whole, refused, folder  # noqa: F811 - fixtures
):  # fmt: skip
    walker.open("/", "#overview")
    walker.skip()
    walker.follow(".figure a[href*='errors_only']", "#results")
    walker.until("return document.querySelectorAll('.row-link').length === 1")
    assert walker.focus_of_row("j") == f"call-{refused.sid}"

    walker.open("/calls/?q=alice", "#results")
    walker.skip()
    walker.to("#save-filter summary")
    walker.press(Keys.ENTER)
    walker.to("#id_filter_name")
    walker.press("Of Alice")
    walker.to("#id_filter_shared")
    walker.press(Keys.SPACE)
    walker.follow("[data-save-filter] button", ".chip")
    kept = SavedFilter.objects.get()
    assert (kept.name, kept.query, kept.shared) == ("Of Alice", "q=alice", True)
    walker.open("/calls/", ".chip")
    walker.follow(".chip", ".chip[aria-current]")
    walker.to("[data-export]")
    walker.press(Keys.ENTER)
    walker.until("return document.querySelector('[data-export-state]').innerText.length > 0")
    files = walker.wait(lambda: [*folder.glob("*.csv")])
    assert whole.sid in files[0].read_text()
    files[0].unlink()
    walker.follow("[aria-label='Delete the filter Of Alice']", ".note")
    assert not SavedFilter.objects.exists()


def test_a_refused_address_is_allowed_and_the_domain_says_why_and_who(
    walker, place, refused  # noqa: F811 - fixtures
):  # fmt: skip
    walker.open("/domains/", ".row-link")
    walker.press("j", Keys.ENTER)
    walker.until("return location.pathname === arguments[0]",
                 reverse("web:domain", args=[place.sid]))  # fmt: skip
    walker.arrived("#explain")
    walker.to("#id_source_ip")
    walker.press(scenes.STRANGER)
    walker.follow("#explain button", ".answer")
    assert "The call is refused" in walker.text(".answer")

    walker.follow("[aria-labelledby=h-refused] a[href*='/allow/']", "#h-allow")
    walker.follow(".confirm button", ".note")
    assert IpAddress.objects.filter(ip_address=scenes.STRANGER).exists()
    walker.to("#id_source_ip")
    walker.press(scenes.STRANGER)
    walker.follow("#explain button", ".answer")
    assert "The call is let in" in walker.text(".answer")


def test_a_live_call_is_redirected_and_hung_up(walker, live, settings):  # noqa: F811 - a fixture
    settings.API_COMMAND_SECONDS = 0.05  # no node answers
    walker.open("/live/", ".row-link")
    walker.to("a[href$='/control/']")
    # What is exchanged under the reader's hands keeps the focus.
    walker.until("return document.querySelector('#live').dataset.old = 'yes'")
    walker.until("htmx.trigger('#live', 'refresh'); return true")
    walker.until("return !document.querySelector('#live').dataset.old")
    walker.until("return document.activeElement.matches('a[href$=\"/control/\"]')")
    walker.press(Keys.ENTER)
    walker.arrived("#h-hangup")
    walker.to("#id_url")
    walker.press("https://app.example/other")
    walker.to("#id_sure2")
    walker.press(Keys.SPACE)
    walker.follow("[aria-labelledby=h-redirect] button", "article#call")
    walker.open(reverse("web:control", args=[live.sid]), "#h-hangup")
    walker.to("#id_sure")
    # Without the confirmation nothing is sent.
    walker.to("[aria-labelledby=h-hangup] button")
    walker.press(Keys.ENTER)
    walker.until("return document.activeElement.id === 'id_sure'")
    walker.press(Keys.SPACE)
    walker.follow("[aria-labelledby=h-hangup] button", "article#call")
    found = CallCommand.objects.values_list("kind", "payload", "requested_by")
    assert list(found) == [
        ("redirect", {"url": "https://app.example/other", "method": "POST"}, "operator"),
        ("hangup", {}, "operator"),
    ]


def test_a_call_is_read_heard_and_its_request_repeated(walker, whole, tasks):  # noqa: F811
    walker.open("/calls/", ".row-link")
    walker.press("j", "j")
    walker.until("return document.activeElement.id === arguments[0]", f"call-{whole.sid}")
    walker.press(Keys.ENTER)
    walker.arrived("article#call")
    walker.skip()
    walker.to("#show-http")
    for shown in ("none", "list-item"):
        walker.press(Keys.SPACE)
        display = "return getComputedStyle(document.querySelector('.g-http')).display"
        walker.until(f"{display} === arguments[0]", shown)
    walker.to("#m-1 summary")
    walker.press(Keys.ENTER)
    assert "INVITE sip:1@" in walker.text("#m-1 pre")
    walker.to(".row.g-http summary")
    walker.press(Keys.ENTER)
    walker.until("return !!document.querySelector('a[href$=\"/repeat\"]')")
    walker.to("audio")
    walker.press(Keys.SPACE)
    walker.until("return document.querySelector('audio').currentTime > 0")

    walker.open(walker.path, "article#call")
    walker.to(".row.g-http summary")
    walker.press(Keys.ENTER)
    walker.until("return !!document.querySelector('a[href$=\"/repeat\"]')")
    walker.follow("a[href$='/repeat']", ".confirm")
    walker.follow(".confirm button", "#repeated")
    assert len(tasks) == 1

    walker.open("/recordings/", "audio")
    walker.skip()
    walker.to("audio")
    walker.press(Keys.SPACE)
    walker.until("return document.querySelector('audio').currentTime > 0")
    walker.to(".files a[href*='.mp3']")


def test_a_domain_is_called_from_its_page(walker, place, tasks):  # noqa: F811 - a fixture
    walker.open(reverse("web:domain", args=[place.sid]), "#test")
    walker.to("#test [name=number]")
    walker.press("100")
    walker.to("#test [name=digits]")
    walker.press("ww1")
    walker.follow("#test button", "#test-call")
    [(_, id_)] = tasks
    order = testcalls.take(id_)
    assert (order.target, order.digits) == (f"sip:100@{scenes.LONG}", "ww1")
    assert "about to dial" in walker.text("#test-call")

    scenes.refuse(id_)
    walker.until("return document.querySelector('#test-call').dataset.state === 'over'")
    walker.until("return !document.querySelector('[data-poll]')")
    assert "403 Forbidden" in walker.text("#test-call .headline")
    walker.to(".course summary")
    walker.press(Keys.ENTER)
    assert "INVITE text" in walker.text(".course pre")
    walker.press(Keys.TAB)
    walker.open(walker.path, "#test-call")
    walker.follow("a[href$='#test']", "#test")


def test_a_document_is_run_and_its_keys_are_pressed(walker, place, tasks):  # noqa: F811
    walker.open("/bench/", ".bench-form")
    walker.skip()
    walker.to("[name=source]:checked")
    for wanted in ("url", "paste"):
        walker.press(Keys.ARROW_DOWN)
        walker.until("return document.activeElement.value === arguments[0]", wanted)
    walker.to("#id_document")
    walker.follow(".bench-form button", "#bench-run")
    [(_, id_)] = tasks
    scenes.wait_for_keys(id_)
    walker.until("return document.activeElement.id === 'id_keys'")
    walker.press("12", Keys.ENTER)
    walker.wait(lambda: len(tasks) == 2)
    run = benchruns.find(id_)
    assert [(move.do, move.keys) for move in run.moves] == [("keys", "12")]
    benchruns.put_result(id_, BenchResult(1, [], {}, []))
    walker.until("return !document.querySelector('[data-poll]')")
    walker.follow("#bench-run a.button", ".bench-form")


def test_the_second_factor_is_reached(walker):
    walker.to("a.who")
    walker.press(Keys.ENTER)
    walker.arrived("#h-security")
    walker.skip()
    walker.to("main button")
