"""What REST asks of the live side: calls to place, and changes of calls that are going on.

Stored first, then pushed to a node: what is lost on the way is found by looking (ADR 18).
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from sipdomains.models.accounts import Account
from sipdomains.models.calls import Call
from sipdomains.models.fields import EncryptedTextField


class CallTurn(models.Model):
    """When the next call that REST creates for an account may go out. Its row is the lock under
    which turns are given, so that no two processes give the same one."""

    account = models.OneToOneField(Account, models.CASCADE, primary_key=True, related_name="+")
    next_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.account_id


class CallOrder(models.Model):
    """A call in the queue: what the node that takes it needs to place it.

    It is taken by whichever node first writes its boot id into the call's empty ``node``, and is
    deleted then, so that neither passwords nor digits stay. ``due_at`` is its turn by the account's
    calls per second.
    """

    call = models.OneToOneField(
        Call, models.CASCADE, primary_key=True, db_constraint=False, related_name="order"
    )
    account = models.ForeignKey(Account, models.CASCADE, related_name="+")
    created_at = models.DateTimeField()
    due_at = models.DateTimeField()
    plan = models.JSONField(default=dict, help_text="As contracts.OriginatePlan.")
    sip_username = models.CharField(max_length=255, blank=True)
    sip_password = EncryptedTextField(blank=True, default="")

    class Meta:
        ordering = ["due_at"]
        indexes = [
            models.Index(fields=["due_at"], name="call_order_by_turn"),
            models.Index(fields=["account", "-due_at"], name="call_order_by_account"),
        ]

    def __str__(self) -> str:
        return self.call_id


class CommandState(models.TextChoices):
    PENDING = "pending"
    APPLIED = "applied"
    REJECTED = "rejected"


class CallCommand(models.Model):
    """One change of a live call, applied once by the node that carries it, in the order of ``id``.

    ``kind`` and ``payload`` are those of ``contracts``; ``requested_by`` is the credential or user
    name of who asked. ``result`` is what came of it, ``error_code`` and ``reason`` why not.
    """

    call = models.ForeignKey(
        Call, models.CASCADE, db_constraint=False, db_index=False, related_name="commands"
    )
    kind = models.CharField(max_length=20)
    payload = models.JSONField(default=dict)
    requested_by = models.CharField(max_length=150)
    requested_at = models.DateTimeField()
    state = models.CharField(
        max_length=8, choices=CommandState.choices, default=CommandState.PENDING
    )
    settled_at = models.DateTimeField(null=True)
    result = models.JSONField(default=dict)
    error_code = models.PositiveIntegerField(default=0)
    reason = models.CharField(max_length=512, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["call", "id"], name="call_command_by_call"),
            models.Index(
                fields=["requested_at"], name="call_command_pending", condition=Q(state="pending")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.call_id}"
