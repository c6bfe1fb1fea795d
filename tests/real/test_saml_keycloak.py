"""Signing in by SAML through the whole gateway with the real Keycloak, which was told of us by our metadata."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.keycloak import Keycloak, Realm
from tests.real.realm_saml import Page, Pair, Person, descriptor_url, new_pair, new_person, register

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("keycloak"), pytest.mark.timeout(360)]

HCL = """
gateway {
  http = ["127.0.0.1:{port}"]
}

provider "kc" {
  type          = "saml"
  metadata_url  = "METADATA"
  preset        = "keycloak"
  email_domains = ["example.com"]
  MORE
}

host "app.localhost" {
  backend = "internal:echo"
  sign_in = ["kc"]
  access {
    allow = ["anyone"]
  }
  route "/group/" {
    access {
      allow = ["group:/staff/berlin"]
    }
  }
  route "/role/" {
    access {
      allow = ["role:editor"]
    }
  }
}
"""


class Stage:
    """A gateway, and a realm in which it is a client."""

    def __init__(self, gateway: Gateway, realm: Realm, people: contextlib.AsyncExitStack) -> None:
        self.gateway = gateway
        self.realm = realm
        self.base = f"http://app.localhost:{gateway.port}"
        self._people = people

    async def person(self) -> Person:
        """Somebody with a new browser."""
        return await new_person(self._people, self.base, self.realm)


Begin = Callable[..., Any]


@pytest.fixture
async def begin(
    keycloak: Keycloak, gateway: Callable[..., Gateway], ports: Ports, tmp_path: Path
) -> AsyncIterator[Begin]:
    """Starts them: `await begin(pair, 'binding = "post"', saml__encrypt="true")`."""
    async with contextlib.AsyncExitStack() as people:

        async def start(pair: Pair | None = None, more: str = "", **attributes: str) -> Stage:
            realm = await asyncio.to_thread(keycloak.realm)
            if pair is not None:
                (tmp_path / "saml.key").write_text(pair.key, "ascii")
                (tmp_path / "saml.pem").write_text(pair.certificate, "ascii")
                more += f'\nprivate_key = "${{file("{tmp_path}/saml.key")}}"'
                more += f'\ncertificate = "${{file("{tmp_path}/saml.pem")}}"'
            text = HCL.replace("METADATA", descriptor_url(realm)).replace("MORE", more)
            stage = Stage(await asyncio.to_thread(gateway, text), realm, people)
            await asyncio.to_thread(register, realm, f"{stage.base}/@kc/metadata", **attributes)
            return stage

        yield start


def told(page: Page) -> dict[str, str]:
    """The header fields that the app got, by lower-case name."""
    assert page.status == 200, page.text
    return {name.lower(): value for name, value in json.loads(page.text)["headers"]}


async def test_a_person_signs_in_and_the_app_hears_who_they_are(begin: Begin) -> None:
    stage = await begin()
    alice = await stage.person()
    fields = told(await alice.sign_in("alice", "/@kc/signin?rd=/deep"))
    assert fields["user-email"] == "alice@example.com"
    session = await alice.who()
    assert session is not None
    assert session["user"]["email"] == "alice@example.com"
    assert (await alice.get("/group/")).status == 200
    assert (await alice.get("/role/")).status == 200
    bob = await stage.person()
    await bob.sign_in("bob")
    assert (await bob.get("/group/")).status == 403
    assert (await bob.get("/role/")).status == 403
