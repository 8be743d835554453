"""Requests that are carried out once: who comes first, and what becomes of those who died."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone

from sipdomains.contracts import HANGUP
from sipdomains.models import Account, Application, Call, IdempotentRequest
from sipdomains.models.fields import DecryptionFailed
from sipdomains.services import commands, idempotency
from sipdomains.services.idempotency import KEEP, Answer, Busy, Mismatch, Turn
from tests.sipdomains.conftest import saved


def age(seconds: float) -> None:
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(seconds=seconds))


def begin(account: Account, key: str = "k", fingerprint: str = "f") -> Turn:
    begun = idempotency.begin(account, key, fingerprint)
    assert isinstance(begun, Turn)
    return begun


def test_the_second_waits_for_the_first_and_gets_its_answer(alice) -> None:
    turn = begin(alice)
    with pytest.raises(Busy):
        begin(alice)
    idempotency.settle(turn, Answer(201, "{}"))
    assert idempotency.begin(alice, "k", "f") == Answer(201, "{}")
    with pytest.raises(Mismatch):
        begin(alice, "k", "other")


def test_who_died_is_replaced_after_a_while(alice) -> None:
    begin(alice)
    age(30)
    with pytest.raises(Busy):
        begin(alice)
    age(61)
    begin(alice)


def test_who_was_only_slow_does_nothing_once_it_is_replaced(alice) -> None:
    slow = begin(alice)
    age(61)
    begin(alice)

    def work() -> tuple[None, Answer]:
        saved(Application(account=alice, friendly_name="made twice"))
        return None, Answer(201, "{}")

    with pytest.raises(Busy):
        idempotency.carry_out(slow, work)
    assert not Application.objects.exists()
    idempotency.forget(slow)  # nor does it take the key away
    with pytest.raises(Busy):
        begin(alice)


def test_what_was_asked_of_a_node_is_told_to_who_replaces_the_dead(alice) -> None:
    call = Call.objects.create(
        account=alice, node="boot", status="in-progress", started_at=timezone.now(),
        updated_at=timezone.now(),
    )  # fmt: skip
    turn = begin(alice)
    asked = idempotency.ask(turn, lambda: commands.submit(call, HANGUP, {}, "SK1"))
    age(61)
    again = begin(alice)
    assert again.command == asked.pk
    idempotency.settle(again, Answer(200, "{}"))
    assert idempotency.begin(alice, "k", "f") == Answer(200, "{}")


def test_a_key_may_be_used_anew_after_a_day(alice) -> None:
    idempotency.settle(begin(alice), Answer(201, "{}"))
    age(KEEP.total_seconds() + 1)
    begin(alice, "k", "other")
    assert IdempotentRequest.objects.get().status == 0


def test_old_answers_are_forgotten(alice) -> None:
    begin(alice, "old")
    age(KEEP.total_seconds() + 1)
    begin(alice, "new")
    assert idempotency.forget_old() == 1
    assert IdempotentRequest.objects.get().key == "new"


def test_an_answer_is_kept_encrypted(alice, settings) -> None:
    """That of a new subaccount has its auth token."""
    idempotency.settle(begin(alice), Answer(201, '{"auth_token": "secret"}'))
    assert "secret" not in IdempotentRequest.objects.get().body
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(DecryptionFailed):
        idempotency.begin(alice, "k", "f")
