"""A SAML provider that signs and encrypts with libxmlsec: not what the code under test checks with."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from lxml import etree

from vestibule.protocol.saml import Signer, signer_of

SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
DS = "http://www.w3.org/2000/09/xmldsig#"
MD = "urn:oasis:names:tc:SAML:2.0:metadata"
NS = {"saml": SAML, "samlp": SAMLP, "ds": DS, "md": MD, "xenc": "http://www.w3.org/2001/04/xmlenc#"}

NOW = 1_800_000_000.0
IDP = "https://idp.example/saml"
SP = "https://app.example/@corp/metadata"
ACS = "https://app.example/@corp/callback"
REQUEST = "_request-1"


@cache
def signer(name: str, kind: str = "rsa", bits: int = 2048) -> Signer:
    """A key with a self-signed certificate, the same for the same name; it was valid for a day in 2020."""
    key: Any = (
        rsa.generate_private_key(public_exponent=65537, key_size=bits)
        if kind == "rsa"
        else ec.generate_private_key(
            {"p256": ec.SECP256R1(), "p384": ec.SECP384R1(), "p521": ec.SECP521R1()}[kind]
        )
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return signer_of(key_pem(key), certificate.public_bytes(Encoding.PEM))


def key_pem(key: Any) -> bytes:
    """The private key, readable."""
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def cert_pem(of: Signer) -> bytes:
    """Its certificate in PEM."""
    return x509.load_der_x509_certificate(of.certificate).public_bytes(Encoding.PEM)


def at(moment: float) -> str:
    """As SAML writes times."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def response(
    *,
    signs: Sequence[str] = ("assertion",),
    by: Signer | None = None,
    encrypts_for: Signer | None = None,
    content: str = "AES256_GCM",
    wraps: str = "RSA_OAEP",
    subject: str = "alice",
    attributes: Mapping[str, Sequence[str]] | None = None,
    change: Mapping[str, str] | None = None,
    method: str = "RSA_SHA256",
    digest: str = "SHA256",
) -> bytes:
    """A response as Keycloak would write it: everything that is checked stands in it.

    `change`: text → other text, in the document before anything is signed.
    """
    key = by or signer("idp")
    text = document(subject, attributes or {"mail": ["alice@corp.example"], "groups": ["staff", "ops"]})
    for old, new in (change or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    root = etree.fromstring(text)
    assertion = root.find("saml:Assertion", NS)
    if "assertion" in signs and assertion is not None:
        sign(assertion, key, method=method, digest=digest)
    if encrypts_for is not None and assertion is not None:
        encrypt(assertion, encrypts_for, content=content, wraps=wraps)
    if "response" in signs:
        sign(root, key, method=method, digest=digest)
    return etree.tostring(root)


def document(subject: str, attributes: Mapping[str, Sequence[str]]) -> str:
    """The response's text, nothing of it signed."""
    stated = "".join(
        f'<saml:Attribute Name="urn:oid:{name}" FriendlyName="{name}">'
        + "".join(
            f'<saml:AttributeValue xmlns:xs="http://www.w3.org/2001/XMLSchema"'
            f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">{value}</saml:AttributeValue>'
            for value in values
        )
        + "</saml:Attribute>"
        for name, values in attributes.items()
    )
    return (
        f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="_response-1" Version="2.0"'
        f' IssueInstant="{at(NOW - 1)}" Destination="{ACS}" InResponseTo="{REQUEST}"><saml:Issuer>{IDP}</saml:Issuer>'
        '<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>'
        f'<saml:Assertion ID="_assertion-1" Version="2.0" IssueInstant="{at(NOW - 1)}"><saml:Issuer>{IDP}</saml:Issuer>'
        '<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">'
        f"{subject}</saml:NameID>"
        '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<saml:SubjectConfirmationData InResponseTo="{REQUEST}" NotOnOrAfter="{at(NOW + 300)}" Recipient="{ACS}"/>'
        "</saml:SubjectConfirmation></saml:Subject>"
        f'<saml:Conditions NotBefore="{at(NOW - 60)}" NotOnOrAfter="{at(NOW + 600)}"><saml:AudienceRestriction>'
        f"<saml:Audience>{SP}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
        f'<saml:AuthnStatement AuthnInstant="{at(NOW - 30)}" SessionIndex="s-1" SessionNotOnOrAfter="{at(NOW + 36000)}">'
        "<saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
        "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>"
        f"<saml:AttributeStatement>{stated}</saml:AttributeStatement></saml:Assertion></samlp:Response>"
    )


def sign(
    element: Any,
    by: Signer,
    *,
    method: str = "RSA_SHA256",
    digest: str = "SHA256",
    uri: str | None = None,
    hmac: bytes = b"",
    prefixes: Sequence[str] = (),
) -> None:
    """An enveloped signature behind the issuer, by libxmlsec; `hmac`: by this secret instead of the key."""
    transform = xmlsec.constants
    signature = xmlsec.template.create(
        element, transform.TransformExclC14N, _of("Transform", method), ns="ds"
    )
    issuer = element.find("saml:Issuer", NS)
    if issuer is not None:
        issuer.addnext(signature)
    else:
        element.insert(0, signature)
    own = element.get("ID") if uri is None else uri
    reference = xmlsec.template.add_reference(
        signature, _of("Transform", digest), uri=f"#{own}" if own else ""
    )
    xmlsec.template.add_transform(reference, transform.TransformEnveloped)
    canonical = xmlsec.template.add_transform(reference, transform.TransformExclC14N)
    if prefixes:
        xmlsec.template.transform_add_c14n_inclusive_namespaces(canonical, list(prefixes))
    context = xmlsec.SignatureContext()
    if hmac:
        context.key = xmlsec.Key.from_binary_data(xmlsec.constants.KeyDataHmac, hmac)
    else:
        xmlsec.template.add_x509_data(xmlsec.template.ensure_key_info(signature))
        context.key = xmlsec.Key.from_memory(key_pem(by.key), xmlsec.constants.KeyDataFormatPem)
        context.key.load_cert_from_memory(cert_pem(by), xmlsec.constants.KeyDataFormatPem)
    xmlsec.tree.add_ids(element, ["ID"])
    context.sign(signature)


def encrypt(
    assertion: Any, receiver: Signer, *, content: str = "AES256_GCM", wraps: str = "RSA_OAEP"
) -> None:
    """Puts an EncryptedAssertion in the assertion's place, by libxmlsec."""
    parent = assertion.getparent()
    # with the same prefixes: lxml would rename those of what is put into it, and nothing signed may change
    wrapper = etree.SubElement(parent, f"{{{SAML}}}EncryptedAssertion", nsmap=assertion.nsmap)
    parent.replace(assertion, wrapper)
    wrapper.append(assertion)
    manager = xmlsec.KeysManager()
    key = xmlsec.Key.from_memory(cert_pem(receiver), xmlsec.constants.KeyDataFormatCertPem)
    manager.add_key(key)
    template = xmlsec.template.encrypted_data_create(
        wrapper, _of("Transform", content), type=xmlsec.constants.TypeEncElement, ns="xenc"
    )
    xmlsec.template.encrypted_data_ensure_cipher_value(template)
    info = xmlsec.template.encrypted_data_ensure_key_info(template, ns="ds")
    wrapped = xmlsec.template.add_encrypted_key(info, _of("Transform", wraps))
    xmlsec.template.encrypted_data_ensure_cipher_value(wrapped)
    context = xmlsec.EncryptionContext(manager)
    bits = 128 if "128" in content else 192 if "192" in content or "DES3" in content else 256
    kind = xmlsec.constants.KeyDataDes if "DES3" in content else xmlsec.constants.KeyDataAes
    context.key = xmlsec.Key.generate(kind, bits, xmlsec.constants.KeyDataTypeSession)
    context.encrypt_xml(template, assertion)


def _of(kind: str, name: str) -> Any:
    """libxmlsec's constant: RSA_SHA256 → TransformRsaSha256."""
    return getattr(xmlsec.constants, kind + "".join(part.capitalize() for part in name.split("_")))


def metadata(
    *signers: Signer,
    entity_id: str = IDP,
    change: Mapping[str, str] | None = None,
) -> bytes:
    """What the provider says of itself, with a certificate for each signer."""
    keys = "".join(
        f'<md:KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>\n'
        f"{b64encode(one.certificate).decode()}\n</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>"
        for one in signers
    )
    base = entity_id.rpartition("/")[0]
    text = (
        f'<md:EntityDescriptor xmlns:md="{MD}" xmlns:ds="{DS}" ID="_metadata" entityID="{entity_id}">'
        f'<md:IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="{SAMLP}">{keys}'
        f'<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{base}/slo"'
        f' ResponseLocation="{base}/slo/answer"/>'
        "<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>"
        f'<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="{base}/sso"/>'
        f'<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{base}/sso/post"/>'
        '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="urn:soap"/>'
        "</md:IDPSSODescriptor></md:EntityDescriptor>"
    )
    for old, new in (change or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    return text.encode()
