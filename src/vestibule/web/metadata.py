"""What programs are told of this authorization server (RFC 8414), and of hosts that take its tokens (RFC 9728)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from starlette.responses import Response

from vestibule.config.page import languages
from vestibule.core.app import GRANT_TYPES, OWN_RESOURCE_PATH, RESOURCE_PATH, TOKEN_EXCHANGE, App, all_scopes
from vestibule.core.machine import Machine
from vestibule.core.route import Host
from vestibule.errors import ClientError
from vestibule.protocol.url import neighbour_url
from vestibule.web.answers import Desk, answer
from vestibule.web.app_registration import REGISTER_PATH
from vestibule.web.asking import Ask
from vestibule.web.machine import CREDENTIALS, JWT_BEARER

#: what machines do that show no token of their platform's
_BY_KIND: Final = {"aws": TOKEN_EXCHANGE, "key": CREDENTIALS}


async def server(desk: Desk, ask: Ask) -> Response:
    """Where its endpoints are and what they do; 404 where nobody's tokens are given."""
    described = describe(desk, ask)
    if described is None:
        raise ClientError("no app has tokens from here", code="not_found", status=404)
    return answer(desk.pages.json(200, described))


async def resource(desk: Desk, ask: Ask) -> Response:
    """Where tokens for this host come from; 404 where it doesn't tell. Spec: RFC 9728 sections 2 and 3.

    At its standard's path a host tells it with `mcp`, else that is its backend's; at the gateway's own every one that
    takes such tokens. What it is of is the URL that it was asked for of: the host, or a part of it whose path stands
    behind.
    """
    host, site = ask.visit.host, ask.visit.site
    is_own = ask.path == OWN_RESOURCE_PATH
    if not (host.takes_access if is_own else host.mcp):
        raise ClientError("this host tells nothing of itself", code="not_found", status=404)
    scopes = host.registered_scopes if host.registers else sorted(all_scopes(host.apps, ()))
    described = {
        "resource": f"{site.base_url}{'' if is_own else ask.path.removeprefix(RESOURCE_PATH)}",
        "authorization_servers": [site.auth_url or site.base_url],
        "bearer_methods_supported": ["header"],
        "resource_name": host.title or host.name.decode("ascii"),
        **({"scopes_supported": list(scopes)} if scopes else {}),
    }
    return answer(desk.pages.json(200, described))


def describe(desk: Desk, ask: Ask) -> dict[str, Any] | None:
    """The metadata; None where this host gives no tokens. Spec: RFC 8414 section 2, RFC 9207 section 3."""
    hosts = desk.authorizing.hosts(ask.visit.host)
    apps = [app for app in desk.authorizing.issuing.apps.by_id.values() if set(app.hosts) & set(hosts)]
    open_to = desk.registered.open_to(ask.visit.host)
    machines = [one for one in desk.machines.machines.by_name.values() if set(one.hosts) & set(hosts)]
    if not apps and not machines and not open_to:
        return None
    base = ask.visit.site.base_url
    grants = {grant for app in apps for grant in app.grants}
    scopes = {scope for app in apps for scope in app.scopes}
    scopes.update(*(one.scopes for one in machines))
    if "native" in grants:
        grants.add("exchange")
    if open_to:
        grants |= {"code", "refresh"}
        scopes.update(*(host.registered_scopes for host in open_to))
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/@/authorize",
        "token_endpoint": f"{base}/@/token",
        "revocation_endpoint": f"{base}/@/revoke",
        "introspection_endpoint": f"{base}/@/introspect",
        **({"device_authorization_endpoint": f"{base}/@/device/code"} if "device" in grants else {}),
        **({"registration_endpoint": f"{base}{REGISTER_PATH}"} if open_to else {}),
        **_command_line(desk, ask, apps),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": _grant_types(grants, machines),
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported": ["none", "client_secret_basic", "client_secret_post"],
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": sorted(scopes),
        "authorization_response_iss_parameter_supported": True,
        "ui_locales_supported": list(languages()),
    }


def _grant_types(grants: Collection[str], machines: Sequence[Machine]) -> list[str]:
    """What apps do by their grants, and what machines do."""
    proven = {_BY_KIND.get(one.kind, JWT_BEARER) for one in machines}
    if JWT_BEARER in proven:
        proven.add(TOKEN_EXCHANGE)
    found = [name for name, grant in GRANT_TYPES.items() if grant in grants or name in proven]
    return [*found, *sorted(proven - set(found))]


def _command_line(desk: Desk, ask: Ask, apps: Sequence[App]) -> dict[str, str]:
    """The app that `vestibule login` is where it isn't told: the only one that signs in by a code.

    And what its tokens are for where it names no host, if that isn't this one.
    """
    found = [app for app in apps if "device" in app.grants and app.is_public]
    if len(found) != 1:
        return {}
    [app] = found
    host = next(filter(None, map(desk.authorizing.host, app.hosts)), ask.visit.host)
    named = {"vestibule_app": app.id}
    return named if host is ask.visit.host else {**named, "vestibule_resource": _base_url(host, ask)}


def _base_url(host: Host, ask: Ask) -> str:
    """Of another host of this one's domain, as people reach it."""
    return host.base_url or neighbour_url(ask.visit.site.base_url, host.name)
