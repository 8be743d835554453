"""The call log's writer thread over the real services and database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import pytest
from django.db import DatabaseError, InterfaceError, OperationalError

from sipdomains.contracts import CallClosed, CallEventRecord, CallOpened, LogRecord
from sipserver.adapters import calllog
from sipserver.adapters.calllog import CallLogWriter
from sipserver.calls.ports import LogUnavailable


def opened(number: int = 1) -> CallOpened:
    return CallOpened(
        call_sid=f"CA{number:032x}", account_sid="", domain_sid="", domain_name="pbx.example.net",
        node="n", at=1.0, direction="inbound", from_="sip:a@b", to="sip:c@d", status="ringing",
        sip={},
    )  # fmt: skip


def fact(number: int, seq: int) -> CallEventRecord:
    return CallEventRecord(f"CA{number:032x}", seq, 1.0, "ringing")


def closed(number: int) -> CallClosed:
    return CallClosed(
        call_sid=f"CA{number:032x}", seq=9, at=2.0, status="completed", cause="caller-hangup",
        reason="",
    )  # fmt: skip


class Services:
    """Stands for ``sipdomains.services.calls``: what was committed, in which batches."""

    def __init__(self) -> None:
        self.batches: list[list[LogRecord]] = []
        self.errors: list[Exception | None] = []
        self.poison: LogRecord | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()

    def apply(self, records: Sequence[LogRecord]) -> None:
        self.entered.set()
        self.gate.wait(60)
        if self.errors and (error := self.errors.pop(0)) is not None:
            raise error
        if any(record is self.poison for record in records):
            raise DatabaseError("this one cannot be stored")
        self.batches.append(list(records))


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Services:
    fake = Services()
    monkeypatch.setattr(calllog, "calls", fake)
    monkeypatch.setattr(calllog, "OPEN_SECONDS", 60.0)
    return fake


@pytest.fixture
async def writer(services: Services) -> AsyncIterator[CallLogWriter]:
    log = CallLogWriter(asyncio.get_running_loop())
    log.start()
    yield log
    services.gate.set()
    await log.stop(60)


async def test_open_returns_when_committed(services: Services, writer: CallLogWriter) -> None:
    await writer.open(opened())
    assert services.batches == [[opened()]]


async def test_what_waits_travels_together_and_in_order(
    services: Services, writer: CallLogWriter
) -> None:
    services.gate.clear()
    first = asyncio.create_task(writer.open(opened(1)))
    await asyncio.sleep(0)
    for seq in (1, 2, 3):
        writer.append(fact(1, seq))
    second = asyncio.create_task(writer.open(opened(2)))
    await asyncio.sleep(0)
    services.gate.set()
    await asyncio.gather(first, second)
    everything = [record for batch in services.batches for record in batch]
    assert everything == [opened(1), fact(1, 1), fact(1, 2), fact(1, 3), opened(2)]
    assert len(services.batches) <= 2


async def test_database_that_comes_back_loses_nothing(
    services: Services, writer: CallLogWriter
) -> None:
    services.errors = [OperationalError("gone"), OperationalError("still gone")]
    writer.append(fact(1, 1))
    await writer.flush()
    assert services.batches == [[fact(1, 1)]]
    assert writer.lost == 0


async def test_a_row_that_waits_too_long_fails_but_is_kept(
    services: Services, writer: CallLogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calllog, "OPEN_SECONDS", 0.05)
    services.gate.clear()
    with pytest.raises(LogUnavailable):
        await writer.open(opened())
    assert writer.backlog[0] == 1
    assert writer.backlog[1] >= 0.05
    monkeypatch.setattr(calllog, "OPEN_SECONDS", 60.0)
    services.gate.set()
    await writer.flush()
    assert services.batches == [[opened()]]
    assert writer.backlog == (0, 0.0)


async def test_a_poison_record_fails_alone(services: Services, writer: CallLogWriter) -> None:
    services.poison = bad = opened(1)
    services.gate.clear()
    tasks = [asyncio.create_task(writer.open(record)) for record in (bad, opened(2))]
    await asyncio.sleep(0)
    services.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], LogUnavailable)
    assert results[1] is None
    assert writer.lost == 1


async def test_a_fault_of_ours_costs_one_record_and_not_the_writer(
    services: Services, writer: CallLogWriter, caplog: pytest.LogCaptureFixture
) -> None:
    # A batch that is being written lets the next two travel together.
    services.errors = [None, KeyError("of ours"), KeyError("of ours")]
    services.gate.clear()
    writer.append(fact(9, 1))
    await asyncio.to_thread(services.entered.wait, 60)
    tasks = [asyncio.create_task(writer.open(opened(number))) for number in (1, 2)]
    await asyncio.sleep(0)
    services.gate.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[0], LogUnavailable)
    await writer.open(opened(3))
    assert services.batches[-1] == [opened(3)]
    assert writer.lost == 1
    assert "of ours" in caplog.text


async def test_a_connection_that_was_closed_under_us_is_replaced(
    services: Services, writer: CallLogWriter
) -> None:
    services.errors = [InterfaceError("connection already closed")]
    await writer.open(opened())
    assert services.batches == [[opened()]]


async def test_when_memory_is_full_calls_are_still_closed(
    services: Services, writer: CallLogWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calllog, "MAX_RECORDS", 1)
    services.gate.clear()
    for record in (fact(1, 1), fact(1, 2), closed(1)):
        writer.append(record)
    services.gate.set()
    await writer.flush()
    assert [record for batch in services.batches for record in batch] == [fact(1, 1), closed(1)]
    assert writer.lost == 1


async def test_stop_writes_what_is_queued(services: Services) -> None:
    log = CallLogWriter(asyncio.get_running_loop())
    log.start()
    log.append(fact(1, 1))
    await log.stop(60)
    assert services.batches == [[fact(1, 1)]]


@pytest.mark.django_db(transaction=True)
async def test_rows_are_really_there_when_open_returns() -> None:
    from sipdomains.models import Call

    log = CallLogWriter(asyncio.get_running_loop())
    log.start()
    await log.open(opened())
    assert await Call.objects.filter(sid=opened().call_sid, status="ringing").aexists()
    await log.stop(60)
