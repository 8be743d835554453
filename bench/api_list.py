#!/usr/bin/env python
"""Lists of the REST API over a long call log: milliseconds and queries per request.

Makes the rows (``api_rows.py``) in a throw-away SQLite file, or in the empty database that
DATABASE_URL names, and asks the whole view (middleware, authentication, rows, JSON) in-process.
"first" is the first time that the page was asked for; CPU is that of this process and, if it runs
here, of the PostgreSQL backend: on a machine that does other things too, times say less than it.

    python bench/api_list.py [--calls 1000000] [--days 730] [--repeat 20] [--keep FILE]
    DATABASE_URL=postgres://bench@127.0.0.1/bench python bench/api_list.py

``--keep`` keeps the SQLite file, and uses it again when it is there.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
TARGET_MS = 50


def prepare(folder: str, options: argparse.Namespace) -> None:
    os.environ["SIPDOMAINS_ENV_FILE"] = os.devnull
    os.environ["SIPDOMAINS_HOME"] = folder
    os.environ["API_REQUESTS_PER_SECOND"] = "1000000"
    os.environ["ALLOWED_HOSTS"] = "*"
    os.environ["FIELD_ENCRYPTION_KEYS"] = b64encode(b"only for this bench, not secret.").decode()
    file = options.keep or f"{folder}/bench.sqlite3"
    os.environ.setdefault("DATABASE_URL", f"sqlite:///{Path(file).absolute()}")
    os.environ["DJANGO_SETTINGS_MODULE"] = "sipdomains.settings"
    import django

    django.setup()


class Asker:
    def __init__(self, account: Any, repeat: int) -> None:
        from django.test import Client

        token = b64encode(f"{account.sid}:{account.auth_token}".encode()).decode()
        self.client = Client(headers={"Authorization": f"Basic {token}"})
        self.base = f"/2010-04-01/Accounts/{account.sid}"
        self.repeat = repeat
        self.worst = 0.0

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.content
        return answer.json()

    def ask(self, what: str, path: str, before: Callable[[], object] = bool) -> Any:
        """Once to see the queries, then for the time. ``before`` each of these requests something
        is done."""
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        if not path.startswith("/2010"):
            path = f"{self.base}/{path}"
        before()
        begun = time.perf_counter()
        body = self.get(path)
        first = (time.perf_counter() - begun) * 1000
        before()
        with CaptureQueriesContext(connection) as captured:
            self.get(path)
            queries = [query["sql"] for query in captured.captured_queries]
        times, burnt = [], 0.0
        for _ in range(self.repeat):
            before()
            busy, begun = cpu_ms(), time.perf_counter()
            answer = self.client.get(path)
            times.append((time.perf_counter() - begun) * 1000)
            burnt += (cpu_ms() - busy) / self.repeat
            assert answer.status_code == 200
        rows = next(len(value) for value in body.values() if isinstance(value, list))
        middle = statistics.median(times)
        if body["page_size"] == 50:
            self.worst = max(self.worst, middle)
        more = "…" if body["next_page_uri"] else ""
        print(
            f"| {what} | {rows}{more} | {len(queries)} | {first:.1f} "
            f"| {min(times):.1f} / {middle:.1f} / {max(times):.1f} | {burnt:.1f} |",
            flush=True,
        )
        if os.environ.get("EXPLAIN"):
            explain(queries)
        return body


def cpu_ms() -> float:
    from django.db import connection

    spent = time.process_time() * 1000
    if connection.vendor == "postgresql":
        connection.ensure_connection()
        seen = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat")
        if seen.exists():
            spent += int(seen.read_text().split()[0]) / 1e6
    return spent


def explain(statements: list[str]) -> None:
    from django.db import connection

    word = "EXPLAIN QUERY PLAN " if connection.vendor == "sqlite" else "EXPLAIN ANALYZE "
    for sql in statements:
        if sql.startswith("SELECT") and "sipdomains_account" not in sql.split("FROM")[1][:30]:
            with connection.cursor() as cursor:
                cursor.execute(word + sql)
                for row in cursor.fetchall():
                    print("      ", str(row[-1])[:200])


def cases(account: Any, span: timedelta, asker: Asker) -> None:
    from bench.api_rows import FREQUENT_NUMBER, NEWEST, RARE_NUMBER
    from sipdomains.models import Call, Notification, Recording

    last = account.calls.count() // 50 - 1  # some may have been deleted by an earlier run
    print("| list | rows | queries | first ms | min / median / max ms | CPU ms |")
    print("|---|---|---|---|---|---|")
    ask = asker.ask
    page = ask("calls, newest page", "Calls.json")
    ask("next page, by its token", page["next_page_uri"])
    for name, number in (("200th", 200), ("middle", last // 2), ("last", last)):
        page = ask(f"{name} page, by number", f"Calls.json?PageSize=50&Page={number}")
        if page["next_page_uri"]:
            ask("page after it, by token", page["next_page_uri"])
        if page["previous_page_uri"]:
            ask("page before it, by token", page["previous_page_uri"])
    ask("page behind the last", f"Calls.json?Page={last + 10}")
    day = (NEWEST - span / 2).date()
    parent = Call.objects.filter(account=account, parent__isnull=False).first()
    frequent, rare = quote(FREQUENT_NUMBER), quote(RARE_NUMBER)
    for what, query in (
        ("To, frequent", f"To={frequent}"),
        ("To, rare", f"To={rare}"),
        ("To, nobody", "To=nobody"),
        ("From", f"From={quote('sip:user7@pbx.example.net')}"),
        ("From, nobody", "From=nobody"),
        ("ParentCallSid", f"ParentCallSid={parent.parent_id if parent else 'CA0'}"),
        ("Status, frequent", "Status=completed"),
        ("Status, frequent, deep by number", f"Status=completed&Page={int(last * 0.7)}"),
        ("Status, 2 %", "Status=canceled"),
        ("Status, live", "Status=in-progress"),
        ("Status, none", "Status=queued"),
        ("StartTime, one day", f"StartTime={day}"),
        ("StartTime< half of the log", f"StartTime%3C={day}"),
        ("StartTime>, deep by number", f"StartTime%3E={day}&Page={last // 3}"),
        ("EndTime, one day", f"EndTime={day}"),
        ("EndTime< half of the log", f"EndTime%3C={day}"),
        ("EndTime>", f"EndTime%3E={day}"),
        ("To, frequent + Status 2 %", f"To={frequent}&Status=canceled"),
        ("To + From", f"To={frequent}&From={quote('sip:user7@pbx.example.net')}"),
        ("To + From, no such pair", f"To={frequent}&From=nobody"),
        ("To + Status, none", f"To={frequent}&Status=queued"),
        (
            "Status + EndTime, no match",
            f"Status=completed&EndTime={NEWEST.date().replace(year=2030)}",
        ),
        ("all filters", f"To={frequent}&Status=completed&StartTime%3E={day}&EndTime%3E={day}"),
        ("PageSize=1000", "PageSize=1000"),
    ):
        ask(what, f"Calls.json?{query}")
    ask("To + Status, by number", f"Calls.json?To={frequent}&Status=canceled&Page=3")
    for model, name in ((Recording, "Recordings"), (Notification, "Notifications")):
        rows = model.objects.filter(account=account).count()
        ask(f"{name}, {rows} rows: newest page", f"{name}.json")
        ask("last page, by number", f"{name}.json?Page={(rows - 1) // 50}")
    ask("Notifications, Log=0", "Notifications.json?Log=0")
    ask("Notifications, MessageDate", f"Notifications.json?MessageDate={day}")
    ask("Recordings, DateCreated and all", f"Recordings.json?DateCreated={day}")
    sid = Notification.objects.filter(account=account, call__recordings__isnull=False)[0].call_id
    ask("Notifications of a call", f"Calls/{sid}/Notifications.json")
    ask("Recordings of a call", f"Calls/{sid}/Recordings.json")
    ask("To, frequent, deep by number", f"Calls.json?To={frequent}&Page=110")
    changes(account, asker)


def changes(account: Any, asker: Asker) -> None:
    """Pages by number right after what could have spoilt what they are found by."""
    from django.core.cache import cache

    from sipdomains.models import Call

    last = account.calls.count() // 50 - 2
    middle = f"Calls.json?Page={last // 2}"
    asker.ask("middle page, after the cache was emptied", middle, cache.clear)
    asker.ask("last page, after the cache was emptied", f"Calls.json?Page={last}", cache.clear)
    over = Call.objects.filter(account=account, recordings=None).exclude(ended_at=None)
    doomed = over.order_by("started_at").values_list("sid", flat=True)[last * 20 :]
    sids = iter(list(doomed[: 4 * (asker.repeat + 2)]))
    times = []

    def delete() -> None:
        begun = time.perf_counter()
        answer = asker.client.delete(f"{asker.base}/Calls/{next(sids)}.json")
        times.append((time.perf_counter() - begun) * 1000)
        assert answer.status_code == 204

    asker.ask("middle page, after a call was deleted", middle, delete)
    asker.ask("last page, after a call was deleted", f"Calls.json?Page={last}", delete)
    deep = int(last * 0.7)
    asker.ask("Status, deep, after a delete", f"Calls.json?Status=completed&Page={deep}", delete)
    for rows in (10_000, 50_000):
        forget_newest(account, rows // 5_000)
        asker.ask(f"middle page, newest {rows} and more not laid yet", middle)
        lay_segments("of the newest rows laid")
    print(f"a call deleted in {statistics.median(times):.1f} ms (median)")


def forget_newest(account: Any, segments: int) -> None:
    from sipdomains.models import ListSegment

    laid = ListSegment.objects.filter(account=account, kind="calls").order_by("-at", "-sid")
    ListSegment.objects.filter(pk__in=list(laid.values_list("pk", flat=True)[:segments])).delete()


def lay_segments(when: str) -> None:
    """As housekeeping does every few minutes."""
    from sipdomains.models import ListSegment
    from sipdomains.services import segments

    begun = time.perf_counter()
    segments.keep()
    seconds = time.perf_counter() - begun
    print(f"segments {when} in {seconds * 1000:.0f} ms; there are {ListSegment.objects.count()}")


def count_again() -> None:
    """What is due within a day, one run after the other."""
    from django.utils import timezone

    from sipdomains.models import ListSegment
    from sipdomains.services import segments

    times, day = [], timezone.now() + timedelta(days=1)
    while ListSegment.objects.filter(check_at__lte=day).exists():
        begun = time.perf_counter()
        segments.keep(day)
        times.append(round((time.perf_counter() - begun) * 1000))
    print(f"segments counted again in {times} ms, up to {segments.CHECKS} each time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--days", type=float, default=730, help="that the calls lie within")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--keep", metavar="FILE", default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder, options)
        from django.core.management import call_command
        from django.db import connection

        from bench import api_rows
        from sipdomains.models import Account

        call_command("migrate", verbosity=0)
        span = timedelta(days=options.days)
        account = Account.objects.filter(friendly_name="Bench 0").first()
        if account is None:
            begun = time.perf_counter()
            account = api_rows.fill(options.calls, span=span)[0]
            print(f"{options.calls} calls made in {time.perf_counter() - begun:.0f} s")
        print(connection.vendor)
        lay_segments("laid")
        lay_segments("looked at, nothing new,")
        cases(account, span, asker := Asker(account, options.repeat))
        count_again()
        print(f"worst median of pages of 50: {asker.worst:.1f} ms; target {TARGET_MS} ms")


if __name__ == "__main__":
    main()
