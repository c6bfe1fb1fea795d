"""Signing in by SAML through the whole gateway with the real SimpleSAMLphp, which was told of us by our metadata."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.ports import Ports
from tests.real.gateway import Gateway
from tests.real.realm_saml import Pair, Person, new_pair
from tests.real.simplesaml import SimpleSaml, Somebody, told
from tests.real.visitor import new_visitor

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]

HCL = """
gateway {
  http = ["127.0.0.1:{port}"]
}

provider "corp" {
  type          = "saml"
  metadata_url  = "METADATA"
  email_domains = ["example.com"]
  MORE
}

host "localhost" {
  backend = "internal:echo"
  sign_in = ["corp"]
  access {
    allow = ["anyone"]
  }
}

host "app.localhost" {
  backend = "internal:echo"
  sign_in = ["corp"]
  access {
    allow = ["anyone"]
  }
  route "/berlin/" {
    access {
      allow = ["group:berlin"]
    }
  }
}
"""


class Stage:
    """A gateway, and the provider that knows both of its sites."""

    def __init__(self, gateway: Gateway, provider: SimpleSaml, people: contextlib.AsyncExitStack) -> None:
        self.gateway = gateway
        self.provider = provider
        self.base = f"http://app.localhost:{gateway.port}"
        self.plain = f"http://localhost:{gateway.port}"
        self._people = people

    async def person(self) -> Somebody:
        """Somebody with a new browser."""
        return Somebody(self.base, await self._people.enter_async_context(new_visitor(is_exact=True)))

    async def refusals(self, code: str) -> None:
        """Returns once the log has a refusal by this code."""
        await asyncio.to_thread(self.gateway.process.wait_log, f'"code":"{code}"')


Begin = Callable[..., Any]


@pytest.fixture
async def begin(
    gateway: Callable[..., Gateway], ports: Ports, servers: contextlib.ExitStack, tmp_path: Path
) -> AsyncIterator[Begin]:
    """Starts them: `await begin(pair, 'binding = "post"', assertion__encryption=True)`."""
    async with contextlib.AsyncExitStack() as people:

        async def start(pair: Pair | None = None, more: str = "", **settings: object) -> Stage:
            provider = SimpleSaml(ports.take(), tmp_path / "simplesamlphp")
            servers.callback(provider.stop)
            provider.change(**settings)
            provider.wait()
            if pair is not None:
                (tmp_path / "saml.key").write_text(pair.key, "ascii")
                (tmp_path / "saml.pem").write_text(pair.certificate, "ascii")
                more += f'\nprivate_key = "${{file("{tmp_path}/saml.key")}}"'
                more += f'\ncertificate = "${{file("{tmp_path}/saml.pem")}}"'
            text = HCL.replace("METADATA", provider.metadata_url).replace("MORE", more)
            stage = Stage(await asyncio.to_thread(gateway, text), provider, people)
            urls = [f"{base}/@corp/metadata" for base in (stage.base, stage.plain)]
            await asyncio.to_thread(provider.register, *urls)
            return stage

        yield start


def inner(pair: Pair) -> str:
    """The certificate as metadata have it."""
    return "".join(pair.certificate.split("\n")[1:-2])


def signatures(person: Person) -> int:
    """How many there are in the last answer."""
    return base64.b64decode(person.sent[-1].fields["SAMLResponse"]).count(b"<ds:Signature ")


async def test_a_person_signs_in_and_the_app_hears_who_they_are(begin: Begin) -> None:
    stage = await begin()
    alice, bob = await stage.person(), await stage.person()
    page = await alice.sign_in(path="/@corp/signin?rd=/deep")
    assert page.url.path == "/deep"
    fields = told(page)
    assert fields["user-email"] == "alice@example.com"
    assert signatures(alice) == 1
    assert (await alice.get("/berlin/")).status == 200
    again = await stage.person()
    assert told(await again.sign_in())["user-id"] == fields["user-id"]
    assert told(await bob.sign_in("bob"))["user-id"] != fields["user-id"]
    assert (await bob.get("/berlin/")).status == 403


@pytest.mark.parametrize("others", [True, False], ids=["both", "assertion"])
async def test_assertions_are_signed_where_our_metadata_ask_for_it(begin: Begin, *, others: bool) -> None:
    stage = await begin(None, "require_signed_assertion = true", saml20__sign__response=others)
    alice = await stage.person()
    assert told(await alice.sign_in())["user-email"] == "alice@example.com"
    assert signatures(alice) == 1 + others


async def test_an_answer_that_nobody_signed_is_refused(begin: Begin) -> None:
    stage = await begin(None, "", saml20__sign__assertion=False, saml20__sign__response=False)
    alice = await stage.person()
    assert (await alice.sign_in()).status == 502
    await stage.refusals("saml_unsigned")
    assert await alice.who() is None


async def test_signed_requests_and_encrypted_answers(begin: Begin) -> None:
    more = "require_encryption = true\nrequire_signed_assertion = true"
    stage = await begin(new_pair(), more, assertion__encryption=True)
    alice = await stage.person()
    assert told(await alice.sign_in())["user-email"] == "alice@example.com"
    xml = base64.b64decode(alice.sent[-1].fields["SAMLResponse"])
    assert b"EncryptedAssertion" in xml
    assert b"alice@example.com" not in xml


async def test_it_does_look_at_who_signed_a_request(begin: Begin) -> None:
    """So that those it took in the other tests were good."""
    ours, other = new_pair(), new_pair()
    stage = await begin(ours)
    stage.provider.change_services(inner(ours), inner(other))
    alice = await stage.person()
    page = await alice.sign_in()
    assert page.url.port == stage.provider.port
    assert "Unable to validate signature" in page.text
    assert await alice.who() is None


async def test_requests_by_form_are_signed(begin: Begin) -> None:
    post = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
    stage = await begin(new_pair(), 'binding = "post"', SingleSignOnServiceBinding=[post])
    alice = await stage.person()
    assert told(await alice.sign_in())["user-email"] == "alice@example.com"
    request, answer = alice.sent
    assert request.action.startswith(stage.provider.url)
    assert answer.action == f"{stage.base}/@corp/callback"


async def test_who_signs_out_here_is_out_there_and_comes_back(begin: Begin) -> None:
    stage = await begin(new_pair(), "", validate__logout=True, sign__logout=True)
    alice = await stage.person()
    await alice.sign_in()
    page = await alice.get("/@/signout")
    assert (page.status, page.url.path) == (200, "/@/signedout"), page.text
    assert await alice.who() is None
    assert 'name="password"' in (await alice.get("/@corp/signin")).text


async def test_who_signs_out_of_one_service_is_led_through_the_others(begin: Begin) -> None:
    """Each site of the gateway is a service of its own there, by its own metadata."""
    stage = await begin(new_pair(), "", validate__logout=True, sign__logout=True)
    alice = await stage.person()
    await alice.sign_in()
    assert told(await alice.get(f"{stage.plain}/@corp/signin"))["user-email"] == "alice@example.com"
    other = Person(stage.plain, alice.visitor)
    assert await other.who() is not None
    page = await alice.get("/@/signout")
    assert (page.status, page.url.path) == (200, "/@/signedout"), page.text
    assert await alice.who() is None
    assert await other.who() is None


async def test_who_signs_out_there_is_out_of_all_that_it_knows(begin: Begin) -> None:
    stage = await begin(new_pair(), "", validate__logout=True, sign__logout=True)
    alice, bob = await stage.person(), await stage.person()
    await alice.sign_in()
    await bob.sign_in("bob")
    await alice.get(f"{stage.plain}/@corp/signin")
    other = Person(stage.plain, alice.visitor)
    assert await other.who() is not None
    end = f"{stage.provider.url}/saml2/idp/initSLO.php?RelayState=/resources/default.css"
    page = await alice.get(end)
    assert page.status == 200, page.text
    assert page.url.port == stage.provider.port
    assert await alice.who() is None
    assert await other.who() is None
    assert await bob.who() is not None


async def test_a_new_key_of_theirs_needs_nobody_here(begin: Begin) -> None:
    stage = await begin()
    alice, bob = await stage.person(), await stage.person()
    await alice.sign_in()
    stage.provider.change_key()
    assert told(await bob.sign_in("bob"))["user-email"] == "bob@example.com"


async def test_an_answer_that_nobody_asked_for_leads_to_a_sign_in_that_begins_here(begin: Begin) -> None:
    stage = await begin(None, 'idp_initiated = ["/deep"]')
    alice, mallory = await stage.person(), await stage.person()
    link = f"{stage.provider.url}/saml2/idp/SSOService.php?spentityid={stage.base}/@corp/metadata&RelayState="
    page = await alice.filled(await alice.get(f"{link}/deep"))
    assert told(page)["user-email"] == "alice@example.com"
    assert page.url.path == "/deep"
    assert len(alice.sent) == 2
    page = await mallory.filled(await mallory.get(f"{link}/elsewhere"), "bob")
    assert page.status == 502
    await stage.refusals("saml_unsolicited")
    assert await mallory.who() is None
