"""`/identity-providers`: those of the database, which can be changed here; those of the configuration are shown."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Body, Path
from pydantic import ConfigDict
from starlette.responses import Response

from vestibule.core import event as names
from vestibule.errors import ClientError, Conflict
from vestibule.service.offer import Listed
from vestibule.web.api.etag import ETAG, IfMatch, etag_of, version_of
from vestibule.web.api.office import ApiCall, At
from vestibule.web.api.problem import Fault, errors
from vestibule.web.api.shape import Model, moment_or_none

router = APIRouter(prefix="/identity-providers", tags=["identity providers"])

ProviderId = Annotated[
    str,
    Path(
        max_length=400,
        description="The ID; that of a host's own provider is `HOST%2FID`.",
        json_schema_extra={"pattern": "^[A-Za-z0-9._~-]{1,64}$"},
    ),
]
_OKTA: dict[str, Any] = {
    "id": "okta",
    "provider_type": "oidc",
    "enabled": True,
    "title": "Okta",
    "email_domains": ["example.com"],
    "openid_config": {
        "client_id": "0oa1example",
        "client_secret": "the secret",
        "issuer_url": "https://example.okta.com",
        "redirect_url": "https://auth.example.com/auth",
    },
}
_GITHUB: dict[str, Any] = {
    "provider_type": "github",
    "email_domains": ["example.com"],
    "github_config": {
        "client_id": "Iv1.example",
        "client_secret": "the secret",
        "allowed_orgs": ["example"],
    },
}
#: what is written: the settings of each type stand in the member of its name
WRITTEN: dict[str, Any] = {
    "type": "object",
    "title": "WrittenIdentityProvider",
    "required": ["provider_type", "email_domains"],
    "properties": {
        "id": {"type": "string", "description": "Stands in `/@ID/signin`; without it the type."},
        "provider_type": {"type": "string", "description": "Its kind: `oidc`, `google`, `github` …"},
        "enabled": {"type": "boolean", "default": True},
        "title": {"type": "string", "description": "What its button says."},
        "email_domains": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "description": "The domains about which it is believed whose an address is.",
        },
    },
    "patternProperties": {
        "^[a-z0-9_]+_config$": {
            "type": "object",
            "description": "The settings of the type, as in a configuration file: `openid_config` of `oidc`, "
            "else `TYPE_config`.",
        }
    },
    "additionalProperties": False,
    "examples": [_OKTA, _GITHUB],
}
PATCH: dict[str, Any] = {**WRITTEN, "title": "IdentityProviderPatch"}
del PATCH["required"]
PATCH["examples"] = [{"enabled": False}, {"openid_config": {"client_secret": "a new secret"}}]


class IdentityProvider(Model):
    """A provider, without its secrets; the settings of its type stand beside (`openid_config`)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    **_OKTA,
                    "openid_config": {"client_id": "0oa1example", "issuer_url": "https://example.okta.com"},
                    "source": "database",
                    "secrets": ["openid_config.client_secret"],
                    "faults": [],
                    "redirect_urls": ["https://app.example.com/@okta/callback"],
                    "version": 3,
                    "created_at": "2026-11-22T05:14:00Z",
                    "updated_at": "2026-11-22T05:14:00Z",
                }
            ]
        },
    )

    id: str
    provider_type: str
    enabled: bool
    title: str
    source: str
    """`database`, or `configuration` (files and environment), which can't be changed here."""
    secrets: list[str]
    """Paths of the secrets that are set."""
    faults: list[Fault]
    """Why it is left out; empty: it is good."""
    redirect_urls: list[str]
    """To register with the provider."""
    version: int
    created_at: datetime | None
    updated_at: datetime | None


class IdentityProviders(Model):
    """All providers: the configuration's first, then the database's, the oldest first."""

    items: list[IdentityProvider]


class Finding(Model):
    """One thing that was tried."""

    what: str
    """`discovery`, `keys`, `client credentials`, `redirect URL` …"""
    ok: bool
    detail: str
    """What was found."""
    advice: str
    """What to do about it; empty: nothing."""


class Tested(Model):
    """What trying a provider out has found."""

    ok: bool
    """True where all is well."""
    findings: list[Finding]


Written = Annotated[dict[str, Any], Body(json_schema_extra=WRITTEN)]
Patch = Annotated[dict[str, Any], Body(json_schema_extra=PATCH)]


@router.post(
    "",
    operation_id="createIdentityProvider",
    status_code=201,
    responses={**errors(400, 409, 413, 415), 201: {"headers": ETAG}},
)
async def create(at: At, written: Written, response: Response) -> IdentityProvider:
    """Add a provider; hosts with `sign_in = ["*"]` offer it when this returns."""
    made = await at.office.registry.create(written)
    await changed_by(at, names.PROVIDER_CREATED, None, made, written)
    return shown(made, response)


@router.get("", operation_id="listIdentityProviders", responses=errors())
async def list_all(at: At) -> IdentityProviders:
    """All providers, the disabled and the faulty ones too."""
    return IdentityProviders(items=[shown(one) for one in await at.office.registry.list()])


@router.get(
    "/{id}",
    operation_id="getIdentityProvider",
    responses={**errors(404), 200: {"headers": ETAG}},
)
async def get(at: At, id: ProviderId, response: Response) -> IdentityProvider:  # noqa: A002 - the name in the path
    """A provider."""
    return shown(await at.office.registry.get(unquote(id)), response)


@router.patch(
    "/{id}",
    operation_id="updateIdentityProvider",
    responses={**errors(400, 404, 409, 412, 413, 415), 200: {"headers": ETAG}},
)
async def update(
    at: At,
    id: ProviderId,  # noqa: A002 - the name in the path
    patch: Patch,
    response: Response,
    if_match: IfMatch = "",
) -> IdentityProvider:
    """Change a provider: a JSON Merge Patch (RFC 7396). Secrets that it doesn't name stay."""
    before = await at.office.registry.get(unquote(id))
    with met(if_match):
        changed = await at.office.registry.patch(before.id, patch, version=version_of(if_match))
    await changed_by(at, names.PROVIDER_UPDATED, before, changed, patch)
    return shown(changed, response)


@router.put(
    "/{id}",
    operation_id="replaceIdentityProvider",
    responses={**errors(400, 404, 409, 412, 413, 415), 200: {"headers": ETAG}},
)
async def replace(
    at: At,
    id: ProviderId,  # noqa: A002 - the name in the path
    written: Written,
    response: Response,
    if_match: IfMatch = "",
) -> IdentityProvider:
    """Put another document in the provider's place. Secrets that it doesn't name stay."""
    before = await at.office.registry.get(unquote(id))
    with met(if_match):
        changed = await at.office.registry.replace(before.id, written, version=version_of(if_match))
    await changed_by(at, names.PROVIDER_UPDATED, before, changed, written)
    return shown(changed, response)


@router.delete(
    "/{id}",
    operation_id="deleteIdentityProvider",
    status_code=204,
    responses=errors(404, 409, 412),
)
async def delete(
    at: At,
    id: ProviderId,  # noqa: A002 - the name in the path
    if_match: IfMatch = "",
) -> Response:
    """Delete a provider; nobody gets in by it any more."""
    before = await at.office.registry.get(unquote(id))
    with met(if_match):
        await at.office.registry.delete(before.id, version=version_of(if_match))
    await changed_by(at, names.PROVIDER_DELETED, before, None)
    return Response(status_code=204)


@router.post(
    "/{id}/enable",
    operation_id="enableIdentityProvider",
    responses={**errors(404, 409), 200: {"headers": ETAG}},
)
async def enable(at: At, id: ProviderId, response: Response) -> IdentityProvider:  # noqa: A002 - the name in the path
    """Offer a provider to people."""
    before = await at.office.registry.get(unquote(id))
    changed = await at.office.registry.enable(before.id)
    await changed_by(at, names.PROVIDER_ENABLED, before, changed)
    return shown(changed, response)


@router.post(
    "/{id}/disable",
    operation_id="disableIdentityProvider",
    responses={**errors(404, 409), 200: {"headers": ETAG}},
)
async def disable(at: At, id: ProviderId, response: Response) -> IdentityProvider:  # noqa: A002 - the name in the path
    """Offer a provider no more, also a faulty one; nobody gets in by it any more."""
    before = await at.office.registry.get(unquote(id))
    changed = await at.office.registry.disable(before.id)
    await changed_by(at, names.PROVIDER_DISABLED, before, changed)
    return shown(changed, response)


@router.post("/{id}/test", operation_id="testIdentityProvider", responses=errors(404))
async def test(at: At, id: ProviderId) -> Tested:  # noqa: A002 - the name in the path
    """Try a provider out as far as that goes without a person; also says which redirect URLs to register."""
    found = await at.office.registry.test(unquote(id))
    return Tested(
        ok=all(one.ok for one in found),
        findings=[Finding(what=one.what, ok=one.ok, detail=one.detail, advice=one.advice) for one in found],
    )


async def changed_by(
    at: ApiCall,
    action: str,
    before: Listed | None,
    after: Listed | None,
    written: Mapping[str, Any] | None = None,
) -> None:
    """Tell of a change: settings as they were and are, and which secrets were written, never what they are.

    `before` was read just before the change: what somebody else has changed at that very moment shows in theirs.
    """
    listed = after or before
    assert listed is not None
    secrets = [path for path in listed.secrets if written is not None and _has(written, path)]
    await at.changed(
        action,
        target=f"provider {listed.id}",
        before=None if before is None else _settings(before),
        after=None if after is None else _settings(after),
        detail={"secrets_written": secrets} if secrets else None,
    )


def _settings(listed: Listed) -> dict[str, Any]:
    """All settings by path: `openid_config.client_id`; a document has no secrets."""
    found: dict[str, Any] = {}
    for name, value in listed.document.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{inner}": one for inner, one in value.items()}
        else:
            found[name] = value
    return found


def _has(written: Mapping[str, Any], path: str) -> bool:
    section, _, name = path.partition(".")
    settings = written.get(section)
    return isinstance(settings, Mapping) and name in settings


@contextlib.contextmanager
def met(if_match: str) -> Iterator[None]:
    """What was changed meanwhile is a condition not met where one was given. Spec: RFC 9110 section 15.5.13."""
    try:
        yield
    except Conflict as error:
        if error.code == "changed" and if_match:
            raise ClientError(error.message, code="changed", status=412) from None
        raise


def shown(found: Listed, response: Response | None = None) -> IdentityProvider:
    """The provider as it is answered; its version goes into the response's `ETag`."""
    if response is not None and found.source == "database":
        response.headers["etag"] = etag_of(found.version)
    return IdentityProvider(
        **{
            **found.document,
            "id": found.id,
            "provider_type": found.provider_type,
            "enabled": found.enabled,
            "title": found.title,
            "source": found.source,
            "secrets": list(found.secrets),
            "faults": [Fault(path=path, message=message) for path, message in found.faults],
            "redirect_urls": list(found.redirect_urls),
            "version": found.version,
            "created_at": moment_or_none(found.created_at),
            "updated_at": moment_or_none(found.updated_at),
        }
    )
