"""Which families of headers backends are told by, and whether it is signed."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.compile import compile_config
from vestibule.core.route import OWN_HEADERS, POMERIUM_KEYS_PATH, Host, Telling

GITHUB = """
provider "github" {
  client_id     = "id"
  client_secret = "secret"
}
"""
OKTA = """
provider "okta" {
  type          = "oidc"
  issuer        = "https://op.example"
  client_id     = "id"
  client_secret = "secret"
  claims        = { groups = "groups", team = "app.team", floor = "floor" }
}
"""


def written(inside: str, *, sign_in: str = '"google"') -> str:
    return f"""
host "app.example.com" {{
  backend = "localhost:3000"
  sign_in = [{sign_in}]
  access {{ allow = ["domain:example.com"] }}
  {inside}
}}
"""


def host_of(desk: Desk, inside: str, *more: str, sign_in: str = '"google"') -> Host:
    loaded = desk.load(GOOGLE + "".join(more) + written(inside, sign_in=sign_in))
    return compile_config(loaded).table.hosts[b"app.example.com"]


def test_a_backend_is_told_by_our_own_names_alone_unless_it_says_more(desk: Desk) -> None:
    host = host_of(desk, 'route "/a/" {}')
    assert host.families == ()
    assert all(route.telling is OWN_HEADERS for route in host.routes.values())


@pytest.mark.parametrize("wanted", ['"vouch"', '["vouch"]'])
def test_a_family_is_named_alone_or_in_a_list(desk: Desk, wanted: str) -> None:
    host = host_of(desk, f"identity_headers = {wanted}\n assertion = true")
    assert host.route(b"/").telling == Telling(families=("vouch",), assertion=True)


def test_a_routes_families_replace_the_hosts_and_what_it_doesnt_say_is_the_hosts(desk: Desk) -> None:
    host = host_of(
        desk,
        """
        identity_headers = ["pomerium", "vouch"]
        route "/same/" {}
        route "/authelia/" { identity_headers = "authelia" }
        route "/none/" { identity_headers = [] }
        route "/signed/" { assertion = true }
        route "/so/" {
          identity_headers = "authelia"
          assertion        = false
        }
        """,
    )
    assert {
        prefix: (route.telling.families, route.telling.assertion) for prefix, route in host.routes.items()
    } == {
        b"": (("vouch", "pomerium"), False),
        b"/same": (("vouch", "pomerium"), False),
        b"/authelia": (("authelia",), False),
        b"/none": ((), False),
        b"/signed": (("vouch", "pomerium"), True),
        b"/so": (("authelia",), False),
    }
    assert host.families == ("vouch", "authelia", "pomerium")


def test_routes_that_tell_alike_share_one_value(desk: Desk) -> None:
    """By which the gateway knows that header lines made for one are the other's, too."""
    host = host_of(
        desk,
        """
        route "/a/" { identity_headers = "authelia" }
        route "/b/" { identity_headers = ["authelia"] }
        route "/c/" {}
        """,
    )
    assert host.route(b"/a/").telling is host.route(b"/b/").telling
    assert host.route(b"/c/").telling is host.route(b"/").telling


def test_where_pomerium_is_known_so_is_its_path_of_keys(desk: Desk) -> None:
    path = POMERIUM_KEYS_PATH.encode()
    assert path in host_of(desk, 'route "/a/" { identity_headers = "pomerium" }').callbacks
    assert path not in host_of(desk, 'identity_headers = "vouch"').callbacks


def test_a_host_knows_what_its_clients_are_and_keep(desk: Desk) -> None:
    host = host_of(desk, "", GITHUB, OKTA, sign_in='"google", "github", "okta"')
    assert host.kinds == {"google": "google", "github": "github", "okta": "oidc"}
    assert host.kept_claims == ("team", "floor")


def test_a_family_that_there_is_not_is_a_fault(desk: Desk) -> None:
    [fault] = desk.faults(GOOGLE + written('identity_headers = ["vouch", "autelia"]'))
    assert fault.startswith("v.hcl:12:32: ")
    assert "oauth2-proxy, vouch, authelia, pomerium" in fault
    assert "mean `authelia`?" in fault


@pytest.mark.parametrize(
    ("families", "sign_in", "warned"),
    [
        ('["oauth2-proxy", "authelia"]', '"google", "github"', 2),
        ('["oauth2-proxy", "authelia"]', '"google", "*"', 2),
        ('["vouch", "pomerium"]', '"google", "github"', 0),
        ('["oauth2-proxy", "authelia"]', '"google"', 0),
    ],
)
def test_names_that_two_providers_may_give_to_two_people_are_warned_of(
    desk: Desk, families: str, sign_in: str, warned: int
) -> None:
    text = GOOGLE + GITHUB + written(f"identity_headers = {families}", sign_in=sign_in)
    told = [line for line in desk.warnings(text) if "two people" in line]
    assert len(told) == warned
