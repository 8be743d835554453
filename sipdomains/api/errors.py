"""Errors of the REST API and the body that clients expect of them (rest-api.md section 1)."""

from __future__ import annotations

import logging
from typing import Any

from django.core.exceptions import (
    NON_FIELD_ERRORS,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.exceptions import ValidationError as ModelInvalid
from django.db import OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from sipdomains.api import vendor

log = logging.getLogger(__name__)


class ApiError(Exception):
    """Answered with ``code`` and the HTTP status that belongs to it, unless one is given."""

    def __init__(self, code: int, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or vendor.STATUS.get(code, 400)


def not_found(path: str) -> ApiError:
    return ApiError(vendor.NOT_FOUND, f"The requested resource {path} was not found")


def of_model(error: ModelInvalid, otherwise: int) -> ApiError:
    """The first thing that a model has against its values. Models give the vendor's codes; what
    Django itself finds has ``otherwise``."""
    code, text = _first(error)
    return ApiError(int(code) if code.isdecimal() else otherwise, text)


def _first(error: ModelInvalid) -> tuple[str, str]:
    by_field: dict[str, list[ModelInvalid]] = getattr(error, "error_dict", {})
    field, errors = next(iter(by_field.items()), ("", error.error_list if not by_field else []))
    code, text = errors[0].code or "", " ".join(errors[0].messages)
    if not code.isdecimal() and field not in ("", NON_FIELD_ERRORS):
        text = f"{field}: {text}"  # Django's words do not say of what they speak
    return code, text


def handle(error: Exception, context: dict[str, Any]) -> Response:
    """Whatever a view has raised, as a response. The REST framework calls it."""
    request = context["request"]
    answer = _translated(error, request.path)
    if answer is None:
        log.error("%s %s failed", request.method, request.path, exc_info=error)
        answer = ApiError(vendor.INTERNAL_ERROR, "An internal server error has occurred")
    set_rollback()
    response = Response(body(answer), status=answer.status)
    response["X-Twilio-Error-Code"] = str(answer.code)
    if answer.status == 401:
        response["WWW-Authenticate"] = f'Basic realm="{vendor.REALM}"'
    wait = getattr(error, "wait", None)
    if answer.status in (429, 503):
        response["Retry-After"] = str(max(1, round(wait or 1)))
    if isinstance(error, exceptions.MethodNotAllowed) and "view" in context:
        response["Allow"] = ", ".join(context["view"].allowed_methods)
    return response


def as_json(request: HttpRequest, error: Exception) -> JsonResponse:
    """The same outside of the REST framework."""
    answer = handle(error, {"request": request})
    response = JsonResponse(answer.data, status=answer.status_code)
    for name in answer.headers.keys() - {"Content-Type"}:
        response[name] = answer[name]
    response["Cache-Control"] = "no-store"
    return response


def body(error: ApiError) -> dict[str, Any]:
    return {
        "code": error.code,
        "message": error.message,
        "more_info": vendor.ERROR_PAGE.format(code=error.code),
        "status": error.status,
    }


def _translated(error: Exception, path: str) -> ApiError | None:
    match error:
        case ApiError():
            return error
        case ModelInvalid():
            return of_model(error, vendor.INVALID_PARAMETER)
        case Http404() | exceptions.NotFound():
            return not_found(path)
        case exceptions.NotAuthenticated() | exceptions.AuthenticationFailed():
            return ApiError(vendor.AUTHENTICATION_FAILED, "Authenticate")
        case exceptions.MethodNotAllowed():
            return ApiError(vendor.METHOD_NOT_ALLOWED, "Method not allowed")
        case exceptions.Throttled():
            return ApiError(vendor.TOO_MANY_REQUESTS, "Too many requests")
        case exceptions.PermissionDenied():
            return ApiError(vendor.ACCESS_DENIED, "Access denied")
        case exceptions.UnsupportedMediaType():
            text = "Send parameters as application/x-www-form-urlencoded"
            return ApiError(vendor.INVALID_PARAMETER, text, 415)
        case RequestDataTooBig() | TooManyFieldsSent() | TooManyFilesSent():
            return ApiError(vendor.BODY_TOO_LARGE, "The request is too large")
        case exceptions.APIException():
            return ApiError(vendor.INVALID_PARAMETER, str(error.detail), error.status_code)
        case OperationalError():
            log.error("the database does not answer: %s", error)
            return ApiError(vendor.UNAVAILABLE, "The database does not answer just now")
    return None
