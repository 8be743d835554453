"""The call log: one row per call, one per fact about it. ``services.calls`` alone writes them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from sipdomains import sids
from sipdomains.models.accounts import Account
from sipdomains.models.domains import SipDomain
from sipdomains.models.fields import new_sid, sid_field


def new_call_sid() -> str:
    return new_sid(sids.CALL)


class CallStatus(models.TextChoices):
    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    FAILED = "failed"
    NO_ANSWER = "no-answer"
    CANCELED = "canceled"


class CallDirection(models.TextChoices):
    INBOUND = "inbound"
    OUTBOUND_API = "outbound-api"
    OUTBOUND_DIAL = "outbound-dial"


class Call(models.Model):
    """A call, also a refused one. It is open until ``ended_at`` is set.

    ``account`` and ``domain`` are empty for a call to a name we do not serve, and after the domain
    was deleted; ``domain_name`` keeps what was dialled. ``started_at`` is when the INVITE came in,
    ``duration`` whole seconds from answer to end, empty for a call that was never answered.
    """

    sid = sid_field(new_call_sid)
    account = models.ForeignKey(
        Account, models.SET_NULL, null=True, db_index=False, related_name="calls"
    )
    domain = models.ForeignKey(
        SipDomain, models.SET_NULL, null=True, db_index=False, related_name="calls"
    )
    domain_name = models.CharField(max_length=255, blank=True)
    parent = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        db_index=False,
        db_constraint=False,
        related_name="children",
    )
    node = models.CharField(max_length=64, help_text="Boot id of the SIP node that carries it.")
    direction = models.CharField(max_length=16, choices=CallDirection.choices)
    from_uri = models.CharField("from", max_length=512)
    to_uri = models.CharField("to", max_length=512)

    status = models.CharField(max_length=11, choices=CallStatus.choices)
    cause = models.CharField(max_length=40, blank=True, help_text="Why it ended, as a slug.")
    reason = models.CharField(max_length=512, blank=True, help_text="Why it ended, in words.")
    error_code = models.PositiveIntegerField(default=0)
    sip_status = models.PositiveSmallIntegerField(
        "SIP answer", default=0, help_text="Final answer to the INVITE, 0 if none was sent."
    )

    started_at = models.DateTimeField("started")
    answered_at = models.DateTimeField("answered", null=True)
    ended_at = models.DateTimeField("ended", null=True)
    updated_at = models.DateTimeField("changed")
    duration = models.PositiveIntegerField(null=True)

    sip_call_id = models.CharField("Call-ID", max_length=255, blank=True)
    from_tag = models.CharField(max_length=255, blank=True)
    username = models.CharField("user name", max_length=255, blank=True)
    source_ip = models.CharField("source address", max_length=64, blank=True)
    source_port = models.PositiveIntegerField(default=0)
    transport = models.CharField(max_length=8, blank=True)
    user_agent = models.CharField(max_length=255, blank=True)
    headers = models.JSONField(default=list, help_text="Ordered (name, value) pairs.")
    media = models.JSONField(default=dict)
    queue_ms = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="How long a call that REST created waited for its turn.",
    )
    callback = models.JSONField(
        default=dict, help_text="Status callback: url, method, events; empty if none is wanted."
    )

    class Meta:
        ordering = ["-started_at"]
        permissions = [("operate_call", "Can hang up and redirect calls that go on")]
        indexes = [
            models.Index(fields=["-started_at"], name="call_by_time"),
            models.Index(fields=["domain", "-started_at"], name="call_by_domain"),
            models.Index(fields=["status", "-started_at"], name="call_by_status"),
            models.Index(fields=["node"], name="call_open_by_node", condition=Q(ended_at=None)),
            models.Index(
                fields=["parent", "account", "-started_at", "-sid"],
                name="call_by_parent",
                condition=Q(parent__isnull=False),
            ),
            # What one account asks for by REST, newest first; see selectors.account_calls.
            models.Index(fields=["account", "-started_at", "-sid"], name="call_by_account"),
            models.Index(
                fields=["account", "to_uri", "-started_at", "-sid"], name="call_by_account_to"
            ),
            models.Index(
                fields=["account", "from_uri", "-started_at", "-sid"], name="call_by_account_from"
            ),
            models.Index(
                fields=["account", "status", "-started_at", "-sid"], name="call_by_account_status"
            ),
        ]
        constraints = [
            # One INVITE is one call, on whatever node its retransmissions arrive. Refused calls
            # are closed as they are opened and calls to unknown names have no domain, so neither
            # stands in the way of the caller's next attempt.
            models.UniqueConstraint(
                fields=["domain", "sip_call_id", "from_tag"],
                name="call_open_once",
                condition=Q(ended_at=None) & ~Q(sip_call_id=""),
            )
        ]

    def __str__(self) -> str:
        return self.sid


class CallEvent(models.Model):
    """One fact about a call; ``seq`` rises per call. May be stored before its call is."""

    call = models.ForeignKey(
        Call, models.CASCADE, db_index=False, db_constraint=False, related_name="events"
    )
    seq = models.PositiveIntegerField()
    at = models.DateTimeField()
    kind = models.CharField(max_length=20)
    status = models.CharField(max_length=11, blank=True)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["seq"]
        constraints = [models.UniqueConstraint(fields=["call", "seq"], name="call_event_once")]

    def __str__(self) -> str:
        return f"{self.call_id} {self.seq} {self.kind}"
