"""Requests that are carried out once: who comes first, and what becomes of those who died."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.utils import timezone

from sipdomains.models import IdempotentRequest
from sipdomains.models.fields import DecryptionFailed
from sipdomains.services import idempotency
from sipdomains.services.idempotency import KEEP, Answer, Busy, Mismatch


def age(seconds: float) -> None:
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(seconds=seconds))


def test_the_second_waits_for_the_first_and_gets_its_answer(alice) -> None:
    assert idempotency.begin(alice, "k", "f") is None
    with pytest.raises(Busy):
        idempotency.begin(alice, "k", "f")
    idempotency.settle(alice, "k", Answer(201, "{}"))
    assert idempotency.begin(alice, "k", "f") == Answer(201, "{}")
    with pytest.raises(Mismatch):
        idempotency.begin(alice, "k", "other")


def test_who_died_is_replaced_after_a_while(alice) -> None:
    idempotency.begin(alice, "k", "f")
    age(59)
    with pytest.raises(Busy):
        idempotency.begin(alice, "k", "f")
    age(61)
    assert idempotency.begin(alice, "k", "f") is None


def test_a_key_may_be_used_anew_after_a_day(alice) -> None:
    idempotency.begin(alice, "k", "f")
    idempotency.settle(alice, "k", Answer(201, "{}"))
    age(KEEP.total_seconds() + 1)
    assert idempotency.begin(alice, "k", "other") is None
    assert IdempotentRequest.objects.get().status == 0


def test_old_answers_are_forgotten(alice) -> None:
    idempotency.begin(alice, "old", "f")
    age(KEEP.total_seconds() + 1)
    idempotency.begin(alice, "new", "f")
    assert idempotency.forget_old() == 1
    assert IdempotentRequest.objects.get().key == "new"


def test_an_answer_is_kept_encrypted(alice, settings) -> None:
    """That of a new subaccount has its auth token."""
    idempotency.begin(alice, "k", "f")
    idempotency.settle(alice, "k", Answer(201, '{"auth_token": "secret"}'))
    assert "secret" not in IdempotentRequest.objects.get().body
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    with pytest.raises(DecryptionFailed):
        idempotency.begin(alice, "k", "f")
