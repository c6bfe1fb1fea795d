"""The answer to a sign-in by SAML, believed or refused (saml-core sections 2 and 3.3.3, saml-profiles 4.1.4).

Read in steps: 1. the document as it came, of which only the shape is looked at; 2. the signature of the response, from
where on only the octets that it was made of are read; 3. what the response says of itself; 4. the assertion, decrypted
where it is encrypted; 5. its signature, from where on only those octets are read; 6. its checks, in the order of one
table. Whether it was seen before is asked by whoever keeps the marks (`Assertion.mark`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from vestibule.errors import ProviderRefused
from vestibule.protocol import saml_encrypted, saml_signature, saml_xml
from vestibule.protocol.saml import (
    MAX_AGE_S,
    NAME_MAX_CHARS,
    RESPONSE_MAX_BYTES,
    SKEW_S,
    NameId,
    Signer,
    refused,
)
from vestibule.protocol.saml_xml import ASSERTION, DS, PROTOCOL, Element, attribute, children, needed, only

_SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
_STATUS: Final = "urn:oasis:names:tc:SAML:2.0:status:"
_BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
_RESPONSE_PARTS: Final = {
    (ASSERTION, "Issuer"),
    (DS, "Signature"),
    (PROTOCOL, "Status"),
    (ASSERTION, "Assertion"),
    (ASSERTION, "EncryptedAssertion"),
}
_ASSERTION_PARTS: Final = {
    (ASSERTION, "Issuer"),
    (DS, "Signature"),
    (ASSERTION, "Subject"),
    (ASSERTION, "Conditions"),
    (ASSERTION, "AuthnStatement"),
    (ASSERTION, "AttributeStatement"),
}
#: conditions that are fulfilled by whoever uses an assertion once and passes it on to nobody
_CONDITIONS: Final = {
    (ASSERTION, "AudienceRestriction"),
    (ASSERTION, "OneTimeUse"),
    (ASSERTION, "ProxyRestriction"),
}


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the response is held against."""

    issuer: str
    """The provider's entity ID."""
    entity_id: str
    """Ours."""
    acs_url: str
    """Where it was posted to, as the provider knows it."""
    request_id: str
    """Of the request that it must answer; empty: it must answer none, the provider began."""
    certificates: tuple[bytes, ...]
    """The provider's, DER."""
    now: float
    decryption: tuple[Signer, ...] = ()
    must_encrypt: bool = False
    must_sign_assertion: bool = False
    """The signature of the response won't do alone."""
    authn_contexts: tuple[str, ...] = ()
    """By one of which the person must have signed in; empty: anyhow."""
    authenticated_after: float = 0.0
    """The person must not have signed in at the provider before."""


class Assertion(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider vouches for."""

    id: str
    issuer: str
    name_id: NameId | None = None
    attributes: Mapping[str, tuple[str, ...]] = {}
    friendly: Mapping[str, str] = {}
    """FriendlyName → Name; no two attributes share one."""
    session_index: str = ""
    session_until: float = 0.0
    """When the provider's session ends; 0: it doesn't say."""
    authn_instant: float = 0.0
    authn_context: str = ""
    in_response_to: str = ""
    mark: bytes
    """What is the same of this assertion however it is sent, and of no other."""
    until: float
    """From then on it is refused as too old: so long its mark must be kept."""

    def __repr__(self) -> str:
        """Without whom it is about."""
        return f"Assertion(id={self.id!r}, issuer={self.issuer!r})"

    def values(self, key: str) -> tuple[str, ...]:
        """The values of the attribute by this Name, or else by this FriendlyName."""
        found = self.attributes.get(key)
        return found if found is not None else self.attributes.get(self.friendly.get(key, ""), ())


def checked(xml: bytes, expected: Expected) -> Assertion:
    """The assertion, its signature and every check of it done.

    Raises ProviderInvalid by a code of `saml.CODES`, ProviderRefused where the provider says that it did not work.
    Spec: saml-profiles section 4.1.4.3. Threat: signatures wrapped around other content (XSW 1 to 8).
    """
    document = response = saml_xml.parse(xml, max_bytes=RESPONSE_MAX_BYTES)
    _check_places(document)
    is_signed = saml_signature.is_signed(document)
    if is_signed:
        digested = saml_signature.signed_bytes(document, expected.certificates)
        response = saml_xml.parse(digested, max_bytes=RESPONSE_MAX_BYTES)
        _check_places(response)
    _check_response(response, expected, is_signed=is_signed)
    assertion = _assertion(response, expected, is_signed=is_signed)
    has_own = saml_signature.is_signed(assertion)
    if not has_own and (expected.must_sign_assertion or not is_signed):
        raise refused("saml_unsigned")
    if has_own:
        # Where it came: canonical form may have dropped namespaces around it that its signature counts (PrefixList).
        came = only(document, ASSERTION, "Assertion")
        digested = saml_signature.signed_bytes(assertion if came is None else came, expected.certificates)
        assertion = saml_xml.parse(digested, max_bytes=RESPONSE_MAX_BYTES)
        if assertion.tag != saml_xml.name(ASSERTION, "Assertion"):
            raise refused("saml_shape")
    for check in _CHECKS:
        check(assertion, expected)
    return _read(assertion, expected)


def _check_places(response: Element) -> None:
    """Assertions and signatures stand where they belong, and nowhere else at all."""
    if response.tag != saml_xml.name(PROTOCOL, "Response"):
        raise refused("saml_shape", "it is no response")
    if any(pair not in _RESPONSE_PARTS for pair in saml_xml.elements(response)):
        raise refused("saml_shape", "the response holds what no response holds here")
    inner = only(response, ASSERTION, "Assertion")
    owners = [response] if inner is None else [response, inner]
    allowed = [signature for owner in owners if (signature := only(owner, DS, "Signature")) is not None]
    for signature in response.iter(saml_signature.SIGNATURE):
        if signature not in allowed:
            raise refused("saml_shape", "a signature stands where none belongs")
    for local in ("Assertion", "EncryptedAssertion"):
        for found in response.iter(saml_xml.name(ASSERTION, local)):
            if found.getparent() is not response:
                raise refused("saml_shape", "an assertion stands where none belongs")


def _check_response(response: Element, expected: Expected, *, is_signed: bool) -> None:
    """Step 3: what stands here may be unsigned, so nothing of it is kept; but what it says must fit."""
    _check_version(response, expected)
    issuer = only(response, ASSERTION, "Issuer")
    if issuer is not None and saml_xml.uri(issuer) != expected.issuer:
        raise refused("saml_issuer")
    # saml-bindings section 3.5.5.2: a signed message must name where it goes, any other may
    is_owed = is_signed or response.get("Destination") is not None
    if is_owed and attribute(response, "Destination") != expected.acs_url:
        raise refused("saml_destination")
    if attribute(response, "InResponseTo") != expected.request_id:
        raise refused("saml_in_response_to")
    _check_issued(response, expected)
    _check_status(response)


def _check_status(response: Element) -> None:
    status = needed(response, PROTOCOL, "Status")
    code = needed(status, PROTOCOL, "StatusCode")
    value = attribute(code, "Value")
    if value == _SUCCESS:
        if len(code):
            raise refused("saml_status")
        return
    inner = only(code, PROTOCOL, "StatusCode")
    said = attribute(inner, "Value") if inner is not None else value
    if not value.startswith(_STATUS):
        raise refused("saml_status")
    message = only(status, PROTOCOL, "StatusMessage")
    last = said.removeprefix(_STATUS)
    raise ProviderRefused(
        last if last.isascii() and last.isalnum() and len(last) <= 60 else "Responder",
        saml_xml.text(message)[:300] if message is not None else "",
    )


def _assertion(response: Element, expected: Expected, *, is_signed: bool) -> Element:
    """The only assertion; where it was encrypted, as a document of its own."""
    plain = only(response, ASSERTION, "Assertion")
    encrypted = only(response, ASSERTION, "EncryptedAssertion")
    if (plain is None) == (encrypted is None):
        raise refused("saml_shape", "not exactly one assertion")
    if encrypted is None:
        if expected.must_encrypt:
            raise refused("saml_plain")
        return needed(response, ASSERTION, "Assertion")
    opened = saml_encrypted.decrypted(encrypted, expected.decryption, is_signed=is_signed)
    inner = saml_xml.parse(opened, max_bytes=RESPONSE_MAX_BYTES)
    if inner.tag != saml_xml.name(ASSERTION, "Assertion"):
        raise refused("saml_shape", "no assertion was encrypted")
    own = only(inner, DS, "Signature")
    if any(signature is not own for signature in inner.iter(saml_signature.SIGNATURE)):
        raise refused("saml_shape", "a signature stands where none belongs")
    return inner


def _check_parts(assertion: Element, _expected: Expected) -> None:
    """Threat: parts that other readers read, and this one doesn't."""
    if any(pair not in _ASSERTION_PARTS for pair in saml_xml.elements(assertion)):
        raise refused("saml_shape", "the assertion holds what no assertion holds here")
    for local in ("Assertion", "EncryptedAssertion"):
        if next(assertion.iterdescendants(saml_xml.name(ASSERTION, local)), None) is not None:
            raise refused("saml_shape", "an assertion stands inside another")
    if not attribute(assertion, "ID"):
        raise refused("saml_shape", "it has no ID")


def _check_version(element: Element, _expected: Expected) -> None:
    if attribute(element, "Version") != "2.0":
        raise refused("saml_version")


def _check_issuer(assertion: Element, expected: Expected) -> None:
    if saml_xml.uri(needed(assertion, ASSERTION, "Issuer")) != expected.issuer:
        raise refused("saml_issuer")


def _check_issued(element: Element, expected: Expected) -> None:
    issued = saml_xml.time_of(attribute(element, "IssueInstant"))
    if not expected.now - MAX_AGE_S <= issued <= expected.now + SKEW_S:
        raise refused("saml_issued")


def _check_conditions(assertion: Element, expected: Expected) -> None:
    conditions = needed(assertion, ASSERTION, "Conditions")
    if any(pair not in _CONDITIONS for pair in saml_xml.elements(conditions)):
        raise refused("saml_condition")
    _check_times(conditions, expected)
    restrictions = children(conditions, ASSERTION, "AudienceRestriction")
    if not restrictions:
        raise refused("saml_audience", "it names no audience")
    for restriction in restrictions:
        audiences = [saml_xml.uri(one) for one in children(restriction, ASSERTION, "Audience")]
        if expected.entity_id not in audiences:
            raise refused("saml_audience")


def _check_times(element: Element, expected: Expected) -> None:
    before, after = attribute(element, "NotBefore"), attribute(element, "NotOnOrAfter")
    if before and expected.now + SKEW_S < saml_xml.time_of(before):
        raise refused("saml_early")
    if after and expected.now - SKEW_S >= saml_xml.time_of(after):
        raise refused("saml_expired")


def _check_subject(assertion: Element, expected: Expected) -> None:
    """By whoever bears it, here, now, for this request. Spec: saml-profiles section 4.1.4.2."""
    data = _confirmed(assertion)
    if attribute(data, "Recipient") != expected.acs_url:
        raise refused("saml_recipient")
    if attribute(data, "InResponseTo") != expected.request_id:
        raise refused("saml_in_response_to")
    if not attribute(data, "NotOnOrAfter"):
        raise refused("saml_subject", "it is confirmed for ever")
    _check_times(data, expected)


def _confirmed(assertion: Element) -> Element:
    subject = needed(assertion, ASSERTION, "Subject")
    bearers = [
        one
        for one in children(subject, ASSERTION, "SubjectConfirmation")
        if attribute(one, "Method") == _BEARER
    ]
    if len(bearers) != 1:
        raise refused("saml_subject")
    data = only(bearers[0], ASSERTION, "SubjectConfirmationData")
    if data is None:
        raise refused("saml_subject")
    return data


def _check_authn(assertion: Element, expected: Expected) -> None:
    statements = children(assertion, ASSERTION, "AuthnStatement")
    if len(statements) != 1:
        raise refused("saml_authn")
    ends = attribute(statements[0], "SessionNotOnOrAfter")
    if ends and expected.now - SKEW_S >= saml_xml.time_of(ends):
        raise refused("saml_expired")
    if expected.authn_contexts and _context(statements[0]) not in expected.authn_contexts:
        raise refused("saml_authn_context")
    instant = saml_xml.time_of(attribute(statements[0], "AuthnInstant"))
    if instant > expected.now + SKEW_S or instant + SKEW_S < expected.authenticated_after:
        raise refused("saml_authn_instant")


def _context(statement: Element) -> str:
    context = only(statement, ASSERTION, "AuthnContext")
    named = only(context, ASSERTION, "AuthnContextClassRef") if context is not None else None
    return saml_xml.uri(named) if named is not None else ""


_CHECKS: Final[tuple[Callable[[Element, Expected], None], ...]] = (
    _check_parts,
    _check_version,
    _check_issuer,
    _check_issued,
    _check_subject,
    _check_conditions,
    _check_authn,
)


def _read(assertion: Element, expected: Expected) -> Assertion:
    statement = needed(assertion, ASSERTION, "AuthnStatement")
    own = attribute(assertion, "ID")
    attributes, friendly = _attributes(assertion)
    ends = [
        saml_xml.time_of(attribute(_confirmed(assertion), "NotOnOrAfter")),
        saml_xml.time_of(attribute(assertion, "IssueInstant")) + MAX_AGE_S,
    ]
    session_until = attribute(statement, "SessionNotOnOrAfter")
    return Assertion(
        id=own,
        issuer=expected.issuer,
        name_id=_name_id(needed(assertion, ASSERTION, "Subject"), expected),
        attributes=attributes,
        friendly=friendly,
        session_index=attribute(statement, "SessionIndex")[:NAME_MAX_CHARS],
        session_until=saml_xml.time_of(session_until) if session_until else 0.0,
        authn_instant=saml_xml.time_of(attribute(statement, "AuthnInstant")),
        authn_context=_context(statement),
        in_response_to=expected.request_id,
        mark=mark_of(expected.issuer, own),
        until=min(ends) + SKEW_S,
    )


def mark_of(issuer: str, own: str) -> bytes:
    """32 bytes that stand for a message of this issuer by this ID. Spec: saml-profiles section 4.1.4.5."""
    return hashlib.sha256(f"saml\0{len(issuer)}\0{issuer}\0{own}".encode()).digest()


def _name_id(subject: Element, expected: Expected) -> NameId | None:
    encrypted = only(subject, ASSERTION, "EncryptedID")
    plain = only(subject, ASSERTION, "NameID")
    if only(subject, ASSERTION, "BaseID") is not None or (encrypted is not None and plain is not None):
        raise refused("saml_shape")
    if encrypted is not None:
        return name_id_of(decrypted_name_id(encrypted, expected.decryption))
    return name_id_of(plain) if plain is not None else None


def decrypted_name_id(encrypted: Element, keys: tuple[Signer, ...]) -> Element:
    """The NameID inside, which stands in what was signed. Raises ProviderInvalid `saml_encrypted`, `saml_shape`."""
    opened = saml_encrypted.decrypted(encrypted, keys, is_signed=True)
    return saml_xml.parse(opened, max_bytes=RESPONSE_MAX_BYTES)


def name_id_of(element: Element) -> NameId:
    """The NameID, exactly as it stands there. Raises ProviderInvalid `saml_name_id`.

    Threat: two names that differ in white space alone, of two people, which somebody takes for one.
    """
    if element.tag != saml_xml.name(ASSERTION, "NameID"):
        raise refused("saml_shape", "it is no NameID")
    value = saml_xml.text(element)
    if not value or len(value) > NAME_MAX_CHARS or value != value.strip() or not value.isprintable():
        raise refused("saml_name_id")
    return NameId(
        value,
        attribute(element, "Format"),
        attribute(element, "NameQualifier"),
        attribute(element, "SPNameQualifier"),
    )


def _attributes(assertion: Element) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """The values by Name, and the Names by FriendlyName: of two attributes that share one, neither goes by it."""
    found: dict[str, list[str]] = {}
    friendly: dict[str, str] = {}
    shared: set[str] = set()
    for statement in children(assertion, ASSERTION, "AttributeStatement"):
        if any(pair != (ASSERTION, "Attribute") for pair in saml_xml.elements(statement)):
            raise refused("saml_shape", "an attribute is encrypted, or something else")
        for one in children(statement, ASSERTION, "Attribute"):
            key, by = attribute(one, "Name"), attribute(one, "FriendlyName")
            if not key:
                raise refused("saml_shape", "an attribute has no name")
            found.setdefault(key, []).extend(_values(one))
            if by and friendly.setdefault(by, key) != key:
                shared.add(by)
    return {key: tuple(values) for key, values in found.items()}, {
        by: key for by, key in friendly.items() if by not in shared
    }


def _values(one: Element) -> list[str]:
    """The texts, as they are; a NameID inside (eduPersonTargetedID) counts as its text, other elements as nothing."""
    values: list[str] = []
    for value in children(one, ASSERTION, "AttributeValue"):
        if not len(value):
            values.append(value.text or "")
        elif len(value) == 1 and value[0].tag == saml_xml.name(ASSERTION, "NameID"):
            values.append(saml_xml.text(value[0]))
    return [value for value in values if value]
