"""The block `app`: what it may say, and what it means."""

from __future__ import annotations

import hashlib

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.compile import Compiled, compile_config
from vestibule.core.app import App, Hash

SECRET = "s" * 32
OLD = "o" * 40


def host(name: str, *, access: str = '"anyone"', sign_in: str = '"google"') -> str:
    return (
        f'host "{name}" {{\n  backend = "localhost:1"\n  public_url = "https://{name}"\n'
        f"  sign_in = [{sign_in}]\n  access {{ allow = [{access}] }}\n}}\n"
    )


HOST = GOOGLE + host("a.example.com")
PUBLIC = 'host "open.example.com" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'
DOMAIN = 'domain "example.com" {\n  auth_host = "auth.example.com"\n}\n'
REDIRECTS = 'redirects = ["com.example.app:/callback"]'


def app(*lines: str, hosts: str = '["a.example.com"]', id_: str = "ios") -> str:
    inside = "".join(f"  {line}\n" for line in (f"hosts = {hosts}", *lines))
    return f'app "{id_}" {{\n{inside}}}\n'


def compiled(desk: Desk, *blocks: str) -> Compiled:
    return compile_config(desk.load("".join(blocks)))


def faults(desk: Desk, *blocks: str) -> list[str]:
    return desk.faults("".join(blocks))


def sha256(text: str) -> Hash:
    return Hash(hashlib.sha256(text.encode()).digest())


def test_without_a_block_there_are_none_and_no_host_takes_their_tokens(desk: Desk) -> None:
    found = compiled(desk, HOST)
    assert found.apps.by_id == {}
    assert not any(one.takes_access for one in found.table.hosts.values())


def test_what_is_not_written_is_as_usual(desk: Desk) -> None:
    found = compiled(desk, HOST, app(REDIRECTS)).apps.by_id["ios"]
    assert found == App(
        id="ios",
        name="ios",
        hosts=("a.example.com",),
        redirects=("com.example.app:/callback",),
        grants=frozenset({"code", "refresh"}),
        place=found.place,
    )
    assert found.place.endswith("v.hcl:13")
    assert found.is_public


def test_everything_that_can_be_said(desk: Desk) -> None:
    inside = (
        'name = "Forum for iPhone"',
        'redirects = ["https://a.example.com/app", "http://127.0.0.1/callback", "http://[::1]/callback"]',
        f'secret = "{SECRET}"',
        f'old_secret = "{OLD}"',
        'grants = ["code", "refresh", "device", "native", "credentials", "exchange"]',
        'scopes = ["read", "posts:write"]',
        'access = "5m"',
        'refresh = "10d"',
        'refresh_idle = "2d"',
        'leeway = "0s"',
        "confirm = true",
    )
    found = compiled(
        desk, HOST, host("b.example.com"), DOMAIN, app(*inside, hosts='["B.example.com", "a.example.com"]')
    )
    one = found.apps.by_id["ios"]
    assert one == App(
        id="ios",
        name="Forum for iPhone",
        hosts=("b.example.com", "a.example.com"),
        redirects=("https://a.example.com/app", "http://127.0.0.1/callback", "http://[::1]/callback"),
        grants=frozenset({"code", "refresh", "device", "native", "credentials", "exchange"}),
        scopes=("read", "posts:write"),
        secrets=(sha256(SECRET), sha256(OLD)),
        access_s=300.0,
        refresh_s=864_000.0,
        idle_s=172_800.0,
        leeway_s=0.0,
        confirms=True,
        place=one.place,
    )
    assert SECRET not in repr(one)


def test_the_hosts_of_an_app_take_its_tokens_and_no_others_do(desk: Desk) -> None:
    found = compiled(desk, HOST, host("b.example.com"), app(REDIRECTS))
    assert {name: one.takes_access for name, one in found.table.hosts.items()} == {
        b"a.example.com": True,
        b"b.example.com": False,
    }


def test_rules_on_scopes_can_hold_where_apps_have_tokens(desk: Desk) -> None:
    rule = host("a.example.com", access='"token:read"')
    assert any("`token:read` can never hold" in one for one in faults(desk, GOOGLE, rule))
    assert faults(desk, GOOGLE, rule, app(REDIRECTS)) == []


def test_they_can_hold_in_a_serving_behind_such_a_host_too(desk: Desk) -> None:
    leading = host("a.example.com").replace('"localhost:1"', '"serving:api"')
    serving = (
        'serving "api" {\n  port = 9001\n  backend = "localhost:2"\n  access { allow = ["token:read"] }\n}\n'
    )
    assert any("can never hold" in one for one in faults(desk, GOOGLE, leading, serving))
    assert faults(desk, GOOGLE, leading, serving, app(REDIRECTS)) == []


def test_an_app_of_the_auth_host_itself_reads_the_account_there(desk: Desk) -> None:
    hosts = '["auth.example.com", "a.example.com"]'
    found = compiled(desk, HOST, DOMAIN, app(REDIRECTS, hosts=hosts))
    assert found.table.hosts[b"auth.example.com"].takes_access


def test_a_program_that_stands_for_itself_needs_nobody_who_signs_in(desk: Desk) -> None:
    inside = (f'secret = "{SECRET}"', 'grants = ["credentials"]')
    assert faults(desk, PUBLIC, app(*inside, hosts='["open.example.com"]')) == []


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        pytest.param(
            app(REDIRECTS, hosts='["b.example.org"]'), "2:12: there is no host b.example.org", id="unknown host"
        ),
        pytest.param(
            app(REDIRECTS, hosts='["a.exampel.com"]'), "did you mean `a.example.com`?", id="misspelt host"
        ),
        pytest.param(app(REDIRECTS, hosts="[]"), "2:11: the list is empty", id="no host"),
        pytest.param(
            f'app "ios" {{\n  {REDIRECTS}\n}}\n', "has no `hosts`", id="no hosts"
        ),
        pytest.param(
            app(REDIRECTS, hosts='["a.example.com", "A.example.com."]'), "a.example.com stands here twice", id="host twice"
        ),
        pytest.param(
            app(REDIRECTS, hosts='["open.example.com"]'), "nobody signs in on open.example.com", id="no sign-in"
        ),
        pytest.param(
            app(REDIRECTS, hosts='["a.example.com", "b.example.com"]'),
            "2:29: tokens for b.example.com come from b.example.com, and those for a.example.com from a.example.com",
            id="two authorization servers",
        ),
        pytest.param(
            app('redirects = ["http://a.example.com/cb"]'),
            "3:16: is no redirect URI: http only to 127.0.0.1",
            id="plain http",
        ),
        pytest.param(
            app('redirects = ["https://a.example.com/cb#x"]'), "has no fragment", id="fragment"
        ),
        pytest.param(app('redirects = ["app:/callback"]'), "a domain name in reverse", id="scheme of anybody's"),
        pytest.param(
            app('redirects = ["http://[::1/"]'), "it is no URL", id="no URL"
        ),
        pytest.param(
            app('redirects = ["https://a.example.com/", "https://a.example.com/"]'), "stands here twice", id="redirect twice"
        ),
        pytest.param(app(), "1:1: the grant `code` needs redirects", id="code by default"),
        pytest.param(app('grants = ["code"]'), "3:13: the grant `code` needs redirects", id="code"),
        pytest.param(app("redirects = []"), "3:15: the list is empty: the grant `code` needs one", id="no redirects"),
        pytest.param(
            app('grants = ["credentials"]'), "the grant `credentials` needs a secret", id="credentials"
        ),
        pytest.param(
            app(REDIRECTS, 'grants = ["codes"]'), "there is no grant `codes`: code, refresh", id="unknown grant"
        ),
        pytest.param(app('grants = ["device", "device"]'), "`device` stands here twice", id="grant twice"),
        pytest.param(app("grants = []"), "the list is empty: name some of code, refresh", id="no grant"),
        pytest.param(app('grants = ["refresh"]'), "`refresh` goes on with what another grant began", id="refresh"),
        pytest.param(app(REDIRECTS, 'scopes = ["a b"]'), "4:13: is no scope", id="scope with a blank"),
        pytest.param(app(REDIRECTS, 'scopes = ["é"]'), "is no scope", id="scope beyond ASCII"),
        pytest.param(app(REDIRECTS, 'scopes = ["a", "a"]'), "`a` stands here twice", id="scope twice"),
        pytest.param(
            app(REDIRECTS, 'secret = "password"'), "4:12: has fewer than 32 characters", id="short secret"
        ),
        pytest.param(app(REDIRECTS, 'secret = ""'), "has fewer than 32 characters", id="empty secret"),
        pytest.param(
            app(REDIRECTS, f'secret = "{SECRET}"', 'old_secret = "password"'),
            "has fewer than 32 characters",
            id="short old secret",
        ),
        pytest.param(
            app(REDIRECTS, f'old_secret = "{OLD}"'), "is the one before `secret`", id="old secret alone"
        ),
        pytest.param(
            app(REDIRECTS, f'secret = "{SECRET}"', f'old_secret = "{SECRET}"'), "is `secret` itself", id="one secret"
        ),
        pytest.param(app(REDIRECTS, 'access = "61m"'), "is an hour at most", id="long access"),
        pytest.param(app(REDIRECTS, 'access = "0s"'), "must be longer than nothing", id="no access"),
        pytest.param(
            app(REDIRECTS, 'refresh = "5d"'), "4:13: refresh_idle (30 days without it) is longer", id="short refresh"
        ),
        pytest.param(app(REDIRECTS, 'refresh_idle = "91d"'), "is longer than refresh", id="long idle"),
        pytest.param(app(REDIRECTS, 'refresh_idle = "5m"'), "would outlive the app's sign-in", id="short idle"),
        pytest.param(app(REDIRECTS, 'leeway = "6m"'), "is 5 minutes at most", id="long leeway"),
        pytest.param(app(REDIRECTS) * 2, "5:5: there are two apps `ios`; the first is at v.hcl:1", id="two apps"),
        pytest.param(app(REDIRECTS, id_="Ä b"), "can't be an ID", id="ID"),
    ],
)  # fmt: skip
def test_what_can_not_work_is_told_with_its_place(desk: Desk, block: str, fault: str) -> None:
    others = HOST + host("b.example.com") + PUBLIC
    found = desk.faults(block, others)
    assert any(fault in one for one in found), found
    assert all(one.startswith("v.hcl:") for one in found), found
    assert not any("password" in one for one in found)


def test_hosts_with_clients_of_their_own_sign_in_apart_from_their_domain(desk: Desk) -> None:
    inline = 'provider "mine" {\n type = "oidc"\n issuer = "https://x.example"\n client_id = "i"\n client_secret = "s"\n}'
    own = host("own.example.com", sign_in='"mine"').replace("  access", f"  {inline}\n  access")
    block = app(REDIRECTS, hosts='["a.example.com", "own.example.com"]')
    (fault,) = desk.faults(HOST + DOMAIN + own, block)
    assert (
        "own.example.com come from own.example.com, and those for a.example.com from auth.example.com"
        in fault
    )


def test_redirects_that_nobody_comes_back_to_are_warned_of(desk: Desk) -> None:
    (warning,) = desk.warnings(HOST + app(REDIRECTS, 'grants = ["device", "refresh"]'))
    assert "nobody comes back without the grant `code`" in warning


def test_an_app_by_whose_tokens_of_an_sdk_nobody_gets_in_is_warned_of(desk: Desk) -> None:
    native = app('grants = ["native", "refresh"]')
    (warning,) = desk.warnings(HOST + native)
    assert "nobody gets in by `native` on a.example.com" in warning
    assert "native_client_ids" in warning
    with_ids = HOST.replace("client_id ", 'native_client_ids = ["ios.example"]\n  client_id ', 1)
    assert with_ids != HOST
    assert desk.warnings(with_ids + native) == []


# -- MCP, and apps that register themselves -------------------------------------------------------


def mcp_host(*lines: str, sign_in: str = '"google"') -> str:
    return host("a.example.com", sign_in=sign_in).replace(
        "  access {", "".join(f"  {line}\n" for line in lines) + "  access {"
    )


def test_a_host_lets_apps_register_and_says_where_tokens_come_from(desk: Desk) -> None:
    lines = ("mcp = true", "register_apps = true", 'register_scopes = ["tools"]')
    found = compiled(desk, GOOGLE, mcp_host(*lines)).table.hosts[b"a.example.com"]
    assert (found.mcp, found.registers, found.registered_scopes, found.takes_access) == (
        True,
        True,
        ("tools",),
        True,
    )
    assert found.own_paths == {
        b"/.well-known/oauth-protected-resource",
        b"/.well-known/oauth-authorization-server",
    }


def test_nothing_implies_that_apps_may_register(desk: Desk) -> None:
    found = compiled(desk, GOOGLE, mcp_host("mcp = true"), app(REDIRECTS)).table.hosts[b"a.example.com"]
    assert (found.mcp, found.registers) == (True, False)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("mcp = true",), "nobody has tokens for this host"),
        (('register_scopes = ["tools"]',), "no app registers itself here"),
        (("register_apps = true", 'register_scopes = ["a b"]'), "is no scope"),
        (("register_apps = true", 'register_scopes = ["a", "a"]'), "stands here twice"),
    ],
)
def test_what_can_not_be_meant_is_a_fault(desk: Desk, lines: tuple[str, ...], says: str) -> None:
    assert any(says in fault for fault in faults(desk, GOOGLE, mcp_host(*lines)))


def test_apps_register_only_where_somebody_signs_in(desk: Desk) -> None:
    found = faults(desk, PUBLIC.replace("  access", "  register_apps = true\n  access"))
    assert any("nobody signs in on this host" in fault for fault in found)


@pytest.mark.parametrize(
    ("lines", "paths"),
    [
        ((), set()),
        (("scim = true",), {b"/scim/v2"}),
        (("organisations = true",), {b"/api/v1/orgs"}),
        (("organisations = true", "scim = true"), {b"/scim/v2", b"/api/v1/orgs"}),
        (("organisations = false",), set()),
    ],
)
def test_directories_and_organisations_are_asked_about_where_an_app_leaves_them_the_paths(
    desk: Desk, lines: tuple[str, ...], paths: set[bytes]
) -> None:
    assert compiled(desk, GOOGLE, mcp_host(*lines)).table.hosts[b"a.example.com"].own_paths == paths


def test_an_auth_host_takes_both_and_no_host_that_it_signs_people_in_for_does(desk: Desk) -> None:
    auth = host("auth.example.com").replace('"localhost:1"', '"internal:account"')
    hosts = compiled(desk, GOOGLE, DOMAIN, auth, host("a.example.com")).table.hosts
    assert hosts[b"auth.example.com"].own_paths == {b"/scim/v2", b"/api/v1/orgs"}
    assert hosts[b"a.example.com"].own_paths == set()
