"""What all resources of the API are made of: a view class with up to five actions, and its routes.

A resource names its rows, its list key, how a row is shown and which parameters make or change it;
permissions, paging, errors, idempotency, throttling and the audit are the same for all.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from typing import Any, ClassVar, cast

from django.core.cache import cache
from django.core.exceptions import ValidationError as ModelInvalid
from django.db import models
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.urls import URLPattern, path
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ListField
from rest_framework.viewsets import ViewSet

from sipdomains import audit
from sipdomains.api import idempotency, paging, vendor
from sipdomains.api.auth import Client
from sipdomains.api.errors import ApiError, not_found, of_model
from sipdomains.api.fields import Input
from sipdomains.api.output import Output
from sipdomains.api.schema import ResourceSchema
from sipdomains.api.throttling import AccountThrottle
from sipdomains.models import Account
from sipdomains.selectors import keyset
from sipdomains.services import apilog, configuration
from sipdomains.stretch import Order, Stretch

_NAMES_SHOWN, _NAME_SHOWN = 10, 64  # of parameters that are ignored


class AccountView(ViewSet):
    """Something of the account in the path. ``self.account`` is that account."""

    throttle_classes = [AccountThrottle]
    schema = ResourceSchema()
    http_method_names = ["get", "post", "delete", "head"]
    account: Account
    works_for_inactive = False  # whether a suspended account's parent may ask

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as self._audit:  # left however the request ends
            return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        client = self.client
        if not client.active:
            raise ApiError(vendor.ACCOUNT_NOT_ACTIVE, "The account is not active")
        self._audit.enter_context(audit.by_credential(client.credential))
        self.account = self._account_in_path(client)

    def _account_in_path(self, client: Client) -> Account:
        sid = self.kwargs.get("account_sid", client.account.sid)
        if sid == client.account.sid:
            return client.account
        account = Account.objects.select_related("parent").filter(sid=sid).first()
        if account is None or not client.reaches(account):
            raise not_found(self.request.path)
        if not account.active and not self.works_for_inactive:
            raise ApiError(vendor.ACCOUNT_NOT_ACTIVE, "The account is not active")
        return account

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Response:
        answer: Response = super().finalize_response(request, response, *args, **kwargs)
        answer["Twilio-Request-Id"] = f"RQ{secrets.token_hex(16)}"
        answer["Cache-Control"] = "no-store"
        return answer

    @property
    def client(self) -> Client:
        return cast(Client, self.request.user)  # ours: no user of Django

    def require_full(self) -> None:
        """API keys may use everything but the accounts themselves."""
        if not self.client.full:
            raise PermissionDenied

    def read(self, kind: type[Input], *, partial: bool = False) -> dict[str, Any]:
        """As :meth:`checked`, and what is ignored is told to the account: once a minute for each
        address, so that a client which always sends it does not fill the log."""
        values, path = self.checked(kind, partial=partial), self.request.path
        warnings = self.ignored(kind)
        if warnings and cache.add(f"ignored:{self.request.method}:{path}", True, 60):
            apilog.warn(
                self.account.sid,
                warnings,
                method=str(self.request.method),
                url=self.request.build_absolute_uri(path),
            )
        return values

    def ignored(self, kind: type[Input]) -> list[tuple[int, str]]:
        """The warning of parameters in the request that are no parameters of ``kind``, if any are:
        their names, never their values."""
        names = unknown(self.request.data, kind)
        if not names:
            return []
        shown = ", ".join(name[:_NAME_SHOWN] for name in names[:_NAMES_SHOWN])
        more = len(names) - _NAMES_SHOWN
        text = f"Parameters that are not known here were ignored: {shown}"
        return [(vendor.UNKNOWN_PARAMETER, f"{text} and {more} more" if more > 0 else text)]

    def checked(self, kind: type[Input], *, partial: bool = False) -> dict[str, Any]:
        """The parameters of the request, checked. Raises ApiError with the vendor's code."""
        reader = kind(data=given(self.request.data, kind), partial=partial)
        if not reader.is_valid():
            name, errors = next(iter(reader.errors.items()))
            error: Any = errors[0] if isinstance(errors, list) else next(iter(errors.values()))[0]
            missing = error.code in ("required", "blank", "null")
            raise ApiError(reader.code(name, missing), f"{name}: {error}")
        return dict(reader.validated_data)


def given(data: Any, kind: type[Input]) -> dict[str, Any]:
    """The form as plain values. A parameter that may be repeated is a list."""
    if not isinstance(data, QueryDict):
        return {}
    fields = kind().fields
    return {
        name: data.getlist(name) if isinstance(fields.get(name), ListField) else data[name]
        for name in data
        if name in fields
    }


def unknown(data: Any, kind: type[Input]) -> list[str]:
    """Names in a form that ``kind`` does not have, as far as they can be printed."""
    known = {*kind().fields, *kind.UNUSED}
    return [name for name in data if name and name.isprintable() and name not in known]


class Resource(AccountView):
    """``rows`` is all that the request may see, ``KEY`` the list's name in its body."""

    KEY: ClassVar[str]
    ORDER: ClassVar[Order] = Order("created_at")
    output: ClassVar[type[Output]]
    fetched_output: ClassVar[type[Output] | None] = None  # where a row alone is shown with more
    create_input: ClassVar[type[Input]] = Input
    update_input: ClassVar[type[Input]] = Input
    filters: ClassVar[tuple[str, ...]] = ()  # query parameters that ``filtered`` knows

    def rows(self) -> QuerySet[Any]:
        """Each resource says which; there is no default that could show too much."""
        raise NotImplementedError

    def filtered(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """By the query parameters. Raises ApiError."""
        return rows

    def sought(self) -> tuple[Stretch, Q | None]:
        """What is listed: rows in an order that an index serves, and the conditions that it does
        not. Raises ApiError."""
        return Stretch(self.filtered(self.rows()), self.ORDER), None

    def new(self) -> models.Model:
        """An empty row of the account, to be filled by ``create``; not asked of resources that
        route no create."""
        raise NotImplementedError

    def row(self) -> Any:
        found = self.rows().filter(pk=self.kwargs["sid"]).first()
        if found is None:
            raise not_found(self.request.path)
        return found

    def shown(self, row: Any) -> dict[str, Any]:
        return self.output(row, context={"view": self}).data

    def list(self, request: Request, **_: str) -> Response:
        wanted = paging.Wanted.of(request.query_params, numeric=self.ORDER.numeric)
        rows, rest = self.sought()
        page = keyset.page(rows, wanted.size, wanted.turn, rest)
        items = self.output(page.rows, many=True, context={"view": self}).data
        return Response(paging.envelope(request, wanted, page, self.KEY, list(items)))

    def retrieve(self, request: Request, **_: str) -> Response:
        return Response(self.shown(self.row()))

    def create(self, request: Request, **_: str) -> Response:
        return idempotency.once(request, self.account, lambda: self.make(request))

    def make(self, request: Request) -> Response:
        values = self.read(self.create_input)
        row = self.write(self.new(), values, self.create_input)
        return Response(self.shown(row), status=201)

    def update(self, request: Request, **_: str) -> Response:
        return idempotency.once(request, self.account, lambda: self.change(request))

    def change(self, request: Request) -> Response:
        row = self.row()
        values = self.read(self.update_input, partial=True)
        return Response(self.shown(self.write(row, values, self.update_input)))

    def write(self, row: Any, values: dict[str, Any], kind: type[Input]) -> Any:
        try:
            return configuration.write(row, values)
        except ModelInvalid as error:
            raise of_model(error, kind.CODE) from error

    def destroy(self, request: Request, **_: str) -> Response:
        self.remove(self.row())
        return Response(status=204)

    def remove(self, row: Any) -> None:
        configuration.remove(row)


def routes(prefix: str, view: type[Resource], actions: str) -> list[URLPattern]:
    """The list and the member addresses of a resource under an account. ``actions`` are some of
    ``list create retrieve update destroy``."""
    wanted = actions.split()
    patterns = []
    for suffix, methods in (
        ("", {"get": "list", "post": "create"}),
        ("/<str:sid>", {"get": "retrieve", "post": "update", "delete": "destroy"}),
    ):
        bound: dict[str, Any] = {
            method: action for method, action in methods.items() if action in wanted
        }
        if bound:
            address = f"Accounts/<str:account_sid>/{prefix}{suffix}.json"
            patterns.append(path(address, view.as_view(bound)))
    return patterns


class Nowhere(AccountView):
    """Every other address: 404 in the right shape, for those who may ask at all."""

    schema = None  # type: ignore[assignment] # not in the OpenAPI document

    def nothing(self, request: Request, **_: str) -> Response:
        raise not_found(request.path)
