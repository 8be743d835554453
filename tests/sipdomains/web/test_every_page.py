"""Each page of the desk in a real browser, with long names: by axe-core, and nothing runs over.

One browser, one server and one database serve all of them: that is most of the time.
"""

from __future__ import annotations

import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone
from selenium.webdriver.common.by import By

from sipdomains.bench import BenchResult, BenchSetup
from sipdomains.models import (
    ApiKey,
    Application,
    CallAclMapping,
    CredentialList,
    IpAccessControlList,
    IpAddress,
)
from sipdomains.services import benchruns, recording_files, testcalls
from tests.programs import needed
from tests.sipdomains.sounds import start_recording, write_tone
from tests.sipdomains.web import test_desk_in_browser
from tests.sipdomains.web.test_desk_in_browser import arrive
from tests.sipdomains.web.test_in_browser import (
    browser,  # noqa: F401 - a fixture
    press,
    size,
)
from tests.sipdomains.web.test_live_updates import (
    asgi_server,  # noqa: F401 - a fixture
    going_on,
)

pytestmark = test_desk_in_browser.pytestmark
AXE = Path(__file__).with_name("axe")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
SIZES = ((1366, "light"), (1180, "light"), (768, "light"), (390, "dark"))
AUDITED = (1366, 390)
LONG = "customer-service-hotline.eu-central.voice.example.com"
DOCUMENT = '<Response>\n  <Say voice="man">Hello</Say>\n  <Dial>bob</Dial>\n</Response>'
STRANGER = "198.51.100.7"


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """The script, installed as the lock file says."""
    npm = needed("npm")
    folder = tmp_path_factory.mktemp("axe") / "axe"
    shutil.copytree(AXE, folder, ignore=shutil.ignore_patterns("node_modules"))
    done = subprocess.run(
        [npm, "ci", "--no-progress", "--ignore-scripts", "--no-audit"],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "node_modules/axe-core/axe.min.js").read_text("utf-8")


def violations(browser, script):  # noqa: F811 - a fixture's name
    browser.execute_script("if (!window.axe) (0, eval)(arguments[0])", script)
    return browser.execute_async_script(
        """
        const [tags, done] = arguments;
        // Django's own parts of the admin.
        const ours = { exclude: [[".select2-container"], [".breadcrumbs"], [".inline-group"]] };
        axe.run(ours, { runOnly: { type: "tag", values: tags }, resultTypes: ["violations"] }).then(
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


def faults(browser, script):  # noqa: F811 - a fixture's name
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
        if width in AUDITED:
            found += [f"{width}: {one}" for one in violations(browser, script)]
    return found


# --- what there is to see -------------------------------------------------------------------------


@pytest.fixture
def place(domain, settings, tmp_path):
    """An account with a domain of a long name, lists, an application and an API key."""
    settings.MEDIA_ROOT = tmp_path / "storage"
    cache.clear()
    account = domain.account
    domain.domain_name, domain.voice_url = LONG, f"https://{LONG}/voice/incoming?tenant=0123456789"
    domain.friendly_name = "Customer service, all languages and countries"
    domain.save()
    office = IpAccessControlList.objects.create(account=account, friendly_name="Office")
    IpAddress.objects.create(acl=office, ip_address="192.0.2.0", cidr_prefix_length=24)
    CallAclMapping.objects.create(domain=domain, acl=office)
    Application.objects.create(
        account=account, friendly_name="Menu", voice_url="http://app.example/"
    )
    ApiKey.objects.create(account=account, friendly_name="Shop system")
    CredentialList.objects.create(account=account, friendly_name="Phones")
    yield domain
    cache.clear()


@pytest.fixture
def live(place, make_call, add_event):
    call = going_on(make_call, domain=place, account=place.account, domain_name=LONG)
    add_event(call, "verb-started", {"verb": "Play", "summary": "<Play>a.wav</Play>"})
    return call


@pytest.fixture
def refused(place, make_call, add_event):
    call = make_call(
        timezone.now(), domain=place, account=place.account, domain_name=LONG, status="failed",
        cause="source-not-allowed", sip_status=403, answered_at=None, duration=None,
        reason="The source address is in none of the domain's IP access control lists.",
        source_ip=STRANGER, error_code=32201,
    )  # fmt: skip
    add_event(call, "sip", {"dir": "in", "summary": "INVITE", "text": "INVITE text"})
    return call


@pytest.fixture
def whole(place, make_call, add_event, add_attempt, add_note, tmp_path):
    """A call with everything that its page can show, and a child."""
    began = timezone.now() - timedelta(minutes=5)
    account = place.account
    call = make_call(
        began, domain=place, account=account, domain_name=LONG,
        from_uri=f"sip:someone.with.a.long.name@{LONG.replace('voice', 'phones')}",
        media={
            "codec": "PCMU", "mos": 4.2,
            "series": {"at": [5, 10, 15], "mos": [4.4, 4.1, 3.2], "loss": [0, 1, 9]},
        },
    )  # fmt: skip
    child = make_call(began, parent=call, account=account, direction="outbound-dial")
    add_event(call, "sip", {"dir": "in", "summary": "INVITE", "text": f"INVITE sip:1@{LONG} x"})
    add_event(call, "webhook", {"reason": "voice-url"}, 0.1)
    add_event(call, "document", {"url": "http://app/voice", "verbs": ["Say"], "body": DOCUMENT}, 1)
    add_event(call, "verb-started", {"index": 0, "verb": "Say", "line": 2, "summary": "Say x"}, 1)
    add_event(call, "verb-ended", {"index": 0, "verb": "Say", "outcome": "continue"}, 2)
    add_event(child, "sip", {"dir": "out", "summary": "INVITE", "text": "INVITE bob"}, 2.5)
    add_attempt(
        call, at=began + timedelta(seconds=0.1), account=account, status=200, duration_ms=20,
        response_body=DOCUMENT, parameters=[["CallSid", call.sid]], url=place.voice_url,
    )  # fmt: skip
    add_note(call, 13321, level="warning")
    row = start_recording(
        account, call, spool=tmp_path, status="completed", duration=3, ended_at=call.ended_at
    )
    row.file.name = recording_files.wav_name(row)
    row.size = recording_files.store(str(write_tone(Path(row.spool_path), 3.0)), row.file.name)
    row.save()
    return call


def bench_run(user, domain):
    """It waits for keys."""
    setup = BenchSetup(domain.account_id, "CA" + "0" * 32, document="<Response/>", to="sip:1@x",
                       from_="sip:2@x", domain_sid=domain.sid, domain_name=LONG)  # fmt: skip
    made = benchruns.start(user.pk, setup)
    source = "<Response>\n<Gather/>\n</Response>"
    entries = [
        {"kind": kind, "at": 0.0, "data": data}
        for kind, data in (
            ("document", {"url": "", "verbs": ["Gather"], "text": source}),
            ("verb", {"index": 0, "verb": "Gather", "line": 2, "summary": "dtmf"}),
            ("say", {"text": "Press one", "voice": "man", "language": "en-US", "ssml": False}),
        )
    ]
    benchruns.put_result(made.id, BenchResult(0, entries, {"kind": "keys"}, []))
    return made.id


def placed_test_call(user, domain):
    """It was refused."""
    id_ = testcalls.order(user.pk, domain.sid, f"sip:100@{LONG}")
    asked = testcalls.progress(id_)
    message = {
        "dir": "out",
        "summary": "INVITE",
        "text": "INVITE text",
        "peer": "",
        "transport": "",
    }
    outcome = {"status": 403, "reason": "Forbidden", "ended_by": "refused", "at": 0.0,
               "why": "32201 not listed"}  # fmt: skip
    testcalls.put(id_, testcalls.Progress(
        asked.user, asked.domain_sid, asked.target, asked.call_id, asked.asked_at, "over",
        ((asked.asked_at, message),), outcome,
    ))  # fmt: skip
    return id_


def admin(name, *args):
    return reverse(f"admin:{name}", args=args)


def test_each_page_is_accessible_and_fits_desks_and_phones(
    browser, asgi_server, axe, operator, place, live, refused, whole  # noqa: F811 - fixtures
):  # fmt: skip
    operator.is_staff = operator.is_superuser = True  # sees everything, and has the longest menu
    operator.save()
    account, office = place.account, IpAccessControlList.objects.get()
    attempt = whole.webhook_requests.get()
    browser.get(asgi_server + "/login/")
    found = {"/login/": faults(browser, axe)}
    arrive(browser, asgi_server)
    for path in (
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
        admin("index"),
        admin("sipdomains_apikey_changelist"),
        admin("sipdomains_apikey_add"),
        admin("sipdomains_account_change", account.sid),
        admin("sipdomains_account_tokens", account.sid),
        admin("sipdomains_account_history", account.sid),
        admin("sipdomains_sipdomain_change", place.sid),
        admin("sipdomains_ipaccesscontrollist_import", office.sid),
    ):
        size(browser, SIZES[0][0], 900)
        browser.get(asgi_server + path)
        found[path] = faults(browser, axe)
    browser.get(asgi_server + "/calls/")
    press(browser, "?")
    assert browser.find_element(By.ID, "keys").is_displayed()
    found["/calls/ and its keys"] = faults(browser, axe)
    assert {path: faults for path, faults in found.items() if faults} == {}
