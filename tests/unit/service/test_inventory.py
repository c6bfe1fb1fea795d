"""Hosts, calls and edges, in the words of the configuration."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from vestibule.admin_model import Counts
from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import load
from vestibule.observe.rates import Rates
from vestibule.observe.traffic import Kind, Record
from vestibule.service.inventory import Inventory
from vestibule.service.offer import Offer

NOW = 1_800_000_000.0
TEXT = """
provider "op" {
  type          = "oidc"
  issuer        = "https://op.example"
  client_id     = "app"
  client_secret = "CANARY"
}
host "app.example.com" {
  backend = ["127.0.0.1:3000", "127.0.0.1:3001"]
  sign_in = ["op"]
  access {
    allow = ["email:a@b.example", "group:op/x"]
    deny  = ["email:bad@b.example"]
  }
  route "/admin/" {
    backend = "serving:s"
    methods = ["GET", "POST"]
    max_age = "15m"
    access {
      all = ["anyone", "network:10.0.0.0/8"]
    }
  }
  route "/echo/" {
    backend = "internal:echo"
    access {
      allow = ["public"]
    }
  }
}
serving "s" {
  port    = 19999
  backend = "127.0.0.1:3002"
}
secret "key" {
  value = "CANARY"
}
call "api" {
  port            = 19998
  endpoint        = "https://api.example"
  only_operations = true
  auth {
    name       = "authorization"
    credential = "session:op"
  }
  auth {
    name       = "key"
    location   = "query"
    credential = "secret:key"
  }
  operation "me" {
    method = "GET"
    path   = "/v1/users/{id}/things/**"
  }
}
"""


@pytest.fixture
def compiled(tmp_path: Path) -> Compiled:
    file = tmp_path / "v.hcl"
    file.write_text(TEXT)
    return compile_config(load([file], {}))


def inventory(compiled: Compiled, *records: Record) -> Inventory:
    rates = Rates()
    for record in records:
        rates.add(record)
    return Inventory(
        compiled,
        rates,
        offer=lambda: Offer(compiled.table, {}),
        base_urls=lambda host: (f"http://{host.name.decode()}",),
        now=lambda: NOW,
    )


def record(kind: Kind, name: bytes, **fields: object) -> Record:
    whole = {
        "at": NOW,
        "kind": kind,
        "name": name,
        "method": b"GET",
        "path": b"/",
        "status": 200,
        "took_s": 0.01,
    }
    return Record(**{**whole, **fields})


def test_hosts_and_servings_with_their_routes(compiled: Compiled) -> None:
    app, serving = inventory(compiled).hosts()
    assert (app.name, app.sign_in, app.urls) == ("app.example.com", ("op",), ("http://app.example.com",))
    assert app.backend == "http://127.0.0.1:3000, http://127.0.0.1:3001"
    assert [(one.prefix, one.methods, one.backend) for one in app.routes] == [
        ("/", (), app.backend),
        ("/admin/", ("GET", "POST"), "serving:s"),
        ("/echo/", (), "internal:echo"),
    ]
    whole, admin, echo = app.routes
    assert (whole.allow, whole.deny) == (("email:a@b.example", "group:op/x"), ("email:bad@b.example",))
    assert "and network:10.0.0.0/8" in admin.allow
    assert "and signed in at most 900 s ago" in admin.allow
    assert admin.deny == ("email:bad@b.example",)
    assert echo.allow == ("public",)
    assert [one.place.rpartition(":")[2] for one in app.routes] == ["8", "15", "23"]
    assert (serving.name, serving.backend) == ("serving:s", "http://127.0.0.1:3002")


def test_calls_name_their_credentials_and_hold_none(compiled: Compiled) -> None:
    [call] = inventory(compiled).calls()
    assert call.credentials == ("session:op in authorization", "secret:key in ?key")
    assert (call.listen, call.endpoint, call.hosts) == (
        "127.0.0.1:19998",
        "https://api.example:443",
        ("app.example.com",),
    )
    assert [(one.id, one.method, one.path) for one in call.operations] == [
        ("me", "GET", "/v1/users/{…}/things/**")
    ]
    assert call.only_operations
    assert call.place.endswith(":37")
    assert "CANARY" not in repr(call)


def test_what_came_is_counted_by_its_own_name(compiled: Compiled) -> None:
    shown = inventory(
        compiled,
        record(Kind.HOST, b"app.example.com"),
        record(Kind.HOST, b"app.example.com", status=502, backend_s=0.1),
        record(Kind.CALL, b"api", status=403),
        record(Kind.EDGE, b"app.example.com", edge="validate 127.0.0.1", status=401),
        record(Kind.EDGE, b"app.example.com", edge="oauth2-proxy unix"),
    )
    app, serving = shown.hosts()
    assert (app.counts.requests, app.counts.errors, app.counts.denials) == (2, 1, 0)
    assert app.counts.last_at is not None
    assert serving.counts == Counts()
    [call] = shown.calls()
    assert (call.counts.requests, call.counts.denials) == (1, 1)
    assert [(one.address, one.contract, one.counts.requests) for one in shown.edges()] == [
        ("127.0.0.1", "validate", 1),
        ("unix", "compat", 1),
    ]
    assert msgspec.json.encode(shown.hosts())
