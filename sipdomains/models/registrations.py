"""Phones that have registered, and where they can be reached (sip-domain.md section 7)."""

from __future__ import annotations

from django.db import models

from sipdomains.models.domains import SipDomain


class Registration(models.Model):
    """One contact of an address of record. Live state, not configuration: phones write it.

    ``received_*`` is where the REGISTER came from, which beats what the contact says: phones sit
    behind NAT. ``node`` and ``connection`` tell whose TCP connection it is; 0 for UDP.
    """

    domain = models.ForeignKey(SipDomain, models.CASCADE, related_name="registrations")
    username = models.CharField("user name", max_length=32)
    contact_uri = models.CharField("contact", max_length=512)
    instance = models.CharField(max_length=255, blank=True)
    sip_call_id = models.CharField("Call-ID", max_length=255)
    cseq = models.PositiveBigIntegerField()
    q = models.FloatField(default=1.0)
    transport = models.CharField(max_length=8)
    received_host = models.CharField("source address", max_length=64)
    received_port = models.PositiveIntegerField("source port")
    local_host = models.CharField(max_length=64)
    local_port = models.PositiveIntegerField()
    connection = models.PositiveBigIntegerField(default=0)
    node = models.CharField(max_length=64, help_text="Boot id of the SIP node it registered with.")
    user_agent = models.CharField(max_length=255, blank=True)
    registered_at = models.DateTimeField("registered")
    refreshed_at = models.DateTimeField("refreshed")
    expires_at = models.DateTimeField("expires")

    class Meta:
        ordering = ["domain", "username", "-refreshed_at"]
        indexes = [models.Index(fields=["expires_at"], name="registration_by_expiry")]
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "username", "contact_uri"], name="registration_contact_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.username} at {self.contact_uri}"
