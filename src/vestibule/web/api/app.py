"""The API put together: its resources, what holds for all of them, and the OpenAPI document.

`python -m vestibule.web.api.app > docs/api/openapi.json`; a test keeps the file current.
"""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from vestibule import __version__
from vestibule.core.scope import NEEDED
from vestibule.errors import VestibuleError
from vestibule.web.api import (
    app_tokens,
    audit,
    calls,
    certificates,
    configuration,
    credentials,
    dead_letters,
    edges,
    events,
    explain,
    held,
    hosts,
    identities,
    identity_providers,
    invitations,
    log,
    machine_keys,
    metrics,
    org_directory,
    org_members,
    org_providers,
    orgs,
    overview,
    provider_states,
    sessions,
    tokens,
    traffic,
    upgrade,
    users,
)
from vestibule.web.api.door import Door
from vestibule.web.api.office import Office, check_scope
from vestibule.web.api.problem import Problem, on_crash, on_error, on_invalid, on_unrouted
from vestibule.web.api.value import schemas

PREFIX = "/api/v1"
DOCUMENT = f"{PREFIX}/openapi.json"
RESOURCES: tuple[APIRouter, ...] = (
    overview.router,
    sessions.router,
    credentials.router,
    users.router,
    identities.router,
    invitations.router,
    identity_providers.router,
    tokens.router,
    app_tokens.router,
    machine_keys.router,
    orgs.router,
    org_members.router,
    org_providers.router,
    org_directory.router,
    org_members.of_users,
    held.router,
    explain.router,
    audit.router,
    events.router,
    dead_letters.router,
    traffic.router,
    log.router,
    hosts.router,
    calls.router,
    edges.router,
    provider_states.router,
    certificates.router,
    configuration.router,
    upgrade.router,
)

_DESCRIPTION = """\
Sessions, users, identities, invitations, identity providers and admin tokens of one Vestibule; why it lets a request in
or not.

It answers on the Unix socket `admin.sock` in the state directory, where no token is needed: whoever can open it is
trusted. On a loopback port (`admin { listen = "127.0.0.1:9000" }`) an admin token is needed. No web page may call.

Errors are `application/problem+json` (RFC 9457) with a stable `code` and the `id` that is in the log. Members and
parameters that the API does not know are refused. Times are RFC 3339, in UTC.
"""
_BEARER = HTTPBearer(
    scheme_name="adminToken",
    bearerFormat="vst_admin_…",
    description="An admin token, as `vestibule tokens create` prints one. An operation asks for a scope, which a token "
    "without scopes has, too. Not needed on the Unix socket.",
    auto_error=False,
)


def build(office: Office) -> ASGIApp:
    """The ASGI application; the scope's state has the `Asker` (`service.admin`)."""
    return Door(api(), office)


@functools.cache
def api() -> FastAPI:
    """The application without its door, which gives each request its office: one serves all configurations.

    To make it takes more than all else that a reload does.
    """
    app = FastAPI(
        title="Vestibule admin API",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            VestibuleError: on_error,
            RequestValidationError: on_invalid,
            HTTPException: on_unrouted,
            Exception: on_crash,
        },
        # That there is a token, the door has checked: it is only said in the document.
        dependencies=[Depends(_BEARER), Depends(check_scope)],
    )
    for router in RESOURCES:
        app.include_router(router, prefix=PREFIX)
    app.include_router(metrics.router)
    written = document(app)
    app.openapi = lambda: written  # type: ignore[method-assign]  # FastAPI's own way to replace it
    app.add_route(DOCUMENT, _document, include_in_schema=False)
    return app


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document."""
    written = app.openapi()
    components = written["components"]
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    _, problems = models_json_schema(
        [(Problem, "serialization")], ref_template="#/components/schemas/{model}"
    )
    components["schemas"].update(problems["$defs"])
    components["schemas"].update(schemas())
    shared = components["responses"] = {}
    for methods in written["paths"].values():
        for operation in methods.values():
            operation["summary"] = operation["description"].partition(".")[0].partition(";")[0]
            operation["security"] = [
                {name: [NEEDED[operation["operationId"]]] for name in one} for one in operation["security"]
            ]
            answers = operation["responses"]
            for status in [status for status in answers if status >= "400"]:
                shared[f"Problem{status}"] = answers[status]
                answers[status] = {"$ref": f"#/components/responses/Problem{status}"}
    return written


async def _document(request: Request) -> Response:
    return JSONResponse(request.app.openapi())


if __name__ == "__main__":
    sys.stdout.write(json.dumps(api().openapi(), indent=2, ensure_ascii=False) + "\n")
