"""How a row is shown: every documented key, null where there is nothing to say."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from sipdomains.api.fields import Text, Time, resource_uri


class Output(serializers.Serializer):  # type: ignore[type-arg] # generic in the stubs only
    """The account is that of the path, which owns all that a request sees."""

    def account_of(self, row: Any) -> str:
        sid: str = self.context["view"].account.sid
        return sid

    def address(self, row: Any, *path: str) -> str:
        return resource_uri(self.account_of(row), *path)


class ConfigurationOutput(Output):
    """With what each configured resource has."""

    sid = Text()
    account_sid = serializers.SerializerMethodField()
    date_created = Time("created_at")
    date_updated = Time("updated_at")

    def get_account_sid(self, row: Any) -> str:
        return self.account_of(row)
