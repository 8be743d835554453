"""The admin pages of the REST API in a real browser: what must be clicked can be."""

from __future__ import annotations

import os

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sipdomains.models import ApiKey
from tests.sipdomains.web.test_in_browser import (  # noqa: F401 - a fixture
    browser,
    fill_in_login,
    is_wider,
    press,
    pytestmark,
    size,
    wait,
)

SHOTS = os.environ.get("SHOTS", "")  # a folder for pictures, to look at


def shot(browser, name):  # noqa: F811 - the fixture's value
    if SHOTS:
        browser.save_screenshot(f"{SHOTS}/{name}.png")


def click(browser, selector):  # noqa: F811 - the fixture's value
    """As soon as it is there: a page that a click has led to may still be on its way."""
    wait(browser, lambda _: browser.find_element(By.CSS_SELECTOR, selector).click() or True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("width", "height"), [(1366, 900), (390, 844)])
def test_a_key_is_made_and_a_token_exchanged(browser, live_server, domain, width, height):  # noqa: F811 - the fixture
    account = domain.account
    old = account.auth_token
    get_user_model().objects.create_superuser("root", password="x")
    size(browser, width, height)
    browser.get(live_server.url + "/admin/login/")
    fill_in_login(browser, "root", "x")
    wait(browser, lambda _: "login" not in browser.current_url)

    browser.get(live_server.url + reverse("admin:sipdomains_apikey_add"))
    wait(browser, lambda _: browser.find_elements(By.NAME, "friendly_name"))
    browser.find_element(By.NAME, "friendly_name").send_keys("Shop system")
    click(browser, ".select2-selection")
    press(browser, "Acme")
    wait(browser, lambda _: "Acme" in text(browser, ".select2-results"))
    press(browser, Keys.ENTER)
    click(browser, "[name=_save]")
    secret = wait(browser, lambda _: text(browser, "#secret"))
    assert ApiKey.objects.get().opens(secret)
    assert not is_wider(browser, width)
    shot(browser, f"key-{width}")

    browser.get(live_server.url + reverse("admin:sipdomains_account_change", args=(account.sid,)))
    browser.find_element(By.LINK_TEXT, "AUTH TOKENS").click()
    wait(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, "[value=make]"))
    assert old not in browser.page_source
    click(browser, "[value=make]")
    wait(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, "[value=promote]"))
    click(browser, "[value=show]")
    wait(browser, lambda _: browser.find_elements(By.ID, "primary"))
    assert text(browser, "#primary") == old
    new = text(browser, "#secondary")
    shot(browser, f"tokens-{width}")
    assert not is_wider(browser, width)
    click(browser, "[value=promote]")
    wait(browser, lambda _: browser.find_elements(By.NAME, "sure"))
    shot(browser, f"promote-{width}")
    click(browser, "[value=promote]")
    wait(browser, lambda _: browser.find_elements(By.CSS_SELECTOR, "[value=make]"))
    account.refresh_from_db()
    assert (account.auth_token, account.secondary_auth_token) == (new, "")

    browser.get(live_server.url + reverse("admin:sipdomains_account_history", args=(account.sid,)))
    assert "access" in text(browser, "#change-history")
    assert not is_wider(browser, width)
    shot(browser, f"history-{width}")
    told = [one["message"] for one in browser.get_log("browser")]
    assert not [message for message in told if "favicon.ico" not in message]  # Django has none


def text(browser, selector):  # noqa: F811 - the fixture's value
    found = browser.find_elements(By.CSS_SELECTOR, selector)
    return found[0].text if found else ""
