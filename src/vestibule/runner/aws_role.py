"""Roles of AWS that a machine takes at STS: by keys that it has, or by a token of its platform's.

Spec: AWS "STS API Reference: AssumeRole, AssumeRoleWithWebIdentity"; "Service-specific endpoints" (where STS is).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.protocol.aws_answer import credentials_in, error_in
from vestibule.protocol.sigv4 import Credentials, signed_headers
from vestibule.protocol.sts import FORM
from vestibule.runner.local import asked, is_beside

_DOMAINS: Final = (("cn-", "amazonaws.com.cn"), ("eusc-", "amazonaws.eu"))
_VERSION: Final = "2011-06-15"


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """Which role, and how it is asked for."""

    arn: str
    session: str
    """What this session is called."""
    external_id: str = ""
    seconds: str = ""
    """How long it is to last; empty: as long as is usual."""


def host_of(service: str, region: str) -> str:
    """Where AWS has a service in a region."""
    found = (domain for start, domain in _DOMAINS if region.startswith(start))
    return f"{service}.{region}.{next(found, 'amazonaws.com')}"


def by_keys(role: Role, keys: Credentials, *, env: Mapping[str, str], region: str, now: float) -> Credentials:
    """The role's credentials, for who may take it with these keys. Raises ClientError."""
    form = _form("AssumeRole", role)
    url = _endpoint(env, region)
    body = urlencode(form, quote_via=quote).encode()
    headers = signed_headers(
        "POST",
        url,
        {"content-type": FORM},
        body,
        credentials=keys,
        region=region,
        service="sts",
        now=now,
    )
    return _taken(url, body, headers, "AssumeRole")


def by_token(role: Role, token: Secret, *, env: Mapping[str, str], region: str) -> Credentials:
    """The role's credentials, for who has a token that the account believes. Raises ClientError."""
    form = {**_form("AssumeRoleWithWebIdentity", role), "WebIdentityToken": token.reveal()}
    body = urlencode(form, quote_via=quote).encode()
    return _taken(_endpoint(env, region), body, {"content-type": FORM}, "AssumeRoleWithWebIdentity")


def _form(action: str, role: Role) -> dict[str, str]:
    form = {"Action": action, "RoleArn": role.arn, "RoleSessionName": role.session, "Version": _VERSION}
    more = {"ExternalId": role.external_id, "DurationSeconds": role.seconds}
    return form | {name: value for name, value in more.items() if value}


def _endpoint(env: Mapping[str, str], region: str) -> str:
    """Threat: an environment that has keys and tokens go over a network in the clear."""
    written = ""
    if env.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() != "true":
        written = env.get("AWS_ENDPOINT_URL_STS", "") or env.get("AWS_ENDPOINT_URL", "")
    url = (written or f"https://{host_of('sts', region)}").rstrip("/") + "/"
    if not url.startswith("https://") and not is_beside(urlsplit(url).hostname or ""):
        raise ClientError("AWS_ENDPOINT_URL_STS leads elsewhere in the clear", code="bad_url")
    return url


def _taken(url: str, body: bytes, headers: Mapping[str, str], action: str) -> Credentials:
    answer = asked(
        url,
        headers=headers,
        method="POST",
        body=body,
        is_near=is_beside(urlsplit(url).hostname or ""),
        why=error_in,
        what="the role",
    )
    found = credentials_in(answer, action)
    if found is None:
        raise ClientError("the role: STS answers with something else", code="platform_answer")
    return found
