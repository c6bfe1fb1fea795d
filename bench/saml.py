"""How long a SAML response takes to be believed: `python -m bench.saml`.

Responses of each way to sign and encrypt, of a person in 5 groups and in 150, from the form's field to what was
read. The provider here signs with what the gateway signs its own requests with.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from vestibule.protocol import saml_binding, saml_signature, saml_xml
from vestibule.protocol.saml import RESPONSE_MAX_BYTES, Signer, certificate_of
from vestibule.protocol.saml_response import Expected, checked
from vestibule.protocol.saml_xml import ASSERTION, DS, PROTOCOL, XENC, XENC11, name, time_text

BAR_MS = 5.0
NOW = 1_800_000_000.0
IDP, SP, ACS = (
    "https://idp.example/saml",
    "https://app.example/@corp/metadata",
    "https://app.example/@corp/callback",
)
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
GROUPS = {"5 groups": 5, "150 groups": 150}
"""So many as Entra ID puts into a response at most."""
WAYS: dict[str, tuple[str, ...]] = {
    "assertion signed": ("assertion",),
    "response signed": ("response",),
    "both signed": ("assertion", "response"),
    "both signed, encrypted": ("assertion", "encrypted", "response"),
}


def new_signer() -> Signer:
    """A key of 2,048 bits with a certificate by itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    begin = datetime.fromtimestamp(NOW, UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=1))
    return Signer(key, certificate_of(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)))


def response(idp: Signer, sp: Signer, steps: tuple[str, ...], groups: int) -> bytes:
    """The response, signed and encrypted step by step."""
    values = "".join(f"<saml:AttributeValue>group-{number}</saml:AttributeValue>" for number in range(groups))
    issued, until = time_text(NOW), time_text(NOW + 300)
    root = etree.fromstring(
        f'<samlp:Response xmlns:samlp="{PROTOCOL}" xmlns:saml="{ASSERTION}" ID="_r" Version="2.0" InResponseTo="_q"'
        f' IssueInstant="{issued}" Destination="{ACS}"><saml:Issuer>{IDP}</saml:Issuer><samlp:Status><samlp:StatusCode'
        ' Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status><saml:Assertion ID="_a" Version="2.0"'
        f' IssueInstant="{issued}"><saml:Issuer>{IDP}</saml:Issuer><saml:Subject><saml:NameID>alice</saml:NameID>'
        f'<saml:SubjectConfirmation Method="{BEARER}"><saml:SubjectConfirmationData InResponseTo="_q" Recipient="{ACS}"'
        f' NotOnOrAfter="{until}"/></saml:SubjectConfirmation></saml:Subject><saml:Conditions NotOnOrAfter="{until}">'
        f"<saml:AudienceRestriction><saml:Audience>{SP}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
        f'<saml:AuthnStatement AuthnInstant="{issued}" SessionIndex="s"/><saml:AttributeStatement>'
        f'<saml:Attribute Name="groups">{values}</saml:Attribute></saml:AttributeStatement></saml:Assertion>'
        "</samlp:Response>".encode(),
        None,
    )
    for step in steps:
        assertion = root.find(name(ASSERTION, "Assertion"))
        if step == "response":
            root = saml_xml.parse(saml_signature.sign(root, idp), max_bytes=RESPONSE_MAX_BYTES)
        elif assertion is not None and step == "assertion":
            signed = saml_signature.sign(etree.fromstring(saml_xml.alone(assertion), None), idp)
            root.replace(assertion, saml_xml.parse(signed, max_bytes=RESPONSE_MAX_BYTES))
        elif assertion is not None:
            root.replace(assertion, encrypted(etree.tostring(assertion, encoding="utf-8"), sp))
    return etree.tostring(root, encoding="utf-8")


def encrypted(plain: bytes, sp: Signer) -> saml_xml.Element:
    """The EncryptedAssertion, by AES-256-GCM under RSA-OAEP."""
    key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    public = sp.key.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise TypeError("the bench has RSA keys")
    wrapped = b64encode(public.encrypt(key, OAEP(MGF1(hashes.SHA1()), hashes.SHA1(), None))).decode()
    sealed = b64encode(nonce + AESGCM(key).encrypt(nonce, plain, None)).decode()
    found: saml_xml.Element = etree.fromstring(
        f'<saml:EncryptedAssertion xmlns:saml="{ASSERTION}"><xenc:EncryptedData xmlns:xenc="{XENC}">'
        f'<xenc:EncryptionMethod Algorithm="{XENC11}aes256-gcm"/><ds:KeyInfo xmlns:ds="{DS}"><xenc:EncryptedKey>'
        f'<xenc:EncryptionMethod Algorithm="{XENC}rsa-oaep-mgf1p"/><xenc:CipherData><xenc:CipherValue>{wrapped}'
        "</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo><xenc:CipherData><xenc:CipherValue>"
        f"{sealed}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData></saml:EncryptedAssertion>".encode(),
        None,
    )
    return found


def measured_ms(once: Callable[[], object], count: int) -> list[float]:
    """Processor time of each run, in milliseconds."""
    once()
    took: list[float] = []
    for _ in range(count):
        begin = time.thread_time()
        once()
        took.append((time.thread_time() - begin) * 1000)
    return took


def main(argv: list[str]) -> int:
    """Measure; 1 where the bar is not held."""
    parser = argparse.ArgumentParser(prog="python -m bench.saml", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="so many of each (default 300)")
    count = parser.parse_args(argv).count
    idp, sp = new_signer(), new_signer()
    expected = Expected(
        issuer=IDP,
        entity_id=SP,
        acs_url=ACS,
        request_id="_q",
        certificates=(idp.certificate,),
        now=NOW,
        decryption=(sp,),
    )
    slowest = 0.0
    print(f"{'':26}{'':14}{'bytes':>9}{'median ms':>11}{'p99 ms':>9}   (bar: {BAR_MS} ms of processor time)")
    for way, steps in WAYS.items():
        for many, groups in GROUPS.items():
            xml = response(idp, sp, steps, groups)
            field = b64encode(xml).decode("ascii")
            took = measured_ms(lambda field=field: checked(saml_binding.posted(field), expected), count)  # type: ignore[misc]
            slowest = max(slowest, median(took))
            print(
                f"{way:26}{many:14}{len(xml):9,}{median(took):11.2f}{quantiles(took, n=100)[-1]:9.2f}",
                flush=True,
            )
    return int(slowest > BAR_MS)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
