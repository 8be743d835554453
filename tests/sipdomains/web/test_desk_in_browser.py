"""The desk in a real browser under the server of production: live rows, keys, accessibility."""

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from sipdomains.models import Application, Call
from sipdomains.web import feed
from tests.sipdomains.web import test_in_browser
from tests.sipdomains.web.test_in_browser import (
    browser,  # noqa: F401 - a fixture
    focused,
    is_wider,
    press,
    rows,
    size,
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
    # Of requests whose browser has gone, Django leaves closing the body to the collector.
    pytest.mark.filterwarnings("ignore:Unclosed file <tempfile.Spooled:ResourceWarning"),
]
AXE = Path(__file__).with_name("axe")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]


def arrive(browser, address, path="/calls/"):  # noqa: F811 - a fixture's name
    browser.get(address + path)
    press(browser, "operator", Keys.TAB, "correct horse", Keys.ENTER)
    wait(browser, lambda _: browser.current_url == address + path)


def test_calls_appear_and_change_by_events(
    browser, asgi_server, operator, make_call, domain, monkeypatch  # noqa: F811 - fixtures
):  # fmt: skip
    monkeypatch.setattr(feed, "POLL_SECONDS", 0.05)
    old = make_call(timezone.now() - timedelta(minutes=5))
    size(browser, 1366, 900)
    arrive(browser, asgi_server)
    wait(browser, lambda _: "live" in browser.find_element(By.CSS_SELECTOR, "[data-live]").text)
    # From here on nothing is asked for: whatever comes, comes by the stream.
    browser.execute_script(
        "addEventListener('htmx:beforeRequest', (event) => event.preventDefault(), true)"
    )
    press(browser, "j")
    fresh = going_on(make_call, domain=domain)
    wait(browser, lambda _: rows(browser) == [fresh.sid, old.sid])
    assert focused(browser) == f"call-{old.sid}"
    browser.find_element(By.ID, f"call-{fresh.sid}").send_keys("")
    press(browser, "k")
    assert focused(browser) == f"call-{fresh.sid}"
    now = timezone.now()
    Call.objects.filter(sid=fresh.sid).update(
        status="busy", cause="callee-busy", reason="The callee is busy.", ended_at=now,
        updated_at=now, sip_status=486,
    )  # fmt: skip
    text = lambda: browser.find_element(By.CSS_SELECTOR, ".calls tbody tr").text  # noqa: E731
    wait(browser, lambda _: "The callee is busy." in text())
    assert focused(browser) == f"call-{fresh.sid}"  # the row was exchanged under the focus
    assert browser.get_log("browser") == []


def test_the_keyboard_alone_leads_everywhere(
    browser, asgi_server, operator, make_call  # noqa: F811 - fixtures
):  # fmt: skip
    made = [make_call(timezone.now() - timedelta(seconds=number)) for number in range(60)]
    size(browser, 1366, 900)
    arrive(browser, asgi_server)
    press(browser, "?")
    assert browser.find_element(By.ID, "keys").is_displayed()
    press(browser, Keys.ESCAPE)
    wait(browser, lambda _: not browser.find_element(By.ID, "keys").is_displayed())
    press(browser, "n")
    wait(browser, lambda _: rows(browser) == [call.sid for call in made[50:]])
    press(browser, "g")
    wait(browser, lambda _: len(rows(browser)) == 50)
    press(browser, "j", Keys.ENTER)
    wait(browser, lambda _: made[0].sid in browser.current_url)
    assert browser.get_log("browser") == []


# --- accessibility --------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The script, installed as the lock file says."""
    if not shutil.which("npm"):
        pytest.skip("needs npm")
    folder = tmp_path_factory.mktemp("axe") / "axe"
    shutil.copytree(AXE, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        ["npm", "ci", "--no-progress", "--ignore-scripts", "--no-audit"],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "node_modules/axe-core/axe.min.js").read_text("utf-8")


def violations(browser, script):  # noqa: F811 - a fixture's name
    browser.execute_script(script)
    found = browser.execute_async_script(
        """
        const [tags, done] = arguments;
        axe.run({ runOnly: { type: "tag", values: tags } }).then(
          (result) => done(result.violations.map((one) =>
            `${one.id}: ${one.nodes.slice(0, 3).map((node) => node.html).join(" ")}`)),
          (error) => done([String(error)]),
        );
        """,
        RULES,
    )
    return [one[:400] for one in found]


@pytest.mark.parametrize(("width", "height", "scheme"), [(1366, 900, "light"), (390, 844, "dark")])
def test_pages_are_accessible_at_desk_and_on_the_phone(
    browser, asgi_server, axe, operator, make_call, add_event, domain, width, height, scheme  # noqa: F811 - fixtures
):  # fmt: skip
    live = going_on(make_call, domain=domain, account=domain.account)
    add_event(live, "verb-started", {"verb": "Play", "summary": "<Play>a.wav</Play>"})
    refused = make_call(
        timezone.now(), domain=domain, account=domain.account, status="failed",
        cause="bad-credentials", reason="Wrong user name or password.", sip_status=403,
        answered_at=None, duration=None, error_code=32202,
    )  # fmt: skip
    Application.objects.create(
        account=domain.account, friendly_name="Menu", voice_url="http://app.example/"
    )
    size(browser, width, height)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(asgi_server + "/login/")
    assert violations(browser, axe) == []
    arrive(browser, asgi_server)
    for path in (
        "/", "/calls/?header=X-A: 1&q=zzz", "/calls/", "/live/", f"/calls/{live.sid}/control/",
        f"/calls/{refused.sid}/", "/recordings/",
    ):  # fmt: skip
        browser.get(asgi_server + path)
        assert (path, violations(browser, axe)) == (path, [])
        assert not is_wider(browser, width), path
    press(browser, "?")
    assert violations(browser, axe) == []
    assert browser.get_log("browser") == []
