"""The second factor in a real browser, by keyboard: set up, then signed in with."""

import pytest
from django.utils import timezone
from django_otp.oath import TOTP
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sipdomains.models import Authenticator
from tests.sipdomains.web.test_every_page import axe, violations  # noqa: F401 - a fixture
from tests.sipdomains.web.test_in_browser import (  # noqa: F401 - a fixture
    browser,
    fill_in_login,
    focused,
    is_wider,
    log_in,
    press,
    pytestmark,
    size,
    wait,
)


def text(browser):  # noqa: F811 - the fixture's value
    return browser.find_element(By.TAG_NAME, "main").text


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("width", "height", "scheme"), [(1366, 900, "light"), (390, 844, "dark")])
def test_it_is_set_up_and_asked_for(browser, live_server, operator, axe, width, height, scheme):  # noqa: F811 - fixtures
    size(browser, width, height)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    log_in(browser, live_server.url)
    browser.find_element(By.CSS_SELECTOR, "a.who").send_keys(Keys.ENTER)
    wait(browser, lambda _: "Second factor" in text(browser))
    assert violations(browser, axe) == []
    browser.find_element(By.ID, "id_password").send_keys("correct horse", Keys.ENTER)
    wait(browser, lambda _: focused(browser) == "id_code")
    assert violations(browser, axe) == []
    assert not is_wider(browser, width)
    picture = browser.find_element(By.CSS_SELECTOR, ".qr svg").size
    assert picture["width"] == picture["height"] > 150

    now = TOTP(bytes.fromhex(Authenticator.objects.get().key))
    now.time = timezone.now().timestamp()
    press(browser, f"{now.token():06d}", Keys.ENTER)
    wait(browser, lambda _: "Recovery codes" in text(browser))
    assert violations(browser, axe) == []
    assert not is_wider(browser, width)
    code = browser.find_element(By.CSS_SELECTOR, ".recovery-codes code").text

    browser.find_element(By.CSS_SELECTOR, ".account button").send_keys(Keys.ENTER)
    wait(browser, lambda _: browser.current_url.endswith("/login/"))
    assert violations(browser, axe) == []
    fill_in_login(browser, "operator", "correct horse", code)
    wait(browser, lambda _: "/login/" not in browser.current_url)
    assert browser.get_log("browser") == []
