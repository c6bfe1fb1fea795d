"""What an organisation's own providers are called, and what they keep nobody else from."""

from __future__ import annotations

from typing import Any

import pytest

TAKEN = 409
REFUSED = 422


def okta(name: str, issuer: str = "https://okta.example", **settings: Any) -> dict[str, Any]:
    config = {"client_id": "c", "client_secret": "secret", "issuer_url": issuer, **settings}
    return {
        "id": name,
        "provider_type": "oidc",
        "email_domains": ["acme.example"],
        "openid_config": config,
    }


@pytest.fixture
def two(api: Any) -> Any:
    """Two organisations."""
    for slug in ("acme", "beta"):
        assert api.call("POST", "/orgs", {"slug": slug, "name": slug.title()}).status == 201
    return api


@pytest.mark.parametrize("name", ["acme", "acme.", "okta", "beta.okta", "acmes.okta"])
def test_no_provider_of_theirs_is_called_as_the_organisation_or_as_anothers(two: Any, name: str) -> None:
    """Or else `deny = ["group:acme/suspended"]` means what that provider calls `suspended`, which it tells nobody."""
    reply = two.call("POST", "/orgs/acme/identity-providers", okta(name))
    assert (reply.status, two.call("GET", "/orgs/acme/identity-providers").json["items"]) == (REFUSED, [])
    assert two.call("POST", "/orgs/acme/identity-providers", okta("acme.okta")).status == 201


@pytest.mark.parametrize("name", ["acme", "Acme"])
def test_no_provider_of_the_operators_is_called_as_an_organisation(two: Any, name: str) -> None:
    reply = two.call("POST", "/identity-providers", okta(name))
    assert (reply.status, reply.json["code"]) == (TAKEN, "taken")


def test_no_organisation_is_called_as_a_provider(api: Any) -> None:
    assert api.call("POST", "/identity-providers", okta("Acme")).status == 201
    reply = api.call("POST", "/orgs", {"slug": "acme", "name": "Acme"})
    assert (reply.status, reply.json["code"]) == (TAKEN, "taken")
    assert api.call("GET", "/orgs/acme").status == 404


def test_one_client_of_one_provider_is_two_organisations_and_the_operators(two: Any) -> None:
    """None is told that another has it, nor kept from adding it: their accounts are apart anyway."""
    assert two.call("POST", "/identity-providers", okta("own")).status == 201
    for slug in ("acme", "beta"):
        made = two.call("POST", f"/orgs/{slug}/identity-providers", okta(f"{slug}.okta"))
        assert (made.status, made.json["faults"]) == (201, [])
        again = two.call("POST", f"/orgs/{slug}/identity-providers", okta(f"{slug}.other"))
        assert (again.status, again.json["code"]) == (TAKEN, "duplicate")
    assert two.call("POST", "/identity-providers", okta("more")).json["code"] == "duplicate"
    assert {"own", "acme.okta", "beta.okta"} <= set(two.registry.offer.providers)


def test_no_path_of_an_app_is_made_theirs(two: Any) -> None:
    taken = "https://app.example.com/orders"
    reply = two.call("POST", "/orgs/acme/identity-providers", okta("acme.okta", redirect_url=taken))
    assert (reply.status, "for the operator's own" in reply.text) == (REFUSED, True)
    assert two.call("POST", "/orgs/acme/identity-providers", okta("acme.okta")).status == 201
    change = {"openid_config": {"redirect_url": taken}}
    assert two.call("PATCH", "/orgs/acme/identity-providers/acme.okta", change).status == REFUSED


def test_no_host_has_a_header_by_a_name_of_theirs(two: Any) -> None:
    claims = {"badge": "badge"}
    for whose, name in (("/identity-providers", "own"), ("/orgs/acme/identity-providers", "acme.okta")):
        asked = okta(name, issuer=f"https://{name}.example", claims={**claims, name[:3]: "x"})
        assert two.call("POST", whose, asked).status == 201
    kept = {name for host in two.registry.offer.table.hosts.values() for name in host.kept_claims}
    assert "own" in kept
    assert "acm" not in kept
