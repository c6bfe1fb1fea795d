"""Errors as JSON. Spec: RFC 9457, with `code`, which is stable, the `id` that is in the log, and `faults`."""

from __future__ import annotations

import http
import traceback
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from vestibule.core.event import ADMIN_REFUSED, REFUSED, Event
from vestibule.core.scope import ScopeMissing
from vestibule.errors import ClientError, Invalid, TooManyTries, VestibuleError
from vestibule.model import RETRY_AFTER_S
from vestibule.observe.log import Log
from vestibule.service.admin import WINDOW_S, Asker
from vestibule.web.api.office import Office
from vestibule.web.api.shape import FORMS, Model, example

MEDIA_TYPE = "application/problem+json"
HEADERS: Mapping[str, str] = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
#: how much of a path the trail keeps
_TOLD_CHARS = 200
#: what RFC 9110 calls what some versions of Python call otherwise
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
_CODES = {404: "not_found", 405: "method_not_allowed"}


class Fault(Model):
    """One thing that is wrong with what was sent."""

    path: str
    """Where: `openid_config.client_id` in the body, `?limit` in the query, empty for the whole."""
    message: str
    """What is wrong, and what to write instead."""


class Problem(Model):
    """An error."""

    model_config = example(
        {
            "type": "urn:vestibule:problem:invalid",
            "title": "Unprocessable Content",
            "status": 422,
            "code": "invalid",
            "detail": "openid_config.issuer_url: is scheme and host alone: https://app.example.com",
            "id": "mzxw6ytboi4dgmjs",
            "faults": [
                {"path": "openid_config.issuer_url", "message": "begins with https://"},
            ],
        }
    )

    type: str
    """URN of the code."""
    title: str
    """The status in words."""
    status: int
    code: str
    """For programs: it stays the same in all versions."""
    detail: str
    """For people."""
    id: str
    """Of this request; the log has it too."""
    faults: list[Fault] = Field(default_factory=list)
    """All that is wrong with what was sent (422)."""


_WHEN = {
    400: "The body is no JSON, or can be read in two ways.",
    401: "No token, or one that does not exist, has expired or was revoked.",
    403: "The token lacks the scope; `WWW-Authenticate` names it.",
    404: "There is nothing of this id.",
    405: "The path takes other methods.",
    409: "It clashes with what there is.",
    412: "It was changed meanwhile: read it again.",
    413: "The body is larger than 256 KiB.",
    415: "The body is not `application/json`.",
    422: "What was sent can't be taken; `faults` says all that is wrong with it.",
    428: "A change without `If-Match`.",
    429: "Too many wrong tokens came from this address.",
    500: "A fault of the gateway; the log has it under the `id`.",
    503: "The store can't be reached just now.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of an operation, for the OpenAPI document: these, and those that all have."""
    return {
        status: {"description": _WHEN[status], "content": {MEDIA_TYPE: {"schema": _REFERENCE}}}
        for status in sorted({*statuses, 401, 403, 422, 429, 500, 503})
    }


_REFERENCE = {"$ref": "#/components/schemas/Problem"}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    request_id: str,
    faults: Iterable[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer to an error."""
    value: dict[str, Any] = {
        "type": f"urn:vestibule:problem:{code}",
        "title": _TITLES.get(status) or http.HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "id": request_id,
    }
    listed = [{"path": path, "message": message} for path, message in faults]
    if listed:
        value["faults"] = listed
    more = dict(headers or {})
    if status == 401:
        more["www-authenticate"] = 'Bearer realm="vestibule admin"'
    elif status == 429:
        more.setdefault("retry-after", f"{WINDOW_S:g}")
    elif status == 503:
        more["retry-after"] = str(RETRY_AFTER_S)
    return Response(msgspec.json.encode(value) + b"\n", status, {**more, **HEADERS}, MEDIA_TYPE)


def failure(error: VestibuleError, asker: Asker, log: Log, **about: str) -> Response:
    """The answer to an error raised on purpose, and its line in the log."""
    write = log.info if isinstance(error, ClientError) else log.warning
    write(
        "refused",
        id=asker.request_id,
        status=error.status,
        code=error.code,
        detail=error.detail or error.message,
        address=asker.address,
        **about,
    )
    faults = error.faults if isinstance(error, Invalid) else ()
    headers = {"www-authenticate": _insufficient(error.scope)} if isinstance(error, ScopeMissing) else {}
    if isinstance(error, TooManyTries):
        headers["retry-after"] = str(error.retry_after_s)
    return problem(
        error.status,
        error.public_code,
        error.message,
        request_id=asker.request_id,
        faults=faults,
        headers=headers,
    )


async def refused(error: VestibuleError, asker: Asker, office: Office, **about: str) -> None:
    """Keep in the trail who was turned away where that matters; of one address a number a minute.

    A wrong token by itself is somebody's slip; what matters is that it comes again and again, and that a service asks
    for what it has no right to.
    """
    if not isinstance(error, ScopeMissing) and error.code != "too_many_tries":
        return
    told = {"code": error.code, **{name: text[:_TOLD_CHARS] for name, text in about.items()}}
    if isinstance(error, ScopeMissing) and error.scope:
        told["scope"] = error.scope
    event = Event(
        id="",
        at=asker.now,
        action=ADMIN_REFUSED,
        outcome=REFUSED,
        address=asker.address,
        request_id=asker.request_id,
        detail=told,
    )
    await office.events.refuse(event)


def _insufficient(scope: str) -> str:
    """Spec: RFC 6750 section 3.1."""
    named = f', scope="{scope}"' if scope else ""
    return f'Bearer realm="vestibule admin", error="insufficient_scope"{named}'


def crash(error: Exception, asker: Asker, log: Log, **about: str) -> Response:
    """The answer to an error nobody meant: its kind goes to the log, nothing of it to whoever asked."""
    trace = "".join(traceback.format_exception(error)[-4:])
    log.error("fault", id=asker.request_id, error=repr(error), trace=trace, **about)
    detail = "something went wrong in the gateway; its log has more under the id"
    return problem(500, "internal_error", detail, request_id=asker.request_id)


async def on_invalid(request: Request, error: Exception) -> Response:
    """What FastAPI finds wrong, as our own error. The values that were sent are not repeated: some are secrets."""
    assert isinstance(error, RequestValidationError)
    faults = tuple((_path(one["loc"]), _message(one)) for one in error.errors())
    return await on_error(request, Invalid(faults))


async def on_crash(request: Request, error: Exception) -> Response:
    """An error nobody meant."""
    return crash(error, request.state.asker, request.state.office.log, **_about(request))


async def on_error(request: Request, error: Exception) -> Response:
    """An error of ours."""
    assert isinstance(error, VestibuleError)
    await refused(error, request.state.asker, request.state.office, **_about(request))
    return failure(error, request.state.asker, request.state.office.log, **_about(request))


async def on_unrouted(request: Request, error: Exception) -> Response:
    """No such path, no such method there."""
    assert isinstance(error, HTTPException)
    status = error.status_code
    code = _CODES.get(status, "bad_request")
    detail = "the API has no such path" if status == 404 else "the path takes other methods"
    headers = {"allow": ", ".join(sorted(_methods(request)))} if status == 405 else None
    return problem(status, code, detail, request_id=request.state.asker.request_id, headers=headers)


def _methods(request: Request) -> set[str]:
    """All methods that the path takes. Spec: RFC 9110 section 10.2.1."""
    paths, asked = request.app.openapi()["paths"], request.url.path
    if asked in paths:  # a path without places stands before those with one
        return {method.upper() for method in paths[asked]}
    matching = [methods for path, methods in paths.items() if compile_path(path)[0].match(asked)]
    return {method.upper() for methods in matching for method in methods}


def about_of(method: str, path: str) -> dict[str, str]:
    """What a log line says of the request; never its query, where somebody may have put a token."""
    return {"method": method, "path": path}


def _about(request: Request) -> dict[str, str]:
    return about_of(request.method, request.url.path)


def _path(location: tuple[int | str, ...]) -> str:
    where, *rest = location
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest).lstrip(".")
    return f"?{path}" if where == "query" else f"/{path}" if where == "path" else path


def _message(found: Mapping[str, Any]) -> str:
    if found["type"] == "extra_forbidden":
        return f"there is no such {'parameter' if found['loc'][0] == 'query' else 'member'}"
    if found["type"] == "missing":
        return "is missing"
    if found["type"] == "string_pattern_mismatch":
        return FORMS.get(found["ctx"]["pattern"], "is not of the form that it must have")
    message = str(found["msg"]).removeprefix("Value error, ")
    return message[:1].lower() + message[1:]
