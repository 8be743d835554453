"""The account itself and its subaccounts (rest-api.md section 8)."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sipdomains.api import vendor
from sipdomains.api.errors import ApiError
from sipdomains.api.fields import Constant, Input, Text, Time
from sipdomains.api.output import Output
from sipdomains.api.queries import text
from sipdomains.api.resources import Resource
from sipdomains.models import Account, AccountStatus

_SUBRESOURCES = {
    "applications": "Applications",
    "calls": "Calls",
    "notifications": "Notifications",
    "recordings": "Recordings",
    "sip": "SIP",
}


# The operator has set them for the parent; one's own subaccounts are no way around.
_INHERITED = (
    "max_outgoing_calls",
    "max_outgoing_per_minute",
    "max_concurrent_calls",
    "max_incoming_per_second",
)


class AccountInput(Input):
    CODES = {"FriendlyName": vendor.BAD_NAME}
    FriendlyName = serializers.CharField(source="friendly_name", max_length=64, required=False)


class AccountUpdate(AccountInput):
    Status = serializers.ChoiceField(AccountStatus.choices, source="status", required=False)


class AccountOutput(Output):
    sid = Text()
    friendly_name = serializers.CharField()
    status = serializers.CharField()
    auth_token = serializers.SerializerMethodField()
    date_created = Time("created_at")
    date_updated = Time("updated_at")
    type = Constant("Full")
    owner_account_sid = serializers.SerializerMethodField()
    uri = serializers.SerializerMethodField()
    subresource_uris = serializers.SerializerMethodField()

    def get_auth_token(self, row: Account) -> str | None:
        """For whoever could use it anyway: the account's own tokens and its parent's."""
        return row.auth_token if self.context["view"].client.full else None

    def get_owner_account_sid(self, row: Account) -> str:
        return row.parent_id or row.sid

    def get_uri(self, row: Account) -> str:
        return f"/{vendor.API_VERSION}/Accounts/{row.sid}.json"

    def get_subresource_uris(self, row: Account) -> dict[str, str]:
        base = f"/{vendor.API_VERSION}/Accounts/{row.sid}"
        return {name: f"{base}/{path}.json" for name, path in _SUBRESOURCES.items()}


class Accounts(Resource):
    """The account of the credentials, and its subaccounts"""

    KEY = "accounts"
    output = AccountOutput
    create_input = AccountInput
    update_input = AccountUpdate
    filters = ("FriendlyName", "Status")
    works_for_inactive = True

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.action in ("create", "update"):
            self.require_full()

    def rows(self) -> QuerySet[Account]:
        mine = self.client.account.sid
        return Account.objects.filter(Q(sid=mine) | Q(parent_id=mine))

    def filtered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        query = self.request.query_params
        if name := text(query, "FriendlyName"):
            rows = rows.filter(friendly_name=name)
        if status := text(query, "Status"):
            rows = rows.filter(status=status)
        return rows

    def new(self) -> Account:
        if self.client.account.parent_id:
            raise ApiError(vendor.ACCESS_DENIED, "A subaccount cannot have subaccounts")
        parent = self.client.account
        limits = {name: getattr(parent, name) for name in _INHERITED}
        return Account(parent=parent, friendly_name="SubAccount", **limits)

    def change(self, request: Request) -> Response:
        values = self.read(AccountUpdate, partial=True)
        row = self.row()
        status = values.get("status", row.status)
        if status != row.status and row.sid == self.client.account.sid:
            raise ApiError(vendor.INVALID_PARAMETER, "Only a subaccount's Status can be changed")
        if row.status == AccountStatus.CLOSED and status != row.status:
            raise ApiError(vendor.INVALID_PARAMETER, "A closed account stays closed")
        return Response(self.shown(self.write(row, values, AccountUpdate)))
