"""Applications: voice settings under one SID, for calls that REST creates and for Dial."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models

from sipdomains import sids
from sipdomains.models.accounts import Account
from sipdomains.models.configuration import ConfigurationModel, check_room
from sipdomains.models.fields import method_field, new_sid, sid_field, url_field

MAX_APPLICATIONS_PER_ACCOUNT = 1000


def new_application_sid() -> str:
    return new_sid(sids.APPLICATION)


class Application(ConfigurationModel):
    """What to ask, and whom to tell, of a call (rest-api.md section 8).

    ``messaging`` keeps the vendor's settings of text messages as they were given, by their API
    names: this server sends none, but an application copied here and back loses nothing.
    """

    sid = sid_field(new_application_sid)
    account = models.ForeignKey(Account, models.PROTECT, related_name="applications")
    friendly_name = models.CharField("name", max_length=64)
    voice_url = url_field("voice URL", "Asked for TwiML when the call is answered.")
    voice_method = method_field("voice method")
    voice_fallback_url = url_field(
        "fallback URL", "Asked when the voice URL fails or its TwiML cannot be run."
    )
    voice_fallback_method = method_field("fallback method")
    status_callback = url_field("status callback URL", "Told when a call has ended.")
    status_callback_method = method_field("status callback method")
    messaging = models.JSONField(default=dict, blank=True, editable=False)

    class Meta:
        ordering = ["friendly_name"]

    def __str__(self) -> str:
        return self.friendly_name

    def clean(self) -> None:
        super().clean()
        if self.voice_fallback_url and not self.voice_url:
            raise ValidationError(
                {
                    "voice_fallback_url": ValidationError(
                        "A fallback URL needs a voice URL.", code="21405"
                    )
                }
            )
        if self.account_id:
            check_room(
                Application.objects.filter(account_id=self.account_id),
                self,
                MAX_APPLICATIONS_PER_ACCOUNT,
                "20422",
                "This account already has %(limit)d applications, which is the limit.",
            )
