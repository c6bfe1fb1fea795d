"""Who gets in, by oauth2-proxy's conditions and by the rules they become: never more people."""

from __future__ import annotations

import re

import pytest

from tests.unit.config.importers.desk import facts

_OIDC = 'provider = "oidc"\noidc_issuer_url = "https://id.example.com"\n'
_GITHUB = 'provider = "github"\n'
_KEYCLOAK = 'provider = "keycloak-oidc"\noidc_issuer_url = "https://sso.example.com/realms/r"\n'
_AROUND = (
    'client_id = "a"\nclient_secret = "hidden-b"\nupstreams = "http://127.0.0.1:1"\n'
    'redirect_url = "https://app.example.com/oauth2/callback"\n'
)
_HOST = "app.example.com"


@pytest.mark.parametrize(
    ("text", "allow", "every", "restricted"),
    [
        (_OIDC + 'email_domains = "*"', ("anyone",), (), {}),
        (_OIDC + 'email_domains = ["A.example"]', ("domain:a.example",), (), {}),
        (_OIDC, (), (), {}),
        (
            _OIDC + 'email_domains = ["a.example"]\nallowed_groups = ["x", "y"]',
            ("domain:a.example",),
            (),
            {"allowed_groups": ("x", "y")},
        ),
        (_KEYCLOAK + 'email_domains = "*"\nallowed_roles = "r"', ("anyone",), (), {"allowed_roles": ("r",)}),
        (
            _KEYCLOAK + 'email_domains = "*"\nallowed_roles = "r"\nallowed_groups = "/g"',
            ("group:/g", "role:r"),
            (),
            {},
        ),
        (
            _KEYCLOAK + 'email_domains = "a.example"\nallowed_roles = "r"\nallowed_groups = "/g"',
            ("group:/g", "role:r"),
            ("domain:a.example",),
            {},
        ),
        (
            _KEYCLOAK + 'email_domains = "a.example,b.example"\nallowed_roles = "r"\nallowed_groups = "/g"',
            ("group:/g", "role:r"),
            ("domain:a.example",),
            {},
        ),
        (_GITHUB + 'email_domains = "*"\ngithub_org = "acme"', ("anyone",), (), {"allowed_orgs": ("acme",)}),
        (
            _GITHUB + 'email_domains = "*"\ngithub_team = "acme:core,other:x"',
            ("anyone",),
            (),
            {"allowed_teams": ("acme/core", "other/x")},
        ),
        (
            _GITHUB
            + 'email_domains = "a.example"\ngithub_users = "ann"\ngithub_org = "acme"\ngithub_team = "core"',
            ("team:acme/core", "user:github/ann"),
            ("domain:a.example",),
            {},
        ),
        (
            _GITHUB + 'email_domains = "*"\ngithub_users = "ann"',
            ("anyone",),
            (),
            {"allowed_users": ("ann",)},
        ),
        (
            _GITHUB + 'email_domains = "*"\ngithub_repo = "acme/app"\ngithub_org = "acme"',
            ("anyone",),
            (),
            {"allowed_orgs": ("acme",), "allowed_repos": ("acme/app",)},
        ),
        (
            _GITHUB + 'email_domains = "*"\nallowed_groups = ["acme", "other:core"]',
            ("team:other/core", "org:acme"),
            (),
            {},
        ),
        (
            'provider = "gitlab"\nemail_domains = "*"\ngitlab_projects = ["a/b=40", "a/c"]',
            ("anyone",),
            (),
            {"allowed_projects": ("a/b=maintainer", "a/c")},
        ),
        (
            'provider = "bitbucket"\nemail_domains = "*"\nbitbucket_team = "t"\nbitbucket_repository = "t/r"',
            ("anyone",),
            (),
            {"allowed_workspaces": ("t",), "allowed_repos": ("t/r",)},
        ),
        (
            'provider = "google"\nemail_domains = "*"\ngoogle_groups = ["staff@a.example"]',
            ("group:staff@a.example",),
            (),
            {},
        ),
        (
            'provider = "azure"\nazure_tenant = "common"\nemail_domains = "*"',
            ("anyone",),
            (),
            {"allowed_tenants": ("00000000-0000-0000-0000-000000000000",)},
        ),
    ],
    ids=[
        "anybody",
        "a domain",
        "nobody where nothing is said",
        "domains and groups",
        "a role",
        "a role or a group",
        "a domain and (a role or a group)",
        "of several domains one alone",
        "an organisation",
        "teams of several organisations",
        "users beside teams",
        "users alone",
        "a repository",
        "an organisation or a team",
        "projects by level",
        "a workspace and a repository",
        "groups without a key",
        "a tenant that is anybody's",
    ],
)
def test_conditions_become_rules(desk, text, allow, every, restricted) -> None:
    loaded = desk.load(desk.oauth2_proxy(f"{text}\n{_AROUND}"))
    (client,) = loaded.checked.clients.values()
    (host,) = loaded.config.host
    assert facts(loaded).hosts == {_HOST: allow}
    assert tuple(rule.text for rule in host.access.all) == every
    names = [name for name in client.config.__struct_fields__ if name.startswith("allowed_")]
    assert {name: found for name in names if (found := getattr(client.config, name))} == restricted


@pytest.mark.parametrize(
    "kind", ["adfs", "azure", "bitbucket", "cidaas", "digitalocean", "entra-id", "facebook"]
)
def test_every_kind_of_provider_loads(desk, kind: str) -> None:
    _loads(desk, kind)


@pytest.mark.parametrize(
    "kind", ["keycloak", "linkedin", "nextcloud", "oidc", "sourcehut", "login.gov", "google"]
)
def test_every_other_kind_of_provider_loads(desk, kind: str) -> None:
    _loads(desk, kind)


_EXPECTED = {
    "azure": "entra",
    "entra-id": "entra",
    "login.gov": "logingov",
}
_URLS = {
    "keycloak": 'login_url = "https://k.example/auth/realms/r/protocol/openid-connect/auth"',
    "nextcloud": 'login_url = "https://cloud.example/index.php/apps/oauth2/authorize"',
    "sourcehut": 'login_url = "https://meta.git.example/oauth2/authorize"',
}


def _loads(desk, kind: str) -> None:
    issuer = "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0"
    text = (
        f'provider = "{kind}"\noidc_issuer_url = "{issuer if kind in ("azure", "entra-id") else "https://i.example"}"\n'
        f'email_domains = "a.example"\njwt_key_file = "client.pem"\n{_URLS.get(kind, "")}\n{_AROUND}'
    )
    assert facts(desk.load(desk.oauth2_proxy(text))).provider == _EXPECTED.get(kind, kind)


def test_where_a_server_of_one_s_own_is_comes_along(desk) -> None:
    found = desk.oauth2_proxy(f'provider = "keycloak"\nemail_domains = "*"\n{_URLS["keycloak"]}\n{_AROUND}')
    assert 'issuer = "https://k.example/auth/realms/r"' in re.sub(" +", " ", found.hcl)
    found = desk.oauth2_proxy(f'provider = "sourcehut"\nemail_domains = "*"\n{_URLS["sourcehut"]}\n{_AROUND}')
    assert 'web_url       = "https://meta.git.example"' in found.hcl


def test_a_provider_without_metadata_is_a_plain_client(desk) -> None:
    urls = 'login_url = "https://o.example/a"\nredeem_url = "https://o.example/t"\nprofile_url = "https://o.example/u"\n'
    loaded = desk.load(desk.oauth2_proxy(f'provider = "oidc"\nemail_domains = "*"\n{urls}{_AROUND}'))
    assert facts(loaded).provider == "oauth2"


# -- addresses and passwords ------------------------------------------------------------------


def test_domains_with_all_below_them_are_told_of_and_let_nobody_in(desk, told) -> None:
    found = desk.oauth2_proxy(f'{_OIDC}email_domains = [".a.example", "*.b.example", "c.example"]\n{_AROUND}')
    assert facts(desk.load(found)).hosts == {_HOST: ("domain:c.example",)}
    assert [len(told(found, f"email_domains ({name})")) for name in (".a.example", "*.b.example")] == [1, 1]


def test_a_file_of_addresses_that_can_t_be_read_lets_nobody_in(desk, told) -> None:
    found = desk.oauth2_proxy(f'{_OIDC}authenticated_emails_file = "/nowhere"\n{_AROUND}')
    assert facts(desk.load(found)).hosts == {_HOST: ()}
    assert told(found, "authenticated_emails_file")[0].startswith("DO /nowhere can't be read from here")


def test_a_file_of_addresses_is_read_where_the_option_says(desk, told) -> None:
    files = {"/etc/emails": "ann@a.example\nno address\n"}
    found = desk.oauth2_proxy(f'{_OIDC}authenticated_emails_file = "/etc/emails"\n{_AROUND}', files=files)
    assert facts(desk.load(found)).hosts == {_HOST: ("email:ann@a.example",)}
    assert "UNKNOWN `no address` is no address" in told(found, "authenticated_emails_file")


def test_people_of_a_password_file_come_in_without_an_address(desk) -> None:
    files = {"users.htpasswd": "ann:x\n# bob:y\nrobot:z\n"}
    text = f'{_OIDC}email_domains = "a.example"\nhtpasswd_file = "users.htpasswd"\n{_AROUND}'
    assert facts(desk.load(desk.oauth2_proxy(text, files=files))).hosts == {
        _HOST: ("domain:a.example", "user:htpasswd/ann", "user:htpasswd/robot")
    }


def test_people_of_a_password_file_stay_out_where_groups_are_asked_for(desk) -> None:
    text = f'{_OIDC}email_domains = "a.example"\nallowed_groups = "g"\nhtpasswd_file = "users.htpasswd"\n{_AROUND}'
    found = desk.oauth2_proxy(text, files={"users.htpasswd": "ann:x\n"})
    assert facts(desk.load(found)).hosts == {_HOST: ("domain:a.example",)}


# -- paths ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "host", "routes"),
    [
        ('skip_auth_routes = ["^/"]', ("public",), {}),
        ('skip_auth_routes = ["^/a(/|$)", "^/b"]', ("anyone",), {"/a/": ("public",), "/b/": ("public",)}),
        ('skip_auth_routes = ["^/a$"]', ("anyone",), {}),
        ('skip_auth_routes = ["GET=^/a/"]', ("anyone",), {}),
        ('skip_auth_routes = ["GET!=^/a/"]', ("anyone",), {}),
        ('skip_auth_routes = ["!=^/a/"]', ("public",), {"/a/": ("anyone",)}),
        ('skip_auth_routes = ["!=^/a"]', ("anyone",), {}),
        ('skip_auth_routes = ["!=^/a/", "^/b/"]', ("anyone",), {"/b/": ("public",)}),
        ('skip_auth_regex = ["GET=^/a/"]', ("anyone",), {}),
        (
            'upstreams = ["http://h:1/", "http://h:2/a/", "http://h:3/a/b/"]\nskip_auth_routes = ["^/a(/|$)"]',
            ("anyone",),
            {"/a/": ("public",), "/a/b/": ("public",)},
        ),
        (
            'upstreams = ["http://h:1/", "http://h:2/a/"]\nskip_auth_routes = ["!=^/a/"]',
            ("public",),
            {"/a/": ("anyone",)},
        ),
    ],
    ids=[
        "everything",
        "prefixes",
        "one path alone",
        "a method",
        "all methods but one",
        "all but a path",
        "all but what begins so",
        "all but a path, and another",
        "an old expression with a method in it",
        "an upstream within an open path",
        "an upstream that stays guarded",
    ],
)
def test_open_paths_become_public_routes_where_a_route_says_the_same(desk, options, host, routes) -> None:
    around = "\n".join(line for line in _AROUND.splitlines() if not line.startswith("upstreams"))
    upstreams = "" if "upstreams" in options else 'upstreams = "http://127.0.0.1:1"'
    found = desk.oauth2_proxy(f'{_OIDC}email_domains = "*"\n{options}\n{upstreams}\n{around}\n')
    imported = facts(desk.load(found))
    assert imported.hosts == {_HOST: host}
    assert imported.routes == {f"{_HOST} {prefix}": rules for prefix, rules in routes.items()}


def test_an_open_path_leads_where_its_own_upstream_is(desk) -> None:
    around = "\n".join(line for line in _AROUND.splitlines() if not line.startswith("upstreams"))
    text = f'{_OIDC}email_domains = "*"\nupstreams = ["http://h:1/", "http://h:2/a/"]\nskip_auth_routes = "^/a/b/"\n'
    (host,) = desk.load(desk.oauth2_proxy(text + around)).config.host
    backends = {route.label: str(route.backend[0].servers[0]) for route in host.route}
    assert backends == {"/a/": "http://h:2", "/a/b/": "http://h:2"}


def test_an_open_path_asks_nothing_of_the_host_s_either(desk) -> None:
    text = (
        f'{_KEYCLOAK}email_domains = "a.example"\nallowed_roles = "r"\nallowed_groups = "g"\n'
        f'skip_auth_routes = "^/a(/|$)"\n{_AROUND}'
    )
    (host,) = desk.load(desk.oauth2_proxy(text)).config.host
    assert [rule.text for rule in host.access.all] == ["domain:a.example"]
    assert host.route[0].access.has("all")
    assert host.route[0].access.all == ()


def test_what_no_route_can_say_stands_there_as_a_comment(desk, told) -> None:
    found = desk.oauth2_proxy(f'{_OIDC}email_domains = "*"\nskip_auth_routes = ["GET=^/a$"]\n{_AROUND}')
    assert '  #  route "/a/" {\n  #    methods = ["GET"]' in found.hcl
    assert told(found, "skip_auth_routes (GET=^/a$)")[0].startswith("NONE ")


# -- addresses of the gateway -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "http"),
    [
        ("", "127.0.0.1:4180"),
        ('http_address = "0.0.0.0:80"', "0.0.0.0:80"),
        ('http_address = ":4180"', "0.0.0.0:4180"),
        ('http_address = "http://[::1]:4180"', "[::1]:4180"),
        ('http_address = "unix:///run/x.sock,mode=0777"', "unix:/run/x.sock"),
        ('http_address = "fd:3"', "127.0.0.1:4180"),
        ('http_address = "0.0.0.0:80"\nredirect_url = "http://app.example.com/cb"', "127.0.0.1:80"),
    ],
)
def test_it_listens_where_it_listened_or_on_loopback(desk, options: str, http: str) -> None:
    around = "\n".join(
        line for line in _AROUND.splitlines() if not (line.startswith("redirect") and "redirect" in options)
    )
    loaded = desk.load(desk.oauth2_proxy(f'{_OIDC}email_domains = "*"\n{options}\n{around}\n'))
    assert loaded.config.gateway is not None
    assert [str(listen) for listen in loaded.config.gateway.http] == [http]


@pytest.mark.parametrize(
    ("options", "trusted"),
    [
        ("", ()),
        ("reverse_proxy = true", ("127.0.0.1/32", "::1/128")),
        ('reverse_proxy = true\ntrusted_proxy_ips = ["10.0.0.0/8", "nonsense"]', ("10.0.0.0/8",)),
    ],
    ids=["no edge", "an edge, of which nothing is said", "edges by address"],
)
def test_only_edges_that_are_named_or_on_this_machine_are_believed(desk, options, trusted) -> None:
    loaded = desk.load(desk.oauth2_proxy(f'{_OIDC}email_domains = "*"\n{options}\n{_AROUND}'))
    assert loaded.config.gateway is not None
    assert loaded.config.gateway.trusted_proxies == trusted


@pytest.mark.parametrize(
    ("options", "lifetimes"),
    [
        ("", None),
        ('cookie_expire = "168h"', (604800, 604800)),
        ('cookie_expire = "90m"\ncookie_refresh = "10m"', (5400, 5400)),
        ("cookie_expire = 0", None),
    ],
)
def test_a_session_lives_as_long_as_it_did(desk, options, lifetimes) -> None:
    found = desk.load(desk.oauth2_proxy(f'{_OIDC}email_domains = "*"\n{options}\n{_AROUND}')).config.lifetimes
    assert (found and (found.session_idle, found.session_absolute)) == lifetimes
