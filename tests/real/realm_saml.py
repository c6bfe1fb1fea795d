"""A realm of Keycloak that speaks SAML to one client of ours, which it learnt from our own metadata; and its people."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import Any, Final

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from yarl import URL

from tests.real.keycloak import Realm
from tests.real.visitor import new_visitor

NAVIGATION: Final = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none"}
ATTRIBUTES: Final = {"groups": "member", "roles": "Role"}
_PROPERTIES: Final = {
    "username": "username",
    "email": "urn:oid:1.2.840.113549.1.9.1",
    "firstName": "urn:oid:2.5.4.42",
    "lastName": "urn:oid:2.5.4.4",
}


@dataclass(frozen=True)
class Pair:
    """A key with a certificate of its own, as PEM."""

    key: str
    certificate: str


def new_pair(*, curve: bool = False) -> Pair:
    """A pair as an operator makes it."""
    key = ec.generate_private_key(ec.SECP256R1()) if curve else rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vestibule")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=365))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode())


def descriptor_url(realm: Realm) -> str:
    """Where the realm publishes its metadata."""
    return f"{realm.issuer}/protocol/saml/descriptor"


def register(realm: Realm, metadata_url: str, *, by_browser: bool = True, **attributes: str) -> None:
    """Has the realm know the client whose metadata stand there, as its admin imports them.

    `by_browser`: it is told of logouts so, and by the realm itself else. `attributes`: settings of the client that metadata don't say, dots in their names as `__`.
    """
    parts = URL(metadata_url)
    asked = urllib.request.Request(str(parts.with_host("127.0.0.1")), headers={"Host": parts.authority})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        xml = answer.read()
    client: dict[str, Any] = realm.server.read_description(realm.name, xml)
    settings = {name.replace("__", "."): value for name, value in attributes.items()}
    client |= {
        "defaultClientScopes": [],
        "protocolMappers": _mappers(),
        "frontchannelLogout": by_browser,
        "attributes": {**_defaults(xml), **client.get("attributes", {}), **settings},
    }
    realm.server.ask("POST", f"/admin/realms/{realm.name}/clients", client)


def _defaults(xml: bytes) -> Mapping[str, str]:
    """What the import leaves to the admin: what is signed."""
    is_signed = b'AuthnRequestsSigned="true"' in xml
    return {"saml.client.signature": str(is_signed).lower(), "saml.assertion.signature": "true"}


def _mappers() -> list[Mapping[str, Any]]:
    properties = [
        _mapper(name, "saml-user-property-mapper", {"user.attribute": name, "attribute.name": attribute})
        for name, attribute in _PROPERTIES.items()
    ]
    groups = {"attribute.name": ATTRIBUTES["groups"], "single": "true", "full.path": "true"}
    roles = {"attribute.name": ATTRIBUTES["roles"], "single": "true"}
    return [
        *properties,
        _mapper("groups", "saml-group-membership-mapper", groups),
        _mapper("roles", "saml-role-list-mapper", roles),
    ]


def _mapper(name: str, kind: str, config: Mapping[str, str]) -> Mapping[str, Any]:
    basic = {"attribute.nameformat": "Basic", **config}
    return {"name": name, "protocol": "saml", "protocolMapper": kind, "config": basic}


@dataclass(frozen=True)
class Form:
    """A form as a page has it."""

    action: str
    fields: Mapping[str, str]


def form_in(page: str) -> Form:
    """The page's one form."""
    found = re.search(r'<form[^>]*\baction="([^"]+)"', page, re.IGNORECASE)
    assert found, page
    fields = {}
    for tag in re.findall(r"<input[^>]*>", page, re.IGNORECASE):
        name, value = (re.search(rf'\b{key}="([^"]*)"', tag, re.IGNORECASE) for key in ("name", "value"))
        if name and 'type="hidden"' in tag.lower():
            fields[name[1]] = unescape(value[1]) if value else ""
    return Form(unescape(found[1]), fields)


@dataclass(frozen=True)
class Page:
    """What a browser shows in the end."""

    status: int
    url: URL
    text: str


class Person:
    """Somebody with a browser of their own, whose scripts send forms on."""

    def __init__(self, base: str, visitor: aiohttp.ClientSession) -> None:
        self.base = base
        self.visitor = visitor
        self.sent: list[Form] = []
        """The messages that went by form."""

    async def get(self, target: str) -> Page:
        """A navigation, followed to its end."""
        url = URL(self.base).join(URL(target, encoded=True))
        async with self.visitor.get(url, headers=NAVIGATION) as answer:
            return await self._on(Page(answer.status, answer.url, await answer.text()))

    async def post(self, form: Form, **changed: str) -> Page:
        """The form, sent by the page that has it."""
        url = URL(form.action, encoded=True)
        headers = {**NAVIGATION, "Sec-Fetch-Site": "cross-site"}
        async with self.visitor.post(url, data={**form.fields, **changed}, headers=headers) as answer:
            return await self._on(Page(answer.status, answer.url, await answer.text()))

    async def _on(self, page: Page) -> Page:
        """What comes of a page that sends a message on by itself."""
        if page.status == 200 and ("SAMLRequest" in page.text or "SAMLResponse" in page.text):
            form = form_in(page.text)
            if {"SAMLRequest", "SAMLResponse"} & form.fields.keys():
                self.sent.append(form)
                return await self.post(form)
        return page

    async def sign_in(self, login: str = "alice", path: str = "/@kc/signin?rd=/") -> Page:
        """Through Keycloak's own form, unless it knows them already; where the person ends."""
        page = await self.get(path)
        if 'name="password"' not in page.text:
            return page
        form = form_in(page.text)
        return await self.post(Form(form.action, {}), username=login, password=login)

    async def who(self) -> dict[str, Any] | None:
        """What `/@/session` says; None when nobody is signed in."""
        async with self.visitor.get(f"{self.base}/@/session") as answer:
            return None if answer.status == 401 else dict(await answer.json())


async def new_person(people: contextlib.AsyncExitStack, base: str, realm: Realm) -> Person:
    """Somebody with a new browser."""
    visitor = await people.enter_async_context(new_visitor(secure=realm.server.url, is_exact=True))
    return Person(base, visitor)
