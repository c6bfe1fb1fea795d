"""The request that sends a person to their provider: AuthnRequest (saml-core section 3.4.1, saml-profiles 4.1.4.1)."""

from __future__ import annotations

import msgspec
from lxml import etree

from vestibule.protocol.saml import NAME_MAX_CHARS, POST
from vestibule.protocol.saml_xml import ASSERTION, PROTOCOL, name, time_text


class AuthnRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the provider."""

    id: str
    issued_at: float
    entity_id: str
    """Ours."""
    destination: str
    """Where it is sent."""
    acs_url: str
    """Where the response is to go."""
    name_id_format: str = ""
    """Empty: as the provider likes."""
    force_authn: bool = False
    """The person signs in there anew, whoever is signed in."""
    is_passive: bool = False
    """The provider shows nothing; who isn't signed in there comes back with an error."""
    authn_contexts: tuple[str, ...] = ()
    """How the person must have signed in; empty: anyhow."""
    comparison: str = "exact"
    """To these: `exact`, `minimum`, `better`, `maximum`."""
    login_hint: str = ""
    """Whom the provider may take it to be; left out where it is no name."""


def authn_request(request: AuthnRequest) -> bytes:
    """The request's XML, not signed: the binding does that."""
    root = etree.Element(
        name(PROTOCOL, "AuthnRequest"),
        {
            "ID": request.id,
            "Version": "2.0",
            "IssueInstant": time_text(request.issued_at),
            "Destination": request.destination,
            "ProtocolBinding": POST,
            "AssertionConsumerServiceURL": request.acs_url,
        },
        nsmap={"samlp": PROTOCOL, "saml": ASSERTION},
    )
    if request.force_authn:
        root.set("ForceAuthn", "true")
    if request.is_passive:
        root.set("IsPassive", "true")
    etree.SubElement(root, name(ASSERTION, "Issuer")).text = request.entity_id
    hint = request.login_hint.strip()
    if hint and len(hint) <= NAME_MAX_CHARS and hint.isprintable():
        subject = etree.SubElement(root, name(ASSERTION, "Subject"))
        etree.SubElement(subject, name(ASSERTION, "NameID")).text = hint
    policy = etree.SubElement(root, name(PROTOCOL, "NameIDPolicy"), {"AllowCreate": "true"})
    if request.name_id_format:
        policy.set("Format", request.name_id_format)
    if request.authn_contexts:
        asked = etree.SubElement(
            root, name(PROTOCOL, "RequestedAuthnContext"), {"Comparison": request.comparison}
        )
        for context in request.authn_contexts:
            etree.SubElement(asked, name(ASSERTION, "AuthnContextClassRef")).text = context
    return etree.tostring(root, encoding="utf-8", xml_declaration=False)
