"""The desk in a real browser under the server of production: live rows, keys."""

from datetime import timedelta

import pytest
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sipdomains.models import Call
from sipdomains.web import feed
from tests.sipdomains.web import test_in_browser
from tests.sipdomains.web.test_in_browser import (
    browser,  # noqa: F401 - a fixture
    fill_in_login,
    focused,
    press,
    rows,
    size,
    text,
    wait,
)
from tests.sipdomains.web.test_live_updates import (
    asgi_server,  # noqa: F401 - a fixture
    going_on,
)

pytestmark = [
    *test_in_browser.pytestmark,
    # As sipdomains.asgi has it: static files are small.
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume"),
]


def arrive(browser, address, path="/calls/"):  # noqa: F811 - a fixture's name
    browser.get(address + path)
    fill_in_login(browser, "operator", "correct horse")
    wait(browser, lambda _: browser.current_url == address + path)


def test_calls_appear_and_change_by_events(
    browser, asgi_server, operator, make_call, domain, monkeypatch  # noqa: F811 - fixtures
):  # fmt: skip
    monkeypatch.setattr(feed, "POLL_SECONDS", 0.05)
    old = make_call(timezone.now() - timedelta(minutes=5))
    size(browser, 1366, 900)
    arrive(browser, asgi_server)
    wait(browser, lambda _: "live" in text(browser, "[data-live]"))
    # From here on nothing is asked for: whatever comes, comes by the stream.
    browser.execute_script(
        "addEventListener('htmx:beforeRequest', (event) => event.preventDefault(), true)"
    )
    press(browser, "j")
    fresh = going_on(make_call, domain=domain)
    wait(browser, lambda _: rows(browser) == [fresh.sid, old.sid])
    wait(browser, lambda _: focused(browser) == f"call-{old.sid}")
    press(browser, "k")
    wait(browser, lambda _: focused(browser) == f"call-{fresh.sid}")
    now = timezone.now()
    Call.objects.filter(sid=fresh.sid).update(
        status="busy", cause="callee-busy", reason="The callee is busy.", ended_at=now,
        updated_at=now, sip_status=486,
    )  # fmt: skip
    wait(browser, lambda _: "The callee is busy." in text(browser, ".calls tbody tr"))
    # The row was exchanged under the focus.
    wait(browser, lambda _: focused(browser) == f"call-{fresh.sid}")
    assert browser.get_log("browser") == []


def test_the_keyboard_alone_leads_everywhere(
    browser, asgi_server, operator, make_call  # noqa: F811 - fixtures
):  # fmt: skip
    made = [make_call(timezone.now() - timedelta(seconds=number)) for number in range(60)]
    size(browser, 1366, 900)
    arrive(browser, asgi_server)
    press(browser, "?")
    wait(browser, lambda _: browser.find_element(By.ID, "keys").is_displayed())
    press(browser, Keys.ESCAPE)
    wait(browser, lambda _: not browser.find_element(By.ID, "keys").is_displayed())
    press(browser, "n")
    wait(browser, lambda _: rows(browser) == [call.sid for call in made[50:]])
    press(browser, "g")
    wait(browser, lambda _: len(rows(browser)) == 50)
    press(browser, "j", Keys.ENTER)
    wait(browser, lambda _: made[0].sid in browser.current_url)
    assert browser.get_log("browser") == []
