"""How many rows stretches of long lists have, so that pages of them can be found by number."""

from __future__ import annotations

from django.db import models

from sipdomains.models.accounts import Account


class ListSegment(models.Model):
    """Some rows of a list that follow each other: those behind the segment before this one, up to
    the place (``at``, ``sid``), included. That row may have been deleted meanwhile.

    ``kind`` and ``value`` say which list of the account (see ``longlists``). ``check_at`` is when
    the rows are counted again. ``services.segments`` alone writes it.
    """

    account = models.ForeignKey(Account, models.CASCADE, db_index=False, related_name="+")
    kind = models.CharField(max_length=13)
    value = models.CharField(max_length=512, blank=True)
    at = models.DateTimeField()
    sid = models.CharField(max_length=34)
    rows = models.IntegerField()
    check_at = models.DateTimeField()

    class Meta:
        ordering = ["at", "sid"]
        indexes = [models.Index(fields=["check_at"], name="list_segment_by_check")]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "kind", "value", "at", "sid"], name="list_segment_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.account_id} {self.kind} {self.value} {self.at}"
