"""A walk through domains, test call and bench in a real browser against a running server."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.e2e.server import Application, Server
from tests.e2e.test_desk import Desk, desk
from tests.sipdomains.web.keyboard import arrived
from tests.sipdomains.web.test_in_browser import (
    browser,
    focused,
    is_wider,
    press,
    size,
    text,
    wait,
)
from tests.sipdomains.web.test_in_browser import pytestmark as in_browser

__all__ = ["browser", "desk"]

pytestmark = in_browser


def sign_in(browser, desk: Desk) -> None:
    """With the session that the desk has already."""
    browser.get(str(desk.http.base_url) + "/login/")
    session = desk.http.cookies["sessionid"]
    browser.add_cookie({"name": "sessionid", "value": session, "path": "/"})


def settled(browser, selector: str) -> None:
    """The page has this and will not change any more."""
    script = (
        "return !!document.querySelector(arguments[0]) && !document.querySelector('[data-poll]')"
    )
    wait(browser, lambda _: browser.execute_script(script, selector), 90)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_an_operator_tests_a_domain_by_keyboard(
    server: Server, desk: Desk, open_domain, app: Application, browser, width: int, height: int
) -> None:
    app.document("/voice", '<Gather numDigits="1" action="/typed"><Say>One or two?</Say></Gather>')
    app.document("/typed", "<Say>Thank you</Say>")
    size(browser, width, height)
    sign_in(browser, desk)
    browser.get(str(desk.http.base_url) + "/domains/?q=open")
    press(browser, "j", Keys.ENTER)
    wait(browser, lambda _: open_domain["domain_sid"] in browser.current_url)
    arrived(browser, "#test form")
    assert "without a password" in browser.execute_script(
        "return document.getElementById('h-who').parentElement.innerText"
    )
    assert not is_wider(browser, width)

    # A test call appears, goes on, and is over, without a reload.
    form = browser.find_element(By.CSS_SELECTOR, "#test form")
    form.find_element(By.NAME, "digits").send_keys("2")
    seconds = form.find_element(By.NAME, "seconds")
    seconds.clear()
    seconds.send_keys("60", Keys.ENTER)
    settled(browser, "#test-call[data-state=over]")
    assert "Answered" in text(browser, "#test-call .headline")
    assert browser.find_elements(By.CSS_SELECTOR, ".course .arrow")
    assert not is_wider(browser, width)
    assert browser.find_elements(By.PARTIAL_LINK_TEXT, "Open the call")

    # The same document on the bench, by the keyboard alone.
    browser.get(f"{desk.http.base_url}/bench/?domain={open_domain['domain_sid']}")
    arrived(browser, "#id_url")
    browser.find_element(By.ID, "id_url").send_keys(Keys.ENTER)
    settled(browser, "#id_keys")
    wait(browser, lambda _: focused(browser) == "id_keys")
    press(browser, "1", Keys.ENTER)
    settled(browser, ".k-end")
    spoken = browser.execute_script(
        "return [...document.querySelectorAll('.k-say q')].map(said => said.innerText)"
    )
    assert [said.strip('“”"') for said in spoken] == ["One or two?", "Thank you"]
    assert not is_wider(browser, width)
    assert browser.get_log("browser") == []
