"""Single logout, by either side, always signed (saml-core section 3.7, saml-profiles section 4.4).

Anybody can send a browser here: a message without a signature ends nobody's session (GHSA-pcgw and its family).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from lxml import etree

from vestibule.protocol import saml_binding, saml_signature, saml_xml
from vestibule.protocol.saml import MAX_AGE_S, MESSAGE_MAX_BYTES, SKEW_S, NameId, Signer, refused
from vestibule.protocol.saml_binding import Redirected
from vestibule.protocol.saml_response import decrypted_name_id, mark_of, name_id_of
from vestibule.protocol.saml_xml import (
    ASSERTION,
    DS,
    PROTOCOL,
    Element,
    attribute,
    children,
    name,
    needed,
    only,
)

_STATUS: Final = "urn:oasis:names:tc:SAML:2.0:status:"
_NAMESPACES: Final[Mapping[str, str]] = {"samlp": PROTOCOL, "saml": ASSERTION}
_REQUEST_PARTS: Final = {
    (ASSERTION, "Issuer"),
    (DS, "Signature"),
    (PROTOCOL, "Extensions"),
    (ASSERTION, "NameID"),
    (ASSERTION, "EncryptedID"),
    (PROTOCOL, "SessionIndex"),
}
_RESPONSE_PARTS: Final = {
    (ASSERTION, "Issuer"),
    (DS, "Signature"),
    (PROTOCOL, "Extensions"),
    (PROTOCOL, "Status"),
}


class LogoutRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Whose session is to end."""

    id: str
    issued_at: float
    issuer: str
    destination: str
    name_id: NameId
    session_indexes: tuple[str, ...] = ()
    """Empty: all of theirs."""
    until: float = 0.0
    """From then on it is believed no more; 0: it doesn't say."""

    @property
    def mark(self) -> bytes:
        """What is the same of this request however often it comes, and of no other."""
        return mark_of(self.issuer, self.id)

    @property
    def kept_until(self) -> float:
        """So long its mark must be kept."""
        ends = self.issued_at + MAX_AGE_S
        return (min(ends, self.until) if self.until else ends) + SKEW_S


class LogoutAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a request."""

    id: str
    in_response_to: str
    success: bool
    status: str
    """The last word of the innermost status code: `Success`, `PartialLogout` …"""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a message is held against."""

    issuer: str
    """The provider's entity ID."""
    destination: str
    """Our address for logout messages."""
    certificates: tuple[bytes, ...]
    now: float
    decryption: tuple[Signer, ...] = ()


def logout_request(request: LogoutRequest) -> bytes:
    """The request's XML; the binding signs it, and must."""
    root = _root("LogoutRequest", request.id, request.issued_at, request.destination)
    if request.until:
        root.set("NotOnOrAfter", saml_xml.time_text(request.until))
    etree.SubElement(root, name(ASSERTION, "Issuer")).text = request.issuer
    named = etree.SubElement(root, name(ASSERTION, "NameID"))
    named.text = request.name_id.value
    for key, value in (
        ("Format", request.name_id.format),
        ("NameQualifier", request.name_id.name_qualifier),
        ("SPNameQualifier", request.name_id.sp_name_qualifier),
    ):
        if value:
            named.set(key, value)
    for index in request.session_indexes:
        etree.SubElement(root, name(PROTOCOL, "SessionIndex")).text = index
    return etree.tostring(root, encoding="utf-8", xml_declaration=False)


def logout_response(
    *,
    id: str,  # noqa: A002 - as the attribute is called
    issued_at: float,
    issuer: str,
    destination: str,
    in_response_to: str,
    success: bool = True,
) -> bytes:
    """The answer's XML; the binding signs it, and must."""
    root = _root("LogoutResponse", id, issued_at, destination)
    root.set("InResponseTo", in_response_to)
    etree.SubElement(root, name(ASSERTION, "Issuer")).text = issuer
    status = etree.SubElement(root, name(PROTOCOL, "Status"))
    code = "Success" if success else "Responder"
    etree.SubElement(status, name(PROTOCOL, "StatusCode"), {"Value": f"{_STATUS}{code}"})
    return etree.tostring(root, encoding="utf-8", xml_declaration=False)


def _root(local: str, own: str, issued_at: float, destination: str) -> Element:
    return etree.Element(
        name(PROTOCOL, local),
        {
            "ID": own,
            "Version": "2.0",
            "IssueInstant": saml_xml.time_text(issued_at),
            "Destination": destination,
        },
        nsmap=dict(_NAMESPACES),
    )


def read_request(message: Redirected | bytes, expected: Expected) -> LogoutRequest:
    """Whose session the provider wants to end; `message` is a redirect's query or the XML of a form.

    Raises ProviderInvalid by a code of `saml.CODES`. Not checked: that it comes for the first time (`mark`).
    """
    root = _believed(message, expected, "LogoutRequest", "SAMLRequest")
    if any(pair not in _REQUEST_PARTS for pair in saml_xml.elements(root)):
        raise refused("saml_shape")
    written = attribute(root, "NotOnOrAfter")
    until = saml_xml.time_of(written) if written else 0.0
    if until and expected.now - SKEW_S >= until:
        raise refused("saml_expired")
    encrypted = only(root, ASSERTION, "EncryptedID")
    if encrypted is not None and only(root, ASSERTION, "NameID") is not None:
        raise refused("saml_shape")
    named = (
        decrypted_name_id(encrypted, expected.decryption)
        if encrypted is not None
        else needed(root, ASSERTION, "NameID")
    )
    return LogoutRequest(
        id=attribute(root, "ID"),
        issued_at=saml_xml.time_of(attribute(root, "IssueInstant")),
        issuer=expected.issuer,
        destination=expected.destination,
        name_id=name_id_of(named),
        session_indexes=tuple(saml_xml.text(one) for one in children(root, PROTOCOL, "SessionIndex")),
        until=until,
    )


def read_response(message: Redirected | bytes, expected: Expected, *, request_id: str) -> LogoutAnswer:
    """What the provider says of this request of ours. Raises ProviderInvalid by a code of `saml.CODES`."""
    root = _believed(message, expected, "LogoutResponse", "SAMLResponse")
    if any(pair not in _RESPONSE_PARTS for pair in saml_xml.elements(root)):
        raise refused("saml_shape")
    if not request_id or attribute(root, "InResponseTo") != request_id:
        raise refused("saml_in_response_to")
    code = needed(needed(root, PROTOCOL, "Status"), PROTOCOL, "StatusCode")
    inner = only(code, PROTOCOL, "StatusCode")
    said = attribute(inner if inner is not None else code, "Value").removeprefix(_STATUS)
    return LogoutAnswer(
        id=attribute(root, "ID"),
        in_response_to=request_id,
        success=attribute(code, "Value") == f"{_STATUS}Success" and inner is None,
        status=said if said.isascii() and said.isalnum() else "",
    )


def _believed(message: Redirected | bytes, expected: Expected, local: str, kind: str) -> Element:
    """The message's root: of the octets that were signed, and nothing else."""
    if isinstance(message, Redirected):
        if message.kind != kind:
            raise refused("saml_shape", "it came as a message of another kind")
        saml_binding.check_query(message, expected.certificates)
        root = saml_xml.parse(message.xml, max_bytes=MESSAGE_MAX_BYTES)
        # saml-bindings section 3.4.4.1: a message in a URL carries no signature of its own
        if next(root.iter(saml_signature.SIGNATURE), None) is not None:
            raise refused("saml_shape", "a signature stands where none belongs")
    else:
        outer = saml_xml.parse(message, max_bytes=MESSAGE_MAX_BYTES)
        if len(list(outer.iter(saml_signature.SIGNATURE))) > 1:
            raise refused("saml_shape", "a signature stands where none belongs")
        digested = saml_signature.signed_bytes(outer, expected.certificates)
        root = saml_xml.parse(digested, max_bytes=MESSAGE_MAX_BYTES)
    if root.tag != name(PROTOCOL, local) or not attribute(root, "ID"):
        raise refused("saml_shape", f"it is no {local}")
    if attribute(root, "Version") != "2.0":
        raise refused("saml_version")
    if saml_xml.uri(needed(root, ASSERTION, "Issuer")) != expected.issuer:
        raise refused("saml_issuer")
    if attribute(root, "Destination") != expected.destination:
        raise refused("saml_destination")
    issued = saml_xml.time_of(attribute(root, "IssueInstant"))
    if not expected.now - MAX_AGE_S <= issued <= expected.now + SKEW_S:
        raise refused("saml_issued")
    return root
