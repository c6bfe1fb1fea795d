"""Credentials that hosts take: what is written well, what is not, and what it means."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from tests.unit.protocol.test_htpasswd import HASHES
from vestibule.config.compile import compile_config
from vestibule.core.policy import decide
from vestibule.core.route import Host
from vestibule.core.session import is_top
from vestibule.model import Allow, Asker, Deny, Identity, SignIn
from vestibule.protocol.htpasswd import APR1, BCRYPT, SHA1
from vestibule.protocol.jose import ALGORITHMS

ISSUER = 'issuer "ci" {\n  url = "https://ci.example"\n  audience = "https://api.example"\n}\n'
OPAQUE = (
    'issuer "as" {\n  url = "https://as.example"\n  introspection_url = "https://as.example/introspect"\n'
    '  client_id = "i"\n  client_secret = "hunter2"\n}\n'
)
ANYONE = 'access { allow = ["anyone"] }'
ANN = f"ann:{HASHES[BCRYPT]}\n"


def host_of(inside: str, name: str = "app.example") -> str:
    return f'host "{name}" {{\n  backend = "localhost:3000"\n{inside}\n}}\n'


def compiled(desk: Desk, *texts: str) -> Host:
    host = compile_config(desk.load(*texts)).table.host(b"app.example")
    assert host is not None
    return host


def users(desk: Desk, text: str = ANN, name: str = "users") -> Path:
    path = desk.folder / name
    path.write_text(text, "utf-8")
    path.chmod(0o640)
    return path


def identity(client: str, **more: object) -> Identity:
    return Identity(client=client, issuer="i", subject="s", **more)  # type: ignore[arg-type]


def name_of(path: Path) -> str:
    """What the people of this file have as their client."""
    return "htpasswd:" + quote(path.name, safe="")


TOKEN: frozenset[str] = frozenset()


def said(host: Host, path: bytes, *clients: str) -> str:
    """What the rules of the path say of a caller by these clients; of nobody, without one."""
    identities = tuple(map(identity, clients))
    decision = decide(host.route(path).policy, b"GET", Asker(identities, scopes=TOKEN if clients else None))
    match decision:
        case Allow():
            return "in"
        case SignIn():
            return "sign-in"
        case Deny(status):
            return str(status)
    raise AssertionError(decision)


# -- issuers --------------------------------------------------------------------------------------


def test_an_issuer_is_what_is_written(desk: Desk):
    text = """issuer "ci" {
  url           = "https://ci.example"
  audience      = ["a", "b"]
  algorithms    = "ES256"
  jwks_url      = "https://keys.example/jwks"
  email_domains = "Example.com"
  claims {
    groups = "realm.groups"
    team   = "team_name"
  }
}
"""
    host = compiled(desk, text + host_of(f'issuers = "ci"\n{ANYONE}'))
    (issuer,) = host.accepts.issuers
    assert (issuer.name, issuer.url, issuer.audience, issuer.algorithms) == (
        "issuer:ci",
        "https://ci.example",
        ("a", "b"),
        ("ES256",),
    )
    assert (issuer.jwks_url, issuer.email_domains, issuer.verifies) == (
        "https://keys.example/jwks",
        ("example.com",),
        True,
    )
    assert issuer.claims["groups"] == "realm.groups"
    assert issuer.claims["team"] == "team_name"
    assert issuer.claims["email"] == "email"
    assert host.takes_callers


def test_without_algorithms_all_that_are_spoken_are_taken(desk: Desk):
    (issuer,) = compiled(desk, ISSUER + host_of(f'issuers = ["ci"]\n{ANYONE}')).accepts.issuers
    assert set(issuer.algorithms) == ALGORITHMS


def test_an_issuer_without_an_audience_is_asked_about_each_token_and_that_is_warned_of(desk: Desk):
    text = OPAQUE + host_of(f'issuers = ["as"]\n{ANYONE}')
    (issuer,) = compiled(desk, text).accepts.issuers
    assert (issuer.verifies, issuer.introspection_url) == (False, "https://as.example/introspect")
    assert (issuer.client_id, issuer.client_secret.reveal(), issuer.client_auth) == (
        "i",
        "hunter2",
        "client_secret_basic",
    )
    assert any("it alone says which of its tokens are good here" in said for said in desk.warnings(text))


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ('audience = ["a"]', 'issuer "x" has no `url`'),
        ('url = "https://x.example"', 'issuer "x" has no `audience`: without it every token'),
        ('url = "ftp://x.example"\naudience = ["a"]', "url is not a URL that can be called"),
        ('url = "x.example"\naudience = ["a"]', "url is not a URL that can be called"),
        ('url = "https://x.example/?a=b"\naudience = ["a"]', "an issuer's URL has no query"),
        ('url = "https://x.example"\naudience = ["a"]\njwks_url = "keys"', "jwks_url is not a URL"),
        ('url = "https://x.example"\naudience = ["a"]\nalgorithms = ["HS256"]', "`HS256` is not taken: whoever can"),
        ('url = "https://x.example"\naudience = ["a"]\nalgorithms = ["none"]', "`none` is not taken; there are"),
        ('url = "https://x.example"\naudience = ["a"]\nalgorithms = []', "the list is empty"),
        ('url = "https://x.example"\nintrospection_url = "https://x.example/i"\nclient_id = "a"', "needs a `client_secret`"),
        ('url = "https://x.example"\naudience = ["a"]\nclient_id = "a"', "`client_id` is for `introspection_url`"),
        ('url = "https://x.example"\nintrospection_url = "https://x.example/i"\nclient_id = "a"\nclient_secret = "b"\nauth_style = "none"', "auth_style is one of basic, post"),
        ('url = "https://x.example"\naudience = ["a"]\nclaims = "x"', "`claims` is an object"),
        ('url = "https://x.example"\naudience = ["a"]\nclaims { x { } }', "`claims` holds attributes only"),
        ('url = "https://x.example"\naudience = ["a"]\nissuers = "x"', "there is no attribute `issuers` here"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_issuer_is_told(desk: Desk, inside: str, fault: str):
    faults = desk.faults(f'issuer "x" {{\n{inside}\n}}\n' + host_of(f'issuers = ["x"]\n{ANYONE}'))
    assert len(faults) == 1, faults
    assert fault in faults[0]


def test_an_issuer_is_named_once(desk: Desk):
    (fault,) = desk.faults(ISSUER + ISSUER + host_of(f'issuers = ["ci"]\n{ANYONE}'))
    assert "there are two issuers `ci`; the first is at v.hcl:1" in fault


@pytest.mark.parametrize(
    ("more", "issuers", "fault"),
    [
        (ISSUER.replace('"ci"', '"pipelines"'), '["pipeline"]', "there is no issuer `pipeline`; did you mean `pipelines`?"),
        ("", '["xyzzy"]', 'there is no issuer `xyzzy`; add issuer "xyzzy"'),
        ("", '["ci", "ci"]', "`ci` stands in issuers twice"),
        (ISSUER.replace('"ci"', '"two"'), '["ci", "two"]', "have the same url"),
        (OPAQUE + OPAQUE.replace("as.example", "b.example").replace('"as"', '"b"'), '["as", "b"]', "each would be shown the other's tokens"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_hosts_issuers_is_told(desk: Desk, more: str, issuers: str, fault: str):
    faults = desk.faults(ISSUER + more + host_of(f"issuers = {issuers}\n{ANYONE}"))
    assert len(faults) == 1, faults
    assert fault in faults[0]


def test_an_issuer_of_a_providers_id_is_told_apart(desk: Desk):
    text = GOOGLE + ISSUER.replace('"ci"', '"google"')
    (fault,) = desk.faults(text + host_of(f'sign_in = ["google"]\nissuers = ["google"]\n{ANYONE}'))
    assert "`google` is a provider of this host, too" in fault


def test_an_issuer_nobody_lists_is_warned_of(desk: Desk):
    (warning,) = desk.warnings(ISSUER + host_of('access { allow = ["public"] }'))
    assert "no host takes tokens of `ci`" in warning


def test_plain_http_to_an_issuer_is_warned_of(desk: Desk):
    text = ISSUER.replace("https://ci", "http://ci") + host_of(f'issuers = ["ci"]\n{ANYONE}')
    assert any("url: plain http to another machine" in said for said in desk.warnings(text))


def test_tokens_say_who_is_in_beside_people(desk: Desk):
    host = compiled(desk, GOOGLE + ISSUER + host_of(f'sign_in = ["google"]\nissuers = ["ci"]\n{ANYONE}'))
    assert [said(host, b"/"), said(host, b"/", "google"), said(host, b"/", "issuer:ci")] == [
        "sign-in",
        "in",
        "in",
    ]
    assert said(host, b"/", "ci") == "403"
    assert host.sign_in == ("google",)
    assert "issuer:ci" not in host.clients.values()


def test_without_people_nobody_is_asked_to_sign_in(desk: Desk):
    host = compiled(desk, ISSUER + host_of(f'issuers = ["ci"]\n{ANYONE}'))
    assert said(host, b"/") == "401"


def test_rules_name_an_issuer_by_its_id(desk: Desk):
    text = ISSUER + host_of('issuers = ["ci"]\naccess { allow = ["group:ci/staff", "token:ci/read"] }')
    host = compiled(desk, text)
    assert [rule.provider for rule in host.routes[b""].policy.allow or ()] == ["issuer:ci", "issuer:ci"]


def test_a_host_that_takes_tokens_says_who_gets_in(desk: Desk):
    (fault,) = desk.faults(ISSUER + host_of('issuers = ["ci"]'))
    assert "takes tokens but does not say who gets in" in fault


# -- require_jwt ----------------------------------------------------------------------------------

REQUIRED = 'require_jwt {\n  jwks_url = "https://keys.example"\n  issuer = "https://i.example"\n  audience = ["a"]\n}'


def test_ios_own_form_loads_and_lets_in_whoever_has_a_token_of_these_keys(desk: Desk):
    text = host_of('require_jwt {\n  jwks_url = "https://keys.example/jwks"\n}')
    host = compiled(desk, text)
    (issuer,) = host.accepts.issuers
    assert (issuer.name, issuer.url, issuer.audience, issuer.jwks_url) == (
        "require_jwt:app.example",
        "",
        (),
        "https://keys.example/jwks",
    )
    assert [said(host, b"/"), said(host, b"/", issuer.name)] == ["401", "in"]
    assert host.routes[b""].needs_caller
    assert any("require_jwt has no issuer and no audience" in warning for warning in desk.warnings(text))


def test_where_a_jwt_is_required_nothing_else_will_do(desk: Desk):
    inside = f'sign_in = ["google"]\nissuers = ["ci"]\nhtpasswd = "users"\n{ANYONE}\nroute "/api/" {{\n{REQUIRED}\n}}'
    users(desk)
    host = compiled(desk, GOOGLE + ISSUER + host_of(inside))
    others = ("google", "issuer:ci", name_of(desk.folder / "users"))
    demanded = "require_jwt:app.example/api/"
    assert [said(host, b"/", client) for client in others] == ["in"] * 3
    assert [said(host, b"/api/x", client) for client in others] == ["403"] * 3
    assert [said(host, b"/api/x"), said(host, b"/api/x", demanded)] == ["401", "in"]
    assert said(host, b"/", demanded) == "403"
    assert [host.route(path).needs_caller for path in (b"/", b"/api/x")] == [False, True]


def test_what_the_host_requires_its_routes_require(desk: Desk):
    host = compiled(desk, host_of(f'{REQUIRED}\nroute "/a/" {{ }}'))
    assert [said(host, b"/a/"), said(host, b"/a/", "require_jwt:app.example")] == ["401", "in"]
    assert host.route(b"/a/").needs_caller


def test_a_route_may_require_another_one(desk: Desk):
    other = REQUIRED.replace("i.example", "j.example")
    host = compiled(desk, host_of(f'{REQUIRED}\nroute "/a/" {{\n{other}\n}}'))
    assert said(host, b"/a/", "require_jwt:app.example") == "403"
    assert said(host, b"/a/", "require_jwt:app.example/a/") == "in"
    assert {issuer.url for issuer in host.accepts.issuers} == {"https://i.example", "https://j.example"}


def test_a_public_host_is_not_public_where_a_jwt_is_required(desk: Desk):
    host = compiled(desk, host_of(f'access {{ allow = ["public"] }}\nroute "/a/" {{\n{REQUIRED}\n}}'))
    assert [said(host, b"/"), said(host, b"/a/"), said(host, b"/a/", "require_jwt:app.example/a/")] == [
        "in",
        "401",
        "in",
    ]


def test_ios_open_host_is_not_open_where_a_jwt_is_required(desk: Desk):
    oauth = (
        'oauth "hub" {\n  client_id = "i"\n  client_secret = "s"\n'
        '  authorize_url = "https://hub.example/a"\n  access_token_url = "https://hub.example/t"\n}\n'
    )
    host = compiled(desk, host_of(f'{oauth}\nroute "/a/" {{\n{REQUIRED}\n}}'))
    assert [said(host, b"/"), said(host, b"/a/")] == ["in", "401"]


def test_rules_narrow_whose_tokens_get_in(desk: Desk):
    host = compiled(desk, host_of(f'{REQUIRED}\naccess {{ allow = ["group:staff"] }}'))
    assert said(host, b"/", "require_jwt:app.example") == "403"


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ("require_jwt { }", "require_jwt says not whose tokens"),
        ('require_jwt {\n  jwks_url = "keys"\n}', "jwks_url is not a URL"),
        ('require_jwt {\n  jwks_url = "https://k.example"\n  algorithms = ["HS256"]\n}', "`HS256` is not taken"),
        (f'{REQUIRED}\naccess {{ allow = ["public"] }}', "`public` lets everyone in, and require_jwt only who"),
        (f"{REQUIRED}\n{REQUIRED}", "`require_jwt` stands here twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_required_jwt_is_told(desk: Desk, inside: str, fault: str):
    faults = desk.faults(host_of(inside))
    assert len(faults) == 1, faults
    assert fault in faults[0]


# -- passwords ------------------------------------------------------------------------------------


def test_a_password_file_is_found_beside_the_configuration(desk: Desk):
    path = users(desk)
    host = compiled(desk, host_of(f'htpasswd = "users"\n{ANYONE}'))
    passwords = host.accepts.passwords
    assert passwords is not None
    assert (passwords.path, passwords.name, passwords.has_form) == (str(path), name_of(path), True)
    assert host.sign_in == (passwords.name,)
    assert host.clients == {}
    assert [said(host, b"/"), said(host, b"/", passwords.name)] == ["sign-in", "in"]


@pytest.mark.parametrize("spelled", ["ann", "Ann", "ANN "])
def test_rules_name_people_of_the_file_in_whatever_spelling(desk: Desk, spelled: str):
    """Threat: a deny of `Bob` that `bob` passes."""
    users(desk)
    host = compiled(desk, host_of(f'htpasswd = "users"\naccess {{ allow = ["user:htpasswd/{spelled}"] }}'))
    policy = host.routes[b""].policy
    client = host.sign_in[0]
    ann, bob = (Identity(client=client, issuer=client, subject=name, login=name) for name in ("ann", "bob"))
    other = Identity(client="google", issuer="g", subject="1", login="ann")
    decided = [decide(policy, b"GET", Asker((who,))) for who in (ann, bob, other)]
    assert [isinstance(decision, Allow) for decision in decided] == [True, False, False]


def test_two_hosts_with_one_file_have_the_same_people(desk: Desk):
    users(desk)
    hosts = "".join(host_of(f'htpasswd = "users"\n{ANYONE}', name) for name in ("a.example", "b.example"))
    table = compile_config(desk.load(hosts)).table
    first, second = (table.hosts[name].accepts.passwords for name in (b"a.example", b"b.example"))
    assert first == second


def test_ios_users_load_and_get_in_with_their_key_alone(desk: Desk):
    text = host_of(f"apikey_auth {{\n  users = <<END\n{ANN}\n    bob:{HASHES[SHA1]}\nEND\n}}")
    host = compiled(desk, text)
    passwords = host.accepts.passwords
    assert passwords is not None
    assert (passwords.name, passwords.path, passwords.has_form) == ("apikey_auth:app.example", "", False)
    assert host.sign_in == ()
    assert [said(host, b"/"), said(host, b"/", passwords.name)] == ["401", "in"]
    (warning,) = desk.warnings(text)
    assert "the hashes of bob are {SHA}" in warning
    assert HASHES[SHA1] not in warning


def test_rules_name_ios_users(desk: Desk):
    text = f'apikey_auth {{\n  users = "{ANN.strip()}"\n}}\naccess {{ allow = ["user:apikey_auth/ann"] }}'
    (rule,) = compiled(desk, host_of(text)).routes[b""].policy.allow or ()
    assert rule.provider == "apikey_auth:app.example"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ann:hunter2\n", "users:1 its hash is of no kind that is read here"),
        (f"{ANN}{ANN}", "users:2 `ann` stands there twice"),
        ("ann\n", "users:1 is no `user:hash`"),
    ],
)
def test_a_broken_file_is_told_of_with_its_line(desk: Desk, text: str, fault: str):
    users(desk, text)
    (told,) = desk.faults(host_of(f'htpasswd = "users"\n{ANYONE}'))
    assert told.startswith("v.hcl:3:12: ")
    assert fault in told
    assert "hunter2" not in told


def test_a_file_that_is_not_there_is_told_of(desk: Desk):
    (told,) = desk.faults(host_of(f'htpasswd = "users"\n{ANYONE}'))
    assert "users can't be read: No such file" in told


def test_a_file_that_is_no_text_is_told_of(desk: Desk):
    users(desk).write_bytes(b"ann:\xff\n")
    (told,) = desk.faults(host_of(f'htpasswd = "users"\n{ANYONE}'))
    assert "is not UTF-8 text" in told


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ('htpasswd = ""', "`htpasswd` is empty"),
        ('htpasswd = "users"\napikey_auth {\n  users = "x"\n}', "apikey_auth stands here too"),
        ("apikey_auth { }", "apikey_auth has no `users`"),
        ('apikey_auth {\n  users = "ann"\n}', "line 1 of `users` is no `user:hash`"),
    ],
)
def test_what_is_wrong_with_passwords_is_told(desk: Desk, inside: str, fault: str):
    users(desk)
    faults = desk.faults(host_of(f"{inside}\n{ANYONE}"))
    assert len(faults) == 1, faults
    assert fault in faults[0]


def test_a_host_with_passwords_says_who_gets_in(desk: Desk):
    users(desk)
    (fault,) = desk.faults(host_of('htpasswd = "users"'))
    assert "signs people in but does not say who gets in" in fault


@pytest.mark.parametrize(
    ("text", "mode", "warning"),
    [
        (f"ann:{HASHES[APR1]}\n", 0o640, "the hashes of ann are apr1"),
        ("", 0o640, "nobody stands in it"),
        (ANN, 0o660, "other users can write to"),
    ],
)
def test_what_is_risky_about_passwords_is_warned_of(desk: Desk, text: str, mode: int, warning: str):
    users(desk, text).chmod(mode)
    (told,) = desk.warnings(host_of(f'htpasswd = "users"\n{ANYONE}'))
    assert warning in told


def test_a_password_file_that_would_be_served_is_told_of(desk: Desk):
    (desk.folder / "www").mkdir()
    users(desk, name="www/users")
    text = host_of(f'htpasswd = "www/users"\n{ANYONE}') + (
        'host "files.example" {\n  backend = "static:www"\n  access { allow = ["public"] }\n}\n'
    )
    assert any("the password file of app.example would be served" in fault for fault in desk.faults(text))


def test_two_files_of_one_name_are_told_apart(desk: Desk):
    """Threat: `ann` of the one file is `ann` of the other."""
    (desk.folder / "a").mkdir()
    users(desk)
    users(desk, name="a/users")
    text = host_of(f'htpasswd = "users"\n{ANYONE}') + host_of(f'htpasswd = "a/users"\n{ANYONE}', "b.example")
    (fault,) = desk.faults(text)
    assert "is another file than that of app.example, of the same name" in fault


def test_nobody_is_told_where_the_file_is(desk: Desk):
    users(desk, name="the people")
    host = compiled(desk, host_of(f'htpasswd = "the people"\n{ANYONE}'))
    assert host.sign_in == ("htpasswd:the%20people",)


# -- in a domain ----------------------------------------------------------------------------------

DOMAIN = 'domain "example.com" {\n  auth_host = "auth.example.com"\n}\n'


def test_people_of_a_file_sign_in_at_the_auth_host_of_their_domain(desk: Desk):
    users(desk)
    text = DOMAIN + host_of(f'htpasswd = "users"\n{ANYONE}', "app.example.com")
    table = compile_config(desk.load(text)).table
    app, auth = (table.hosts[name] for name in (b"app.example.com", b"auth.example.com"))
    assert auth.accepts.passwords == app.accepts.passwords
    assert auth.sign_in == app.sign_in == (name_of(desk.folder / "users"),)
    assert is_top(auth.sign_in[0])


def test_a_file_that_the_auth_host_does_not_have_is_told_of(desk: Desk):
    users(desk)
    users(desk, name="others")
    text = (
        DOMAIN
        + host_of(f'htpasswd = "users"\n{ANYONE}', "a.example.com")
        + host_of(f'htpasswd = "others"\n{ANYONE}', "b.example.com")
    )
    told = [fault for fault in desk.faults(text) if "is not the password file of auth.example.com" in fault]
    assert [fault.partition(": ")[0] for fault in told] == ["v.hcl:6:12", "v.hcl:11:12"]


def test_credentials_come_by_tls_or_from_this_machine(desk: Desk):
    open_to_all = 'gateway { http = ["0.0.0.0:8000"] }\n'
    (fault,) = desk.faults(open_to_all + host_of(REQUIRED))
    assert "takes credentials on a port that takes plain http from other machines" in fault


def test_a_host_without_any_takes_none(desk: Desk):
    host = compiled(desk, host_of('access { allow = ["public"] }'))
    assert not host.takes_callers
    assert host.accepts.issuers == ()
