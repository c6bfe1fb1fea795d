"""Metadata: what a provider says of itself, and what this service says (saml-metadata)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from lxml import etree

from vestibule.protocol import saml_signature, saml_xml
from vestibule.protocol.oidc import is_safe_url
from vestibule.protocol.saml import (
    METADATA_MAX_BYTES,
    POST,
    REDIRECT,
    Endpoint,
    certificate_of,
    refused,
)
from vestibule.protocol.saml_xml import (
    DS,
    METADATA,
    PROTOCOL,
    XENC,
    XENC11,
    Element,
    attribute,
    children,
    name,
)

ENTITIES_DEPTH_MAX: Final = 8
_BINDINGS: Final = frozenset({REDIRECT, POST})
_TRUE: Final = frozenset({"true", "1"})


class IdentityProvider(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider's metadata say, as far as it is used."""

    entity_id: str
    certificates: tuple[bytes, ...]
    """That it signs with, DER; never empty: several while keys roll over."""
    sign_in: tuple[Endpoint, ...]
    """Never empty, by Redirect or POST."""
    logout: tuple[Endpoint, ...] = ()
    name_id_formats: tuple[str, ...] = ()
    wants_signed_requests: bool = False
    valid_until: float = 0.0
    """Seconds since 1970; 0: it names no end."""
    cache_s: float = 0.0
    """How long they may be kept before they are fetched anew; 0: it doesn't say."""

    def sign_in_url(self, binding: str) -> str:
        """Where requests of this binding go; empty where it takes none."""
        return next((one.url for one in self.sign_in if one.binding == binding), "")

    def logout_at(self, binding: str) -> Endpoint | None:
        """Where it takes logout messages of this binding."""
        return next((one for one in self.logout if one.binding == binding), None)


def identity_provider(
    xml: bytes, *, entity_id: str = "", now: float, plain: bool = False, signed_by: tuple[bytes, ...] = ()
) -> IdentityProvider:
    """What the metadata say of this provider; `entity_id` may be empty where they are about one alone.

    `plain`: http URLs will do. `signed_by`: certificates (DER), one of which must have signed the document.
    Raises ProviderInvalid `saml_metadata…`, or what reading and checking XML raise.
    """
    root = saml_xml.parse(xml, max_bytes=METADATA_MAX_BYTES, drops_comments=True)
    if signed_by:
        digested = saml_signature.signed_bytes(root, signed_by)
        root = saml_xml.parse(digested, max_bytes=METADATA_MAX_BYTES)
    found = [
        (entity, role, until)
        for entity, until in _entities(root, 0.0, 0)
        for role in children(entity, METADATA, "IDPSSODescriptor")
        if PROTOCOL in attribute(role, "protocolSupportEnumeration").split()
        and (not entity_id or attribute(entity, "entityID") == entity_id)
    ]
    if not found:
        raise refused("saml_metadata_entity" if entity_id else "saml_metadata")
    if len(found) > 1:
        raise refused("saml_metadata_entity", f"they are about {len(found)} providers")
    entity, role, until = found[0]
    until = _earlier(until, _until(role))
    if until and now >= until:
        raise refused("saml_metadata_expired")
    sign_in = tuple(_endpoints(role, "SingleSignOnService", plain=plain))
    if not sign_in or not attribute(entity, "entityID"):
        raise refused("saml_metadata_url" if attribute(entity, "entityID") else "saml_metadata")
    durations = (attribute(one, "cacheDuration") for one in (root, entity, role))
    return IdentityProvider(
        entity_id=attribute(entity, "entityID"),
        certificates=_certificates(role),
        sign_in=sign_in,
        logout=tuple(_endpoints(role, "SingleLogoutService", plain=plain)),
        name_id_formats=tuple(saml_xml.uri(one) for one in children(role, METADATA, "NameIDFormat")),
        wants_signed_requests=attribute(role, "WantAuthnRequestsSigned") in _TRUE,
        valid_until=until,
        cache_s=min((s for s in map(saml_xml.duration_s, durations) if s), default=0.0),
    )


def _entities(root: Element, until: float, depth: int) -> Iterator[tuple[Element, float]]:
    """Each entity with the time until which it holds. Spec: saml-metadata sections 2.3.1, 2.3.2."""
    until = _earlier(until, _until(root))
    if root.tag == name(METADATA, "EntityDescriptor"):
        yield root, until
    elif root.tag == name(METADATA, "EntitiesDescriptor") and depth < ENTITIES_DEPTH_MAX:
        for child in root:
            yield from _entities(child, until, depth + 1)


def _until(element: Element) -> float:
    written = attribute(element, "validUntil")
    return saml_xml.time_of(written) if written else 0.0


def _earlier(one: float, other: float) -> float:
    return min(one, other) if one and other else one or other


def _endpoints(role: Element, local: str, *, plain: bool) -> Iterator[Endpoint]:
    """Threat: `javascript:` as the place to send a browser or a form to (CVE-2023-45683)."""
    for one in children(role, METADATA, local):
        binding = attribute(one, "Binding")
        if binding not in _BINDINGS:
            continue
        endpoint = Endpoint(binding, attribute(one, "Location"), attribute(one, "ResponseLocation"))
        for url in (endpoint.url, endpoint.response_url or endpoint.url):
            if not is_safe_url(url, plain=plain) or "#" in url:
                raise refused("saml_metadata_url", local)
        yield endpoint


def _certificates(role: Element) -> tuple[bytes, ...]:
    """Those it signs with; the first of each chain, which is the signer's own (XML Signature 1.1 section 4.5.4)."""
    found: list[bytes] = []
    for described in children(role, METADATA, "KeyDescriptor"):
        if attribute(described, "use") not in {"", "signing"}:
            continue
        for data in described.iterfind(f"{name(DS, 'KeyInfo')}/{name(DS, 'X509Data')}"):
            for certificate in children(data, DS, "X509Certificate")[:1]:
                try:
                    der = certificate_of(saml_xml.text(certificate))
                except ValueError:
                    continue
                if der not in found:
                    found.append(der)
    if not found:
        raise refused("saml_metadata_keys")
    return tuple(found)


class ServiceProvider(msgspec.Struct, frozen=True, kw_only=True):
    """What this service says of itself."""

    entity_id: str
    acs_url: str
    logout_url: str = ""
    """Empty: it takes no logout messages."""
    signing: tuple[bytes, ...] = ()
    """Certificates, DER; several while keys roll over."""
    encryption: tuple[bytes, ...] = ()
    name_id_format: str = ""
    signs_requests: bool = False
    wants_signed_assertions: bool = False


def service_provider(service: ServiceProvider) -> bytes:
    """The metadata's XML, of type `application/samlmetadata+xml`. Spec: saml-metadata section 2.4.4."""
    root = etree.Element(
        name(METADATA, "EntityDescriptor"), {"entityID": service.entity_id}, nsmap={"md": METADATA, "ds": DS}
    )
    role = etree.SubElement(
        root,
        name(METADATA, "SPSSODescriptor"),
        {
            "AuthnRequestsSigned": _boolean(service.signs_requests),
            "WantAssertionsSigned": _boolean(service.wants_signed_assertions),
            "protocolSupportEnumeration": PROTOCOL,
        },
    )
    _describe_keys(role, "signing", service.signing)
    _describe_keys(role, "encryption", service.encryption)
    if service.logout_url:
        for binding in (REDIRECT, POST):
            etree.SubElement(
                role,
                name(METADATA, "SingleLogoutService"),
                {"Binding": binding, "Location": service.logout_url},
            )
    if service.name_id_format:
        etree.SubElement(role, name(METADATA, "NameIDFormat")).text = service.name_id_format
    etree.SubElement(
        role,
        name(METADATA, "AssertionConsumerService"),
        {"Binding": POST, "Location": service.acs_url, "index": "0", "isDefault": "true"},
    )
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)


def _boolean(value: bool) -> str:  # noqa: FBT001 - a value to be written, no switch
    return "true" if value else "false"


def _describe_keys(role: Element, use: str, certificates: Sequence[bytes]) -> None:
    for der in certificates:
        described = etree.SubElement(role, name(METADATA, "KeyDescriptor"), {"use": use})
        data = etree.SubElement(etree.SubElement(described, name(DS, "KeyInfo")), name(DS, "X509Data"))
        etree.SubElement(data, name(DS, "X509Certificate")).text = b64encode(der).decode("ascii")
        if use == "encryption":
            for algorithm in (f"{XENC11}aes256-gcm", f"{XENC11}aes128-gcm", f"{XENC}rsa-oaep-mgf1p"):
                etree.SubElement(described, name(METADATA, "EncryptionMethod"), {"Algorithm": algorithm})
