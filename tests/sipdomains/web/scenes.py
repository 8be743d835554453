"""What there is to see: an account with long names, and calls with all that the pages can show."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.utils import timezone

from sipdomains.bench import BenchResult, BenchSetup
from sipdomains.models import (
    ApiKey,
    Application,
    CallAclMapping,
    CallCommand,
    CallCredentialListMapping,
    CallOrder,
    Credential,
    CredentialList,
    IpAccessControlList,
    IpAddress,
    OutboxMessage,
    Registration,
    SipNode,
    Transfer,
    Trunk,
)
from sipdomains.services import benchruns, recording_files, testcalls
from tests.sipdomains.sounds import start_recording, write_tone
from tests.sipdomains.web.test_live_updates import going_on

LONG = "customer-service-hotline.eu-central.voice.example.com"
DOCUMENT = '<Response>\n  <Say voice="man">Hello</Say>\n  <Dial>bob</Dial>\n</Response>'
STRANGER = "198.51.100.7"


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


@pytest.fixture
def a_row_of_each(place, whole):
    """Of what the admin lists, what is not there by the other scenes."""
    now = timezone.now()
    SipNode.objects.create(
        boot_id="b", contact="sip:[2001:db8::7]:5060", started_at=now, heartbeat_at=now
    )
    CallCommand.objects.create(call=whole, kind="hangup", requested_by="operator", requested_at=now)
    CallOrder.objects.create(call=whole, account=place.account, created_at=now, due_at=now)
    OutboxMessage.objects.create(
        id="m", stream="s", position=0, purpose="status-callback", created_at=now, method="POST",
        url=f"https://{LONG}/status/events?tenant=0123456789", next_at=now, call=whole,
    )  # fmt: skip
    Transfer.objects.create(
        call=whole, number=1, direction="out", target=f"sip:200@{LONG}", requested_at=now,
        changed_at=now,
    )  # fmt: skip
    Registration.objects.create(
        domain=place, username="alice", contact_uri=f"sip:alice@{LONG}:5062;transport=tcp",
        sip_call_id="c", cseq=1, transport="tcp", received_host=STRANGER, received_port=5062,
        local_host="192.0.2.1", local_port=5060, node="b", registered_at=now, refreshed_at=now,
        expires_at=now + timedelta(hours=1),
    )  # fmt: skip
    Trunk.objects.create(account=place.account, friendly_name="Provider", host=LONG)
    listed = CredentialList.objects.get()
    user = Credential(credential_list=listed, username="alice")
    user.set_password("Correct9HorseX")
    user.save()
    CallCredentialListMapping.objects.create(domain=place, credential_list=listed)


def bench_run(user, domain):
    """It waits for keys."""
    setup = BenchSetup(domain.account_id, "CA" + "0" * 32, document="<Response/>", to="sip:1@x",
                       from_="sip:2@x", domain_sid=domain.sid, domain_name=LONG)  # fmt: skip
    made = benchruns.start(user.pk, setup)
    wait_for_keys(made.id)
    return made.id


def wait_for_keys(id_):
    """As the worker tells it."""
    source = "<Response>\n<Gather/>\n</Response>"
    entries = [
        {"kind": kind, "at": 0.0, "data": data}
        for kind, data in (
            ("document", {"url": "", "verbs": ["Gather"], "text": source}),
            ("verb", {"index": 0, "verb": "Gather", "line": 2, "summary": "dtmf"}),
            ("say", {"text": "Press one", "voice": "man", "language": "en-US", "ssml": False}),
        )
    ]
    benchruns.put_result(id_, BenchResult(0, entries, {"kind": "keys"}, []))


def placed_test_call(user, domain):
    """It was refused."""
    id_ = testcalls.order(user.pk, domain.sid, f"sip:100@{LONG}")
    refuse(id_)
    return id_


def refuse(id_):
    """As the worker tells it."""
    asked = testcalls.progress(id_)
    message = {
        "dir": "out", "summary": "INVITE", "text": "INVITE text", "peer": "", "transport": "",
    }  # fmt: skip
    outcome = {"status": 403, "reason": "Forbidden", "ended_by": "refused", "at": 0.0,
               "why": "32201 not listed"}  # fmt: skip
    testcalls.put(id_, testcalls.Progress(
        asked.user, asked.domain_sid, asked.target, asked.call_id, asked.asked_at, "over",
        ((asked.asked_at, message),), outcome,
    ))  # fmt: skip
