"""Calling interfaces: where they listen and lead, whose credential they apply; what is said when that can't be."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.compile import compile_config
from vestibule.core.call import Applied, Call, Location, SecretCredential, SessionCredential, TokenCredential

HOSTS = (
    GOOGLE
    + """
provider "github" {
  client_id     = "i"
  client_secret = "s"
}
host "a.example" {
  backend = "localhost:3000"
  sign_in = ["google", "github"]
  access { allow = ["domain:example.com"] }
}
host "b.example" {
  backend = "localhost:3001"
  sign_in = ["google"]
  access { allow = ["domain:example.com"] }
}
secret "key" { value = "hunter2" }
client_credentials "machine" {
  client_id        = "m"
  client_secret    = "s"
  access_token_url = "https://hub.example/token"
  scopes           = ["read"]
}
"""
)


OWN = """
host "own.example" {
  backend = "x:1"
  oauth "own" {
    client_id        = "i"
    client_secret    = "s"
    authorize_url    = "https://hub.example/authorize"
    access_token_url = "https://hub.example/token"
  }
}
"""


def call(inside: str, *, head: str = 'port = 4848\nendpoint = "api.example"\n') -> str:
    return f'call "api" {{\n{head}{inside}\n}}\n'


def auth(credential: str, more: str = "", name: str = "authorization") -> str:
    return f'auth {{\nname = "{name}"\ncredential = "{credential}"\n{more}\n}}'


def compiled(desk: Desk, text: str) -> Call:
    (found,) = compile_config(desk.load(text, HOSTS)).calls
    return found


def applied(desk: Desk, text: str) -> Applied:
    (found,) = compiled(desk, text).applied
    return found


def test_a_persons_credential_goes_to_every_host_that_has_its_client(desk: Desk) -> None:
    found = compiled(desk, call(auth("session:google")))
    assert found.hosts == {"a.example", "b.example"}
    assert found.needs_session
    assert found.applied[0].credential == SessionCredential(
        client="google", clients={"a.example": "google", "b.example": "google"}
    )
    assert compiled(desk, call(auth("session:github"))).hosts == {"a.example"}


def test_hosts_narrow_whose_handles_are_taken(desk: Desk) -> None:
    assert compiled(desk, call(auth("session:google") + '\nhosts = ["B.example"]')).hosts == {"b.example"}
    found = compiled(desk, call(auth("secret:key") + '\nhosts = ["b.example"]'))
    assert (found.hosts, found.needs_session) == ({"b.example"}, True)


def test_the_apps_own_credentials_ask_for_no_person(desk: Desk) -> None:
    found = compiled(desk, call(auth("secret:key", name="X-Api-Key")))
    assert (found.hosts, found.needs_session) == (frozenset(), False)
    one = found.applied[0]
    assert isinstance(one.credential, SecretCredential)
    assert (one.credential.value.reveal(), one.prefix) == ("hunter2", "")


@pytest.mark.parametrize(
    ("inside", "location", "name", "prefix"),
    [
        (auth("session:google"), Location.HEADER, "authorization", "Bearer "),
        (auth("session:google", name="X-Token"), Location.HEADER, "X-Token", ""),
        (auth("session:google", 'location = "query"', "access_token"), Location.QUERY, "access_token", ""),
        (auth("session:google", 'prefix = "token "'), Location.HEADER, "authorization", "token "),
        (auth("session:google", 'prefix = ""'), Location.HEADER, "authorization", ""),
        (auth("secret:key"), Location.HEADER, "authorization", ""),
        (
            'apply_header "Authorization" { secret = "session:google" }',
            Location.HEADER,
            "Authorization",
            "Bearer ",
        ),
        ('apply_header "X-Key" { secret = "key" }', Location.HEADER, "X-Key", ""),
        (
            'apply_header "Authorization" { client_credentials = "machine" }',
            Location.HEADER,
            "Authorization",
            "Bearer ",
        ),
    ],
)
def test_where_a_credential_goes(desk: Desk, inside: str, location: Location, name: str, prefix: str) -> None:
    found = applied(desk, call(inside))
    assert (found.location, found.name, found.prefix) == (location, name, prefix)


def test_a_token_of_the_apps_own_is_a_source_and_other_scopes_are_another(desk: Desk) -> None:
    text = call(
        'apply_header "A" { client_credentials = "machine" }\napply_header "B" {\nclient_credentials = "machine"\nscopes = ["write"]\n}'
    )
    result = compile_config(desk.load(text, HOSTS))
    first, second = (one.credential for one in result.calls[0].applied)
    assert isinstance(first, TokenCredential)
    assert isinstance(second, TokenCredential)
    assert list(result.token_sources) == [first.source, second.source]
    assert result.token_sources[first.source].scopes == ("read",)  # type: ignore[attr-defined]
    assert result.token_sources[second.source].scopes == ("write",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("endpoint", "expected", "authority"),
    [
        ("api.example", "https://api.example:443", "api.example"),
        ("api.example:443", "https://api.example:443", "api.example"),
        ("https://api.example:8443", "https://api.example:8443", "api.example:8443"),
        ("https://api.example/", "https://api.example:443", "api.example"),
        ("http://api.example", "http://api.example:80", "api.example"),
        ("localhost:9000", "http://localhost:9000", "localhost:9000"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000", "127.0.0.1:9000"),
        ("[::1]:9000", "http://[::1]:9000", "[::1]:9000"),
        ("unix:/run/api.sock", "unix:/run/api.sock", "localhost"),
    ],
)
def test_the_scheme_of_an_endpoint_follows_from_its_port(
    desk: Desk, endpoint: str, expected: str, authority: str
) -> None:
    found = compiled(desk, call(auth("secret:key"), head=f'port = 4848\nendpoint = "{endpoint}"\n'))
    assert (str(found.endpoint), found.authority) == (expected, authority)


def test_a_call_inside_a_host_takes_its_handles_only(desk: Desk) -> None:
    text = HOSTS.replace('sign_in = ["google"]', f'sign_in = ["google"]\n{call(auth("session:google"))}')
    (found,) = compile_config(desk.load(text)).calls
    assert (found.id, found.hosts) == ("b.example/api", {"b.example"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (call(auth("session:gogle")), "v.hcl:6:14: no host has a client `gogle`; did you mean `google`?"),
        (call(auth("session:github") + '\nhosts = ["b.example"]'), "v.hcl:6:14: the host b.example has no client `github`"),
        (call(auth("session:own") + "\n" + auth("session:github", name="X-Hub")) + OWN, "v.hcl:1:1: no host has all the clients this call applies: own, github"),
        (call(auth("session:google") + '\nhosts = ["c.example"]'), "v.hcl:9:10: there is no host `c.example`"),
        (call(auth("secret:kye")), "v.hcl:6:14: there is no secret `kye`; did you mean `key`?"),
        (call(auth("client_credentials:x")), "v.hcl:6:14: there is no client_credentials `x`"),
        (call(auth("service_account:x")), "v.hcl:6:14: there is no service_account `x`"),
        (call(auth("vault:x")), "v.hcl:6:14: `vault:x` names no credential"),
        (call(auth("session:google", 'location = "body"')), 'v.hcl:7:12: `body` is no location: "header" or "query"'),
        (call(auth("session:google", name="Host")), "v.hcl:6:14: the header `Host` is set by the gateway itself"),
        (call(auth("session:google", name="Proxy-Session")), "v.hcl:6:14: the header `Proxy-Session` is set by the gateway"),
        (call(auth("session:google", name="a b")), "v.hcl:5:8: `a b` is no header name"),
        (call(auth("session:google") + "\n" + auth("secret:key", name="AUTHORIZATION")),
         "v.hcl:11:14: the header `AUTHORIZATION` is set twice; first at v.hcl:6"),
        (call('auth { name = "x" }'), "v.hcl:4:1: auth has no `credential`"),
        (call('apply_header "X" { }'), 'v.hcl:4:1: apply_header "X" needs one of secret,'),
        (call('apply_header "X" {\nsecret = "key"\nservice_account = "y"\n}'), 'v.hcl:4:1: apply_header "X" needs one of'),
        (call('apply_header "X" {\nsecret = "key"\nscopes = ["a"]\n}'), "v.hcl:6:10: `scopes` go with client_credentials"),
        (call("only_operations = true\n" + auth("secret:key")), "v.hcl:4:19: nothing could be called"),
        (call('operation "x" { }\n' + auth("secret:key")), 'v.hcl:4:1: operation "x" has no `path`'),
        (call('operation "x" { path = "v1" }\n' + auth("secret:key")), "v.hcl:4:24: `v1` is no path of an operation"),
        (call('operation "x" { path = "/a/{b" }\n' + auth("secret:key")), "v.hcl:4:24: `/a/{b`: `{…}` stands for a whole segment"),
        (call('operation "x" { path = "/a" }\noperation "x" { path = "/b" }\n' + auth("secret:key")),
         "v.hcl:5:11: there are two operations `x`; the first is at v.hcl:4"),
        (call(auth("secret:key"), head='endpoint = "x"\n'), 'v.hcl:1:1: call "api" has no `port`: port = 4848'),
        (call(auth("secret:key"), head="port = 1\n"), 'v.hcl:1:1: call "api" has no `endpoint`'),
        (call(auth("secret:key"), head='port = 70000\nendpoint = "x"\n'), "v.hcl:2:8: `70000` is no port"),
        (call(auth("secret:key"), head='port = 1\nlisten = "127.0.0.1:2"\nendpoint = "x"\n'), "v.hcl:3:10: `port` stands here too"),
        (call(auth("secret:key"), head='listen = "0.0.0.0:2"\nendpoint = "x"\n'), "v.hcl:2:10: 0.0.0.0:2 is not on loopback"),
        (call(auth("secret:key"), head='port = 1\nendpoint = "api.example:8080"\n'),
         'v.hcl:3:12: `api.example:8080` would be called by plain http, since its port is not 443; write "https://api.example:8080"'),
        (call(auth("secret:key"), head='port = 1\nendpoint = "https://api.example/v1"\n'), "v.hcl:3:12: `https://api.example/v1`: only scheme"),
        (call(auth("secret:key"), head='port = 1\nendpoint = "x"\ntarget = "y"\n'), "v.hcl:4:1: `target` is another name of what is set"),
        (call("require_jwt { }\n" + auth("secret:key")), "v.hcl:4:1: `require_jwt` is not in this version yet"),
        (call('users = ["www"]\n' + auth("secret:key")), "v.hcl:4:1: `users` is not in this version yet"),
        (call('credentials = "user"\n' + auth("secret:key")), "v.hcl:4:1: `credentials` is not in this version yet"),
        (call(auth("secret:key")) + call(auth("secret:key"), head='port = 2\nendpoint = "x"\n'),
         "v.hcl:10:6: there are two calls of the ID `api`; the first is at v.hcl:1"),
        (call(auth("secret:key")) + call(auth("secret:key")).replace('api"', 'b"'), "v.hcl:11:8: 127.0.0.1:4848 is taken by v.hcl:2"),
    ],
)  # fmt: skip
def test_a_call_that_can_not_work(desk: Desk, text: str, expected: str) -> None:
    faults = desk.faults(text, HOSTS)
    assert len(faults) == 1, faults
    assert faults[0].startswith(expected)


def test_hosts_of_a_call_inside_a_host_are_its_host(desk: Desk) -> None:
    inner = call(auth("session:google") + '\nhosts = ["a.example"]')
    text = HOSTS.replace('sign_in = ["google"]', f'sign_in = ["google"]\n{inner}')
    (fault,) = desk.faults(text)
    assert "a call inside a host takes the handles of b.example only" in fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (call(""), 'v.hcl:1:1: call "api" adds no credential'),
        (call(auth("secret:key"), head='port = 1\nendpoint = "http://api.example"\n'),
         "v.hcl:3:12: credentials go to api.example by plain http"),
        (call("insecure = true\n" + auth("secret:key")), "v.hcl:4:12: the API's certificate is not checked"),
    ],
)  # fmt: skip
def test_a_call_that_is_risky(desk: Desk, text: str, expected: str) -> None:
    (warning,) = desk.warnings(text, HOSTS)
    assert warning.startswith(expected)
