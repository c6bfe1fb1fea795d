"""Several gateways of one house on one store, each with a network of its own towards it that can be hurt."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from tests.real.api import Api
from tests.real.fault import Fault, Faults
from tests.real.house import Browser, House
from tests.real.openid import OpenId, client
from tests.real.watched import Watched
from vestibule.model import Secret
from vestibule.opening import ring_of

SESSION_KEY = "kS8q1ZrX0bT4yWm7uJ2cVf6hNd3gLp9aEoIxRtQsYvU="
RING = ring_of(Secret(SESSION_KEY))


def people(
    *names: str, groups: Callable[[str], list[str]] = lambda _: ["staff"]
) -> dict[str, dict[str, Any]]:
    """What the provider says of people of these logins."""
    return {
        name: {
            "email": f"{name}@example.com",
            "email_verified": True,
            "name": name.title(),
            "preferred_username": name,
            "groups": groups(name),
        }
        for name in names
    }


KNOWN = people("alice", "bob", "carol")
CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
  fetch_timeout = "FETCH"
  WORKERS
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile", "groups"]
}

host "app.example.com" {
  backend = "127.0.0.1:BACKEND"
  sign_in = ["op"]
  access {
    allow = ["anyone"]
  }
  route "/admins/" {
    access {
      allow = ["group:admins"]
    }
  }
  route "/open/" {
    access {
      allow = ["public"]
    }
  }
}

call "api" {
  port     = CALL
  endpoint = "https://127.0.0.1:API"
  auth {
    name       = "authorization"
    location   = "header"
    credential = "session:op"
  }
}

STORE

lifetimes {
  grace = "GRACE"
}
"""


@dataclasses.dataclass(frozen=True)
class Kept:
    """A store: the ports that it is asked at, and its block of the configuration for who asks at others."""

    name: str
    ports: tuple[int, ...]
    block: Callable[..., str]


def in_postgres(database: Any) -> Kept:
    """All in this PostgreSQL database."""
    return Kept("postgres", (database.place.port,), lambda port: _block(url=_through(database, port)))


def in_redis(database: Any, redis: int) -> Kept:
    """Sessions in the Redis at this port, the rest in this PostgreSQL database."""
    return Kept(
        "redis",
        (database.place.port, redis),
        lambda port, redis: _block(url=_through(database, port), sessions=f"redis://127.0.0.1:{redis}"),
    )


def _through(database: Any, port: int) -> str:
    return str(database.url).replace(f":{database.place.port}/", f":{port}/")


def _block(**attributes: str) -> str:
    lines = "\n".join(f'  {name} = "{value}"' for name, value in attributes.items())
    return f'store {{\n{lines}\n  timeout = "TIMEOUT"\n}}'


@dataclasses.dataclass
class Node(House):
    """One gateway, and the network between it and the store."""

    network: Faults


@dataclasses.dataclass
class Nodes:
    """All of it, running."""

    nodes: list[Node]
    provider: OpenId
    app: Watched
    api: Api

    def __getitem__(self, number: int) -> Node:
        return self.nodes[number]

    def __len__(self) -> int:
        return len(self.nodes)

    def calm(self) -> None:
        """Nothing is broken."""
        for node in self.nodes:
            node.network.calm()


@contextlib.asynccontextmanager
async def running(
    kept: Kept,
    *,
    ports: Any,
    api: Callable[..., Any],
    openid: Callable[..., OpenId],
    gateway: Callable[..., Any],
    fault: Callable[[int], Fault],
    count: int = 1,
    workers: int = 1,
    grace: str = "30s",
    people: Mapping[str, Mapping[str, Any]] = KNOWN,
    store_timeout: str = "250ms",
    fetch_timeout: str = "2s",
    **options: Any,
) -> AsyncIterator[Nodes]:
    """Starts everything; `options` are the provider's."""
    admins = [name for name, person in people.items() if "admins" in person["groups"]]
    http = [ports.take() for _ in range(count)]
    origins = [f"http://app.example.com:{port}" for port in http]
    provider = openid(
        client(
            "app",
            *(f"{origin}/@op/callback" for origin in origins),
            post_logout_redirect_uris=[f"{origin}/@/signedout" for origin in origins],
        ),
        people=people,
        **options,
    )
    target = await api(https=True)
    start = functools.partial(gateway, env={"VESTIBULE_SESSION_KEY": SESSION_KEY})
    async with Watched(ports.take(), RING, admins=admins) as app:
        nodes = []
        for port in http:
            network, call_port = Faults(*map(fault, kept.ports)), ports.take()
            text = CONFIGURATION
            for name, value in {
                "ISSUER": provider.issuer,
                "BACKEND": app.port,
                "CALL": call_port,
                "API": target.port,
                "STORE": kept.block(*(one.port for one in network.each)),
                "TIMEOUT": store_timeout,
                "FETCH": fetch_timeout,
                "GRACE": grace,
                "WORKERS": f"workers = {workers}" if workers > 1 else "",
            }.items():
                text = text.replace(name, str(value))
            running = start(text, port=port)
            nodes.append(Node(running, provider, app, target, call_port, network))  # type: ignore[arg-type] # an app of another kind
        yield Nodes(nodes, provider, app, target)


def handle_of(browser: Browser) -> str:
    """The session handle that this browser has."""
    name = f"vestibule-{browser.house.gateway.port}"
    [handle] = [cookie.value for cookie in browser.session.cookie_jar if cookie.key == name]
    return handle
