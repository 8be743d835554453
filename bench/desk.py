#!/usr/bin/env python
"""Operators' pages over a long call log: milliseconds and queries.

    python bench/api_list.py --calls 1000000 --keep FILE     # makes the rows
    python bench/desk.py FILE [--repeat 10]
    DATABASE_URL=postgres://bench@127.0.0.1/bench python bench/desk.py

The whole view (middleware, session, permissions, rows, template) is asked in-process, by somebody
who sees every account and by a member of three. The present is where the rows end. Times are by the
clock; "CPU" is of this process, which with SQLite is all there is.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]
TARGET_MS = 100

PAGES = (
    ("overview, first time", "/", True),
    ("overview", "/", False),
    ("live calls", "/live/", False),
    ("calls", "/calls/", False),
    ("calls of one status", "/calls/?status=failed", False),
    ("calls that go on", "/calls/?status=live", False),
    ("calls, last day", "/calls/?range=day", False),
    ("errors only", "/calls/?errors_only=on", False),
    ("text that is nowhere", "/calls/?q=nowhere-at-all", False),
    ("number that is rare", "/calls/?number=rare", False),
    ("header that is nowhere", "/calls/?header=X-Customer: 43", False),
    ("SIP answer and length", "/calls/?sip=4xx&min_seconds=1000", False),
    ("a year ago", "/calls/?range=exact&since=2025-03-01T00:00&until=2025-03-02T00:00", False),
    ("recordings", "/recordings/", False),
    ("admin", "/admin/", False),
    ("admin: calls", "/admin/sipdomains/call/", False),
    ("admin: calls, a text", "/admin/sipdomains/call/?q=nowhere-at-all", False),
    ("admin: calls of one status", "/admin/sipdomains/call/?status__exact=failed", False),
    ("admin: calls, by length", "/admin/sipdomains/call/?o=5", False),
    ("admin: requests", "/admin/sipdomains/webhookrequest/", False),
    ("admin: notifications", "/admin/sipdomains/notification/", False),
    ("admin: recordings", "/admin/sipdomains/recording/", False),
    ("admin: callbacks", "/admin/sipdomains/outboxmessage/", False),
    ("admin: history", "/admin/auditlog/logentry/", False),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", help="SQLite; else what DATABASE_URL names")
    parser.add_argument("--repeat", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SIPDOMAINS_ENV_FILE"] = os.devnull
        os.environ["SIPDOMAINS_HOME"] = folder
        os.environ["ALLOWED_HOSTS"] = "*"
        os.environ["FIELD_ENCRYPTION_KEYS"] = b64encode(
            b"only for this bench, not secret."
        ).decode()
        if options.file:
            os.environ["DATABASE_URL"] = f"sqlite:///{Path(options.file).absolute()}"
        elif "DATABASE_URL" not in os.environ:
            parser.error("name a file or set DATABASE_URL")
        os.environ["DJANGO_SETTINGS_MODULE"] = "sipdomains.settings"
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        return measure(options.repeat)


def measure(repeat: int) -> int:
    from api_rows import NEWEST
    from django.contrib.auth import get_user_model
    from django.contrib.auth.models import Group
    from django.core.cache import cache
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from sipdomains.models import Account

    users = get_user_model().objects
    users.filter(username__startswith="bench-").delete()
    chief = users.create_superuser("bench-chief")
    member = users.create_user("bench-member")
    member.groups.set(Group.objects.filter(name="viewer"))
    member.is_staff = True
    member.save()
    for account in Account.objects.order_by("pk").defer("auth_token", "secondary_auth_token")[:3]:
        member.account_members.create(account=account)
    worst = 0.0
    with mock.patch("django.utils.timezone.now", return_value=NEWEST):
        for user in (chief, member):
            client = Client()
            client.force_login(user)
            for name, path, cold in PAGES:
                if client.get(path).status_code == 403:
                    continue  # not a page of members
                times = []
                burnt = time.process_time()
                for _ in range(repeat + 1):
                    if cold:
                        cache.clear()
                    began = time.perf_counter()
                    answer = client.get(path)
                    times.append((time.perf_counter() - began) * 1000)
                    assert answer.status_code == 200, (path, answer.status_code)
                burnt = (time.process_time() - burnt) * 1000 / (repeat + 1)
                with CaptureQueriesContext(connection) as queries:
                    client.get(path)
                middle = statistics.median(times[1:])
                worst = max(worst, middle)
                print(
                    f"{user.username:13} {name:26} {middle:7.1f} ms  CPU {burnt:6.1f}"
                    f"  first {times[0]:7.1f}  worst {max(times[1:]):7.1f}"
                    f"  {len(queries):2} queries  {len(answer.content) / 1000:6.1f} kB",
                    flush=True,
                )
    print(f"worst median: {worst:.1f} ms; target {TARGET_MS} ms")
    return 0 if worst <= TARGET_MS else 1


if __name__ == "__main__":
    sys.exit(main())
