"""From a checked configuration to tables."""

from __future__ import annotations

from pathlib import Path

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.compile import Compiled, compile_config
from vestibule.core.policy import decide
from vestibule.core.postgres import Postgres
from vestibule.model import Allow, Asker, Deny, Identity, Secret, SignIn

FULL = (
    GOOGLE
    + """
gateway {
  http            = ["127.0.0.1:8001", "unix:run/v.sock"]
  trusted_proxies = ["10.0.0.0/8", "unix"]
  fetch_allow     = ["192.168.0.0/16"]
  fetch_timeout   = "3s"
  state           = "st"
}
lifetimes {
  pending_flow     = "5m"
  session_absolute = "2d"
  handle           = 60
}
host "Forum.Example.com" {
  name     = "forum"
  backend  = ["localhost:3000", "https://other:8443"]
  insecure = true
  max_body = "1MiB"
  sign_in  = ["google"]
  access {
    allow = ["domain:Example.com"]
    deny  = ["email:bob@example.com"]
  }
  route "/public/" {
    access { allow = ["public"] }
  }
  route "/files" {
    backend  = "static:public"
    max_body = 0
  }
  route "/admin/deep/" {
    methods = ["GET", "post"]
    backend = "unix:run/app.sock"
    access {
      allow = ["email:Ann@Example.com"]
      deny  = ["domain:evil.example"]
    }
  }
  route "/echo" { backend = "internal:echo" }
}
"""
)


def compiled(desk: Desk) -> Compiled:
    (desk.folder / "public").mkdir(exist_ok=True)
    return compile_config(desk.load(FULL))


def person(email: str) -> tuple[Identity, ...]:
    return (Identity(client="google", issuer="https://accounts.google.com", subject="1", email=email),)


def test_a_host_with_all_it_needs(desk: Desk) -> None:
    host = compiled(desk).table.hosts[b"forum.example.com"]
    assert (host.title, host.sign_in, dict(host.clients), host.depth) == (
        "forum",
        ("google",),
        {"google": "google"},
        2,
    )
    assert sorted(host.routes) == [b"", b"/admin/deep", b"/echo", b"/files", b"/public"]
    root, files = host.routes[b""], host.routes[b"/files"]
    assert [(str(one), one.verify) for one in root.backend.servers] == [
        ("http://localhost:3000", False),
        ("https://other:8443", False),
    ]
    assert (root.body_limit_bytes, files.body_limit_bytes) == (1 << 20, 0)
    assert root.place.endswith("v.hcl:20")
    assert host.routes[b"/echo"].backend.internal == "echo"
    assert host.routes[b"/public"].backend == root.backend


def test_paths_count_from_the_file_they_stand_in(desk: Desk) -> None:
    found = compiled(desk)
    host = found.table.hosts[b"forum.example.com"]
    assert host.routes[b"/files"].backend.static_dir == str(desk.folder / "public")
    assert host.routes[b"/admin/deep"].backend.servers[0].path == str(desk.folder / "run/app.sock")
    assert found.listeners[1].path == str(desk.folder / "run/v.sock")
    assert (found.state, found.database, found.key_file) == (
        desk.folder / "st",
        desk.folder / "st/vestibule.db",
        desk.folder / "st/vestibule.key",
    )


def test_a_store_elsewhere(desk: Desk) -> None:
    text = 'store {\n  url = "sqlite:/var/v.db"\n  key_file = "k"\n}\n'
    host = 'host "a.example" {\n  backend = "x:1"\n  access { allow = ["public"] }\n}\n'
    found = compile_config(desk.load(text + host))
    assert (found.state, found.database, found.key_file) == (
        desk.folder / "state",
        Path("/var/v.db"),
        desk.folder / "k",
    )


def test_a_store_in_postgresql(desk: Desk) -> None:
    text = """store {
      url = "postgresql://app:${env("DB_PASSWORD")}@db.example.com/v?sslmode=verify-ca&sslrootcert=ca.pem"
    }
    host "a.example" {
      backend = "x:1"
      access { allow = ["public"] }
    }"""
    loaded = desk.load(text, environ={"DB_PASSWORD": "canary%2F"})
    found = compile_config(loaded).database
    assert found == Postgres(
        host="db.example.com",
        user="app",
        password=Secret("canary/"),
        name="v",
        sslmode="verify-ca",
        sslrootcert=str(desk.folder / "ca.pem"),
    )
    assert "canary" not in repr(compile_config(loaded).database) + repr(loaded.config.store.url)


def test_lifetimes_and_proxies(desk: Desk) -> None:
    found = compiled(desk)
    assert (found.lifetimes.flow_s, found.lifetimes.absolute_s, found.lifetimes.handle_s) == (300, 172800, 60)
    assert found.lifetimes.idle_s == 86400
    assert found.lifetimes.invitation_s == 7 * 86400
    assert "10.1.2.3" in found.trusted_proxies
    assert "" in found.trusted_proxies
    assert "192.0.2.1" not in found.trusted_proxies


def test_urls_of_strangers_lead_where_it_is_written_and_nowhere_else(desk: Desk) -> None:
    found = compiled(desk)
    assert "192.168.3.4" in found.fetch_allow
    assert "10.1.2.3" not in found.fetch_allow
    assert found.fetch_timeout_s == 3.0


def test_a_routes_allow_replaces_the_hosts_and_every_deny_holds(desk: Desk) -> None:
    routes = compiled(desk).table.hosts[b"forum.example.com"].routes
    root, public, deep = routes[b""].policy, routes[b"/public"].policy, routes[b"/admin/deep"].policy
    assert isinstance(decide(root, b"GET", Asker(person("eve@example.com"))), Allow)
    assert isinstance(decide(root, b"GET", Asker(person("bob@example.com"))), Deny)
    assert isinstance(decide(root, b"GET", Asker()), SignIn)
    assert public.public
    assert isinstance(decide(public, b"GET", Asker(person("bob@example.com"))), Deny)
    assert isinstance(decide(deep, b"POST", Asker(person("ann@example.com"))), Allow)
    assert isinstance(decide(deep, b"GET", Asker(person("eve@example.com"))), Deny)
    assert [rule.text for rule in deep.deny] == ["email:bob@example.com", "domain:evil.example"]
    refused = decide(deep, b"PUT", Asker(person("ann@example.com")))
    assert isinstance(refused, Deny)
    assert refused.status == 405


def test_an_identity_of_a_client_that_is_not_in_sign_in_counts_for_nothing(desk: Desk) -> None:
    inline = 'provider "own" {\n  type = "github"\n  client_id = "i"\n  client_secret = "s"\n}\n'
    text = FULL.replace('  route "/public/"', f'  {inline}  route "/public/"')
    (desk.folder / "public").mkdir()
    host = compile_config(desk.load(text)).table.hosts[b"forum.example.com"]
    stranger = (Identity(client="Forum.Example.com/own", issuer="x", subject="1", email="eve@example.com"),)
    assert "own" in host.clients
    assert isinstance(decide(host.routes[b""].policy, b"GET", Asker(stranger)), SignIn)


def test_the_ten_lines_for_google(desk: Desk) -> None:
    text = """
provider "google" {
  client_id     = "${env("GOOGLE_CLIENT_ID")}"
  client_secret = "${file("google.secret")}"
}
host "localhost" {
  backend = "localhost:3000"
  sign_in = ["google"]
  access { allow = ["email:you@example.com"] }
}
"""
    desk.file("s3cret\n", "google.secret")
    found = compile_config(desk.load(text, environ={"GOOGLE_CLIENT_ID": "id-1"}))
    config = found.clients["google"]
    assert config.client_secret.reveal() == "s3cret"  # type: ignore[attr-defined]
    assert "s3cret" not in repr(found)
    assert [str(one) for one in found.listeners] == ["127.0.0.1:8000"]


TOKENS = (
    GOOGLE
    + """
host "git.example.com" {
  backend    = "localhost:3000"
  sign_in    = ["google"]
  app_tokens = true
  access { allow = ["anyone"] }
}
host "www.example.com" {
  backend = "localhost:3001"
  access { allow = ["public"] }
}
"""
)


def test_a_host_takes_app_tokens_where_it_says_so(desk: Desk) -> None:
    hosts = compile_config(desk.load(TOKENS)).table.hosts
    assert hosts[b"git.example.com"].app_tokens
    assert not hosts[b"www.example.com"].app_tokens


def test_where_there_are_app_tokens_every_host_looks_at_credentials_so_that_none_is_passed_on(
    desk: Desk,
) -> None:
    hosts = compile_config(desk.load(TOKENS)).table.hosts
    assert all(host.takes_callers for host in hosts.values())
    hosts = compile_config(desk.load(TOKENS.replace("  app_tokens = true\n", ""))).table.hosts
    assert not any(host.takes_callers for host in hosts.values())


def test_how_long_an_app_token_may_be_good_for(desk: Desk) -> None:
    assert compile_config(desk.load(TOKENS)).lifetimes.app_token_s == 365 * 86400
    found = compile_config(desk.load(TOKENS + 'lifetimes { app_token = "90d" }'))
    assert found.lifetimes.app_token_s == 90 * 86400
