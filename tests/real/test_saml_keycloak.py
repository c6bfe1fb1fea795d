"""Signing in by SAML through the whole gateway with the real Keycloak, which was told of us by our metadata."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.keycloak import Keycloak, Realm
from tests.real.realm_saml import (
    Form,
    Page,
    Pair,
    Person,
    descriptor_url,
    form_in,
    new_pair,
    new_person,
    register,
)

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

host "localhost" {
  backend = "internal:echo"
  sign_in = ["kc"]
  access {
    allow = ["anyone"]
  }
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
        self.plain = f"http://localhost:{gateway.port}"
        """Another site of the gateway, which Keycloak finds by itself, too."""
        self._people = people

    async def person(self) -> Person:
        """Somebody with a new browser."""
        return await new_person(self._people, self.base, self.realm)

    async def refusals(self, code: str) -> None:
        """Returns once the log has a refusal by this code."""
        await asyncio.to_thread(self.gateway.process.wait_log, f'"code":"{code}"')


Begin = Callable[..., Any]


@pytest.fixture
async def begin(
    keycloak: Keycloak, gateway: Callable[..., Gateway], ports: Ports, tmp_path: Path
) -> AsyncIterator[Begin]:
    """Starts them: `await begin(pair, 'binding = "post"', saml__encrypt="true")`."""
    async with contextlib.AsyncExitStack() as people:

        async def start(
            pair: Pair | None = None, more: str = "", *, by_browser: bool = True, **attributes: str
        ) -> Stage:
            realm = await asyncio.to_thread(keycloak.realm)
            if pair is not None:
                (tmp_path / "saml.key").write_text(pair.key, "ascii")
                (tmp_path / "saml.pem").write_text(pair.certificate, "ascii")
                more += f'\nprivate_key = "${{file("{tmp_path}/saml.key")}}"'
                more += f'\ncertificate = "${{file("{tmp_path}/saml.pem")}}"'
            text = HCL.replace("METADATA", descriptor_url(realm)).replace("MORE", more)
            stage = Stage(await asyncio.to_thread(gateway, text), realm, people)
            for base in (stage.base, stage.plain):
                await asyncio.to_thread(
                    register, realm, f"{base}/@kc/metadata", by_browser=by_browser, **attributes
                )
            return stage

        yield start


def told(page: Page) -> dict[str, str]:
    """The header fields that the app got, by lower-case name."""
    assert page.status == 200, page.text
    return {name.lower(): value for name, value in json.loads(page.text)["headers"]}


async def state_of(person: Person) -> str:
    """The RelayState of a sign-in that somebody has just begun."""
    headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
    async with person.visitor.get(
        f"{person.base}/@kc/signin", headers=headers, allow_redirects=False
    ) as answer:
        return URL(answer.headers["Location"], encoded=True).query["RelayState"]


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


@pytest.mark.parametrize("curve", [False, True], ids=["RSA", "EC"])
async def test_requests_are_signed_and_go_by_form_where_that_is_asked_for(
    begin: Begin, *, curve: bool
) -> None:
    stage = await begin(new_pair(curve=curve), 'binding = "post"', saml__encrypt="false")
    alice = await stage.person()
    assert told(await alice.sign_in())["user-email"] == "alice@example.com"
    request, answer = alice.sent
    assert request.action.startswith(stage.realm.issuer)
    assert request.fields.keys() == {"SAMLRequest", "RelayState"}
    assert answer.action == f"{stage.base}/@kc/callback"


async def test_signed_by_redirect_and_encrypted(begin: Begin) -> None:
    stage = await begin(new_pair(), "require_encryption = true\nrequire_signed_assertion = true")
    alice = await stage.person()
    assert told(await alice.sign_in())["user-email"] == "alice@example.com"
    xml = base64.b64decode(alice.sent[-1].fields["SAMLResponse"])
    assert b"EncryptedAssertion" in xml
    assert b"alice@example.com" not in xml


async def test_what_is_not_encrypted_is_refused_where_it_must_be(begin: Begin) -> None:
    stage = await begin(new_pair(), "require_encryption = true", saml__encrypt="false")
    alice = await stage.person()
    page = await alice.sign_in()
    assert page.status == 502
    assert "saml" not in page.text.lower().replace("saml_", "")
    await stage.refusals("saml_plain")
    assert await alice.who() is None


async def test_who_signs_out_here_is_out_there_and_comes_back(begin: Begin) -> None:
    stage = await begin(new_pair())
    alice = await stage.person()
    await alice.sign_in()
    assert await asyncio.to_thread(stage.realm.sessions, "alice") == 1
    page = await alice.get("/@/signout")
    assert (page.status, page.url.path) == (200, "/@/signedout")
    assert await alice.who() is None
    assert await asyncio.to_thread(stage.realm.sessions, "alice") == 0
    assert 'name="password"' in (await alice.get("/@kc/signin")).text


async def test_who_signs_out_of_one_service_is_led_through_the_others(begin: Begin) -> None:
    """Each site of the gateway is a service of its own there, by its own metadata."""
    stage = await begin(new_pair())
    alice = await stage.person()
    await alice.sign_in()
    await alice.get(f"{stage.plain}/@kc/signin")
    other = Person(stage.plain, alice.visitor)
    assert await other.who() is not None
    page = await alice.get("/@/signout")
    assert (page.status, page.url.path) == (200, "/@/signedout"), page.text
    assert await alice.who() is None
    assert await other.who() is None


async def test_a_session_that_an_admin_ends_is_over_here(begin: Begin) -> None:
    stage = await begin(new_pair(), by_browser=False)
    alice, bob = await stage.person(), await stage.person()
    plain = Person(stage.plain, alice.visitor)
    await plain.sign_in()
    await bob.sign_in("bob")
    assert await plain.who() is not None
    await asyncio.to_thread(stage.realm.end_sessions, "alice")
    assert await plain.who() is None
    assert await bob.who() is not None


async def test_a_new_key_of_theirs_needs_nobody_here(begin: Begin) -> None:
    stage = await begin()
    alice, bob = await stage.person(), await stage.person()
    await alice.sign_in()
    await asyncio.to_thread(stage.realm.rotate_keys)
    assert told(await bob.sign_in("bob"))["user-email"] == "bob@example.com"


async def test_an_answer_that_nobody_asked_for_leads_to_a_sign_in_that_begins_here(begin: Begin) -> None:
    where = {"saml_idp_initiated_sso_url_name": "NAME", "saml_idp_initiated_sso_relay_state": "/deep"}
    stage = await begin(None, 'idp_initiated = ["/deep"]')
    client = await asyncio.to_thread(stage.realm.client, f"{stage.base}/@kc/metadata")
    client["attributes"] |= {**where, "saml_idp_initiated_sso_url_name": "corp"}
    await asyncio.to_thread(stage.realm.change_client, client)
    alice = await stage.person()
    page = await alice.get(f"{stage.realm.issuer}/protocol/saml/clients/corp")
    form = Form(form_in(page.text).action, {})
    page = await alice.post(form, username="alice", password="alice")
    assert told(page)["user-email"] == "alice@example.com"
    assert page.url.path == "/deep"
    first, second = alice.sent
    assert first.fields["RelayState"] == "/deep"
    assert second.fields["RelayState"] != "/deep"
    # The same answer, anywhere else: never listed, so refused.
    for state in ("/elsewhere", "https://evil.example/", ""):
        page = await alice.post(first, RelayState=state)
        assert page.status == 502
    await stage.refusals("saml_unsolicited")


async def test_an_answer_is_good_in_its_own_browser_once_and_as_it_was_signed(begin: Begin) -> None:
    stage = await begin()
    alice, mallory = await stage.person(), await stage.person()
    await alice.sign_in()
    answer = alice.sent[-1]
    assert (await mallory.post(answer)).status == 400
    await stage.refusals("flow_replayed")
    assert await mallory.who() is None
    # One of her own flow, with what somebody else's answer said.
    assert (await mallory.post(answer, RelayState=await state_of(mallory))).status == 502
    await stage.refusals("saml_in_response_to")
    xml = base64.b64decode(answer.fields["SAMLResponse"]).replace(b"alice@example.com", b"admin@example.com")
    altered = base64.b64encode(xml).decode()
    assert (
        await mallory.post(answer, RelayState=await state_of(mallory), SAMLResponse=altered)
    ).status == 502
    await stage.refusals("saml_signature")
    assert await mallory.who() is None


async def test_a_logout_that_nobody_signed_ends_nothing(begin: Begin) -> None:
    stage = await begin(new_pair(), saml__encrypt="false")
    alice = await stage.person()
    await alice.sign_in()
    form = Form(f"{stage.base}/@kc/logout", {"SAMLRequest": base64.b64encode(UNSIGNED).decode()})
    assert (await alice.post(form)).status == 502
    await stage.refusals("saml_unsigned")
    assert await alice.who() is not None


UNSIGNED = b"""<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0"
IssueInstant="2026-01-01T00:00:00Z"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">x</saml:Issuer>
<saml:NameID xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">alice</saml:NameID></samlp:LogoutRequest>"""
