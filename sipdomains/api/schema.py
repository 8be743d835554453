"""The OpenAPI document: what drf-spectacular has to be told of our resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

if TYPE_CHECKING:
    from sipdomains.api.resources import Resource


class ConstantSchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call] # without types
    """Of :class:`sipdomains.api.fields.Constant`."""

    target_class = "sipdomains.api.fields.Constant"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        value = self.target.value
        if value is None:
            return {"type": "string", "nullable": True}
        kind = "boolean" if isinstance(value, bool) else "string"
        return {"type": kind, "enum": [value]}


class BasicSchema(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # without types
    target_class = "sipdomains.api.auth.AccountAuthentication"
    name = "basic"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        text = (
            "AccountSid and an auth token of the account, or the SID of an API key and its secret."
        )
        return {"type": "http", "scheme": "basic", "description": text}


_PAGING = [
    OpenApiParameter("PageSize", int, description="Rows of a page, 1 to 1000; 50 if not given."),
    OpenApiParameter("Page", int, description="Number of the page, from 0."),
    OpenApiParameter("PageToken", str, description="From a next_page_uri; take it as it is."),
]
_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Makes it safe to repeat the request: the same key gets the same answer.",
)


class ErrorBody(serializers.Serializer):  # type: ignore[type-arg] # generic in the stubs only
    code = serializers.IntegerField()
    message = serializers.CharField()
    more_info = serializers.CharField()
    status = serializers.IntegerField()


_ERRORS: dict[str, str] = {
    "400": "A parameter is wrong; `code` says which.",
    "401": "No or wrong credentials.",
    "403": "The account is not active, or the key may not do this.",
    "404": "There is no such resource in the account.",
    "409": "It conflicts with what is there, or with another request of the same key.",
    "413": "The request is too large.",
    "415": "The parameters are not a form.",
    "429": "Too many requests, or too many wrong credentials.",
    "503": "The database, or the node that carries the call, does not answer just now.",
}
_WORDS = {
    "list": "List",
    "create": "Create",
    "retrieve": "Fetch",
    "update": "Update",
    "destroy": "Delete",
}


class ResourceSchema(AutoSchema):
    """Of a :class:`sipdomains.api.resources.Resource`."""

    @property
    def _resource(self) -> Resource:
        return cast("Resource", self.view)

    @property
    def _action(self) -> str:
        return str(getattr(self.view, "action", "") or "")

    def get_operation_id(self) -> str:
        return f"{_WORDS.get(self._action, self._action)}{type(self.view).__name__}"

    def get_tags(self) -> list[str]:
        return [type(self.view).__module__.rpartition(".")[2].replace("_", " ")]

    def get_summary(self) -> str:
        name = (type(self.view).__doc__ or type(self.view).__name__).strip().partition("\n")[0]
        return f"{_WORDS.get(self._action, self._action)}: {name}"

    def get_description(self) -> str:  # type: ignore[override] # as drf-spectacular calls it
        return ""

    def get_request_serializer(self) -> Any:
        if self._action == "create":
            return self._resource.create_input
        if self._action == "update":
            return self._resource.update_input
        return None

    def get_response_serializers(self) -> Any:
        answers: dict[str, Any] = {
            code: OpenApiResponse(ErrorBody, description=text) for code, text in _ERRORS.items()
        }
        match self._action:
            case "list":
                answers["200"] = self._page()
            case "create":
                answers["201"] = self._resource.output
            case "destroy":
                answers["204"] = OpenApiResponse(description="It is gone.")
            case "retrieve":
                answers["200"] = self._resource.fetched_output or self._resource.output
            case _:
                answers["200"] = self._resource.output
        return answers

    def _page(self) -> Any:
        text = serializers.CharField
        fields: dict[str, Any] = {
            self._resource.KEY: self._resource.output(many=True),
            "end": serializers.IntegerField(),
            "first_page_uri": text(),
            "next_page_uri": text(allow_null=True),
            "page": serializers.IntegerField(),
            "page_size": serializers.IntegerField(),
            "previous_page_uri": text(allow_null=True),
            "start": serializers.IntegerField(),
            "uri": text(),
        }
        name = f"{type(self.view).__name__}Page"
        return type(name, (serializers.Serializer,), fields)

    def get_override_parameters(self) -> list[Any]:
        if self._action == "list":
            names = [OpenApiParameter(name, str) for name in self._resource.filters]
            return [*names, *_PAGING]
        return [_KEY] if self._action in ("create", "update") else []

    def _is_list_view(self, serializer: Any = None) -> bool:
        return False  # pages have a body of their own

    def get_filter_backends(self) -> list[Any]:
        return []

    def map_parsers(self) -> list[str]:
        return ["application/x-www-form-urlencoded"]
