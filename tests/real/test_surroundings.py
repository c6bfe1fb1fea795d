"""From variables to a signed-in person, with the real oidc-provider: in front of one app, and as an auth service."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.ports import Ports
from tests.real.openid import OpenId, client
from tests.real.served import Served

pytestmark = pytest.mark.real

KEY = "0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def provider(openid: Callable[..., OpenId], ports: Ports) -> tuple[OpenId, int]:
    """The provider, with clients for every redirect URL of these tests; and the gateway's port."""
    port = ports.take()
    base = f"http://localhost:{port}"
    return openid(
        client("app", f"{base}/@oidc/callback"),
        client("service", f"{base}/auth"),
        client("second", f"{base}/@second/callback", f"{base}/auth"),
    ), port


async def test_in_front_of_one_app(provider, served, people) -> None:
    op, port = provider
    gateway = served(
        port,
        {
            "VESTIBULE_BACKEND": "internal:echo",
            "VESTIBULE_PROVIDER_TYPE": "oidc",
            "VESTIBULE_CLIENT_ID": "app",
            "VESTIBULE_CLIENT_SECRET": "app-secret",
            "VESTIBULE_ISSUER_URL": op.issuer,
            "VESTIBULE_ALLOWED_EMAILS": "alice@example.com",
        },
    )
    alice, bob = people(), people()
    status, url, text = await alice.sign_in(gateway.base, rd="/deep")
    assert (status, url) == (200, f"{gateway.base}/deep")
    assert "alice@example.com" in text
    status, _, _ = await bob.sign_in(gateway.base, "bob")
    assert status == 403


@pytest.mark.parametrize("names", ["ours", "nuons"])
async def test_as_the_auth_service_of_a_domain(provider, served, people, names) -> None:
    op, port = provider
    settings = {
        "SESSION_KEY": KEY,
        "ALLOWED_DOMAINS": "example.com",
        "PROVIDER_TYPE": "oidc",
        "CLIENT_ID": "service",
        "CLIENT_SECRET": "service-secret",
        "ISSUER_URL": op.issuer,
        "REDIRECT_URL": f"localhost:{port}/auth",
    }
    prefix = "VESTIBULE_" if names == "ours" else "nuon_auth_"
    environ = {
        prefix + (name if names == "ours" else name.lower()): value for name, value in settings.items()
    }
    gateway = served(
        port, {**environ, "VESTIBULE_ROOT_DOMAIN" if names == "ours" else "ROOT_DOMAIN": "localhost"}
    )
    alice = people()
    # 1. Nobody is let in who neither exists nor was invited.
    status, _, _ = await alice.sign_in(gateway.base)
    assert (status, await alice.who(gateway.base)) == (403, None)
    # 2. An invitation lets in; `/` is the page that says who is signed in.
    status, _ = await gateway.api("POST", "/invitations", {"email": "alice@example.com"})
    assert status == 201
    status, url, text = await alice.sign_in(gateway.base)
    assert (status, url) == (200, f"{gateway.base}/@/account")
    assert "alice@example.com" in text
    assert await alice.who(gateway.base) == "alice@example.com"
    # 3. Back to a host of the domain, and to no other.
    returned = await alice.leads(f"{gateway.base}/@/signin?rd=http://app.localhost:3000/x")
    assert returned == (303, "http://app.localhost:3000/x")
    assert await alice.leads(f"{gateway.base}/@/signin?rd=http://evil.example/x") == (303, "/")
    assert not {KEY, "service-secret"} & set(gateway.process.log.split('"'))


async def test_apps_of_the_domain_share_one_sign_in(openid, ports: Ports, served, people) -> None:
    port = ports.take()
    auth = f"http://vestibule.localhost:{port}"
    op = openid(client("hall", f"{auth}/@oidc/callback"))
    gateway = served(
        port,
        {
            "ROOT_DOMAIN": "vestibule.localhost",
            "NUON_AUTH_SESSION_KEY": KEY,
            "NUON_AUTH_ALLOWED_DOMAINS": "example.com",
            "NUON_AUTH_ALLOW_ALL_USERS": "true",
            "NUON_AUTH_PROVIDER_TYPE": "oidc",
            "NUON_AUTH_CLIENT_ID": "hall",
            "NUON_AUTH_CLIENT_SECRET": "hall-secret",
            "NUON_AUTH_ISSUER_URL": op.issuer,
            "VESTIBULE_APPS": "app=internal:echo, wiki=internal:echo",
            "VESTIBULE_SESSION_TOKEN": "jwt",
        },
    )
    app, wiki = (f"http://{name}.vestibule.localhost:{port}" for name in ("app", "wiki"))
    alice = people()
    status, url, text = await alice.sign_in(app, rd="/deep")
    assert (status, url) == (200, f"{app}/deep")
    assert "alice@example.com" in text
    assert "x-nuon-auth" not in text.lower()
    assert (await alice.get(f"{wiki}/page"))[:2] == (200, f"{wiki}/page")
    assert op.counts()["POST /token"] == 1
    assert await alice.who(auth) == "alice@example.com"
    assert not {KEY, "hall-secret"} & set(gateway.process.log.split('"'))


async def test_everybody_of_the_domain_may_register_where_that_is_written(provider, served, people) -> None:
    op, port = provider
    gateway = served(
        port,
        {
            "VESTIBULE_ROOT_DOMAIN": "localhost",
            "VESTIBULE_SESSION_KEY": KEY,
            "VESTIBULE_ALLOWED_DOMAINS": "example.com",
            "VESTIBULE_ALLOW_ALL_USERS": "true",
            "VESTIBULE_PROVIDER_TYPE": "oidc",
            "VESTIBULE_CLIENT_ID": "service",
            "VESTIBULE_CLIENT_SECRET": "service-secret",
            "VESTIBULE_ISSUER_URL": op.issuer,
            "VESTIBULE_REDIRECT_URL": f"localhost:{port}/auth",
        },
    )
    bob, mallory = people(), people()
    status, _, _ = await bob.sign_in(gateway.base, "bob")
    assert (status, await bob.who(gateway.base)) == (200, "bob@example.com")
    # Her address is somebody else's: the provider doesn't call it verified.
    status, _, _ = await mallory.sign_in(gateway.base, "mallory")
    assert (status, await mallory.who(gateway.base)) == (403, None)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "no configuration file is given, and VESTIBULE_BACKEND"),
        (
            {"ROOT_DOMAIN": "localhost"},
            "VESTIBULE_SESSION_KEY (at least 32 random characters), VESTIBULE_ALLOWED",
        ),
        ({"nuon_auth_client_id": "x"}, "NUON_AUTH_SESSION_KEY"),
        (
            {"VESTIBULE_CLIENT_ID": "x", "nuon_auth_client_id": "y", "ROOT_DOMAIN": "localhost"},
            "nuon_auth_client_id: says something else than VESTIBULE_CLIENT_ID",
        ),
    ],
)
def test_what_is_missing_stops_the_start_with_one_message(state_dir, ports, environ, expected) -> None:
    started = Served(state_dir / "served", ports.take(), environ)
    assert started.process.wait() == 1
    assert expected in started.process.log
    assert len([line for line in started.process.log.splitlines() if " not set" in line]) == 1
    started.process.stop()
