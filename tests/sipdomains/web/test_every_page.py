"""Each page of the desk in a real browser, with long names: by axe-core, and nothing runs over.

One browser, one server and one database serve all of them: that is most of the time.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from django.contrib.admin import site
from django.contrib.auth.models import Group
from django.urls import reverse
from selenium.webdriver.common.by import By

from sipdomains.models import Authenticator, CredentialList, IpAccessControlList
from tests.programs import needed
from tests.sipdomains.web import test_desk_in_browser
from tests.sipdomains.web.scenes import (
    STRANGER,
    a_row_of_each,  # noqa: F401 - a fixture
    bench_run,
    live,  # noqa: F401 - a fixture
    place,  # noqa: F401 - a fixture
    placed_test_call,
    refused,  # noqa: F401 - a fixture
    whole,  # noqa: F401 - a fixture
)
from tests.sipdomains.web.test_desk_in_browser import arrive
from tests.sipdomains.web.test_in_browser import complaints, press, size, start_browser, wait
from tests.sipdomains.web.test_live_updates import (
    asgi_server,  # noqa: F401 - a fixture
)

pytestmark = [*test_desk_in_browser.pytestmark, pytest.mark.timeout(900)]
AXE = Path(__file__).with_name("axe")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
SIZES = ((1366, "light"), (1180, "light"), (768, "light"), (390, "dark"))
AUDITED = (1366, 390)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    driver = start_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The script, installed as the lock file says."""
    npm = needed("npm")
    folder = tmp_path_factory.mktemp("axe") / "axe"
    shutil.copytree(AXE, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        [npm, "ci", "--no-progress", "--ignore-scripts", "--no-audit"],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "node_modules/axe-core/axe.min.js").read_text("utf-8")


def violations(browser, script):
    browser.execute_script("if (!window.axe) (0, eval)(arguments[0])", script)
    return browser.execute_async_script(
        """
        const [tags, done] = arguments;
        // Style sheets that others import would be asked for once more, at wrong addresses.
        const how = { preload: false, resultTypes: ["violations"] };
        axe.run(document, { runOnly: { type: "tag", values: tags }, ...how }).then(
          (result) => done(result.violations.map((one) => `${one.id}: ` +
            one.nodes.slice(0, 3).map((node) => node.html.slice(0, 300)).join(" "))),
          (error) => done([String(error)]),
        );
        """,
        RULES,
    )


CUT = """
return [...document.querySelectorAll(".c-domain bdi")].filter((name) =>
  name.parentElement.scrollWidth > name.parentElement.clientWidth + 1
  || name.scrollHeight > name.clientHeight + 1).map((name) => name.textContent)
"""


def faults(browser, script, audited=AUDITED):
    """Of the page that is open, at each width: what axe-core finds, what runs over, what is cut."""
    found = []
    for width, scheme in SIZES:
        size(browser, width, 900)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        is_as_wide_as = browser.execute_script("return document.documentElement.scrollWidth")
        # Colours that are still on their way to the other scheme are none to judge.
        browser.execute_script("for (const one of document.getAnimations()) one.finish()")
        if is_as_wide_as > width:
            found.append(f"{width}: is {is_as_wide_as} wide")
        found += [f"{width}: {name} is cut" for name in browser.execute_script(CUT)]
        if width in audited:
            found += [f"{width}: {one}" for one in violations(browser, script)]
    return found


def admin(name, *args):
    return reverse(f"admin:{name}", args=args)


@pytest.fixture
def desk(browser, asgi_server, axe, operator):  # noqa: F811 - fixtures
    """Opens pages as somebody who sees everything, and has the longest menu."""
    operator.is_staff = operator.is_superuser = True
    operator.save()
    browser.delete_all_cookies()
    size(browser, 1366, 900)
    yield Desk(browser, asgi_server, axe)
    assert complaints(browser) == []


class Desk:
    def __init__(self, browser, address, axe):
        self.browser, self.address, self.axe, self.found = browser, address, axe, {}

    def look_at(self, *paths, audited=AUDITED):
        for path in paths:
            size(self.browser, SIZES[0][0], 900)
            self.browser.get(self.address + path)
            self.look(path, audited)

    def look(self, name, audited=AUDITED):
        self.found[name] = faults(self.browser, self.axe, audited)

    @property
    def faults(self):
        return {path: faults for path, faults in self.found.items() if faults}


def test_each_page_is_accessible_and_fits_desks_and_phones(
    desk, operator, place, live, refused, whole  # noqa: F811 - fixtures
):  # fmt: skip
    attempt = whole.webhook_requests.get()
    desk.look_at("/login/")
    arrive(desk.browser, desk.address)
    desk.look_at(
        "/",
        "/calls/",
        "/calls/?header=X-A: 1&q=zzz",
        "/live/",
        reverse("web:control", args=[live.sid]),
        reverse("web:call", args=[live.sid]),
        reverse("web:call", args=[refused.sid]),
        reverse("web:call", args=[whole.sid]),
        reverse("web:call-repeat", args=[whole.sid, attempt.pk]),
        "/recordings/",
        "/domains/",
        reverse("web:domain", args=[place.sid]) + f"?source_ip={STRANGER}&username=",
        reverse("web:allow-address", args=[place.sid]) + f"?address={STRANGER}",
        reverse("web:test-call", args=[place.sid, placed_test_call(operator, place)]),
        "/bench/",
        reverse("web:bench-run", args=[bench_run(operator, place)]),
    )
    desk.browser.get(desk.address + "/calls/")
    press(desk.browser, "?")
    wait(desk.browser, lambda _: desk.browser.find_element(By.ID, "keys").is_displayed())
    desk.look("/calls/ and its keys")
    # While it is set up: see test_second_factor_in_browser.
    Authenticator.objects.create(user=operator, key="00" * 20, confirmed=True)
    desk.look_at("/account/security/")
    assert desk.faults == {}


def test_each_page_of_the_configuration_is_accessible_and_fits(
    desk, operator, place, whole, a_row_of_each  # noqa: F811 - fixtures
):  # fmt: skip
    account, office = place.account, IpAccessControlList.objects.get()
    phones = CredentialList.objects.get()
    arrive(desk.browser, desk.address)
    desk.look_at(
        admin("index"),
        admin("sipdomains_apikey_add"),
        admin("sipdomains_account_change", account.sid),
        admin("sipdomains_account_tokens", account.sid),
        admin("sipdomains_account_history", account.sid),
        admin("sipdomains_sipdomain_change", place.sid),
        admin("sipdomains_credentiallist_change", phones.sid),
        admin("sipdomains_ipaccesscontrollist_import", office.sid),
        admin("auth_user_change", operator.pk),
        admin("auth_group_change", Group.objects.first().pk),
        admin("password_change"),
    )
    # They are of one make: each is audited at one size, every other at the other.
    for number, model in enumerate(site._registry):
        assert model.objects.exists(), model
        name = f"{model._meta.app_label}_{model._meta.model_name}_changelist"
        desk.look_at(admin(name), audited=AUDITED[number % 2 :][:1])

    assert desk.faults == {}
