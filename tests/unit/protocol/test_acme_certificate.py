"""Certificates as ACME has to do with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from vestibule.protocol.acme import AcmeSyntaxError
from vestibule.protocol.acme_certificate import checked, key_of, key_pem_of, leaf_of, proof_of, request_for

KEY = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)


def issued(
    *names: str,
    key: ec.EllipticCurvePrivateKey = KEY,
    days: int = 90,
    serial: int = 0x8765,
    aki: bytes | None = b"\x01\x02",
) -> bytes:
    name = x509.Name([])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")]))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=days))
    )
    if names:
        san = x509.SubjectAlternativeName([x509.DNSName(one) for one in names])
        builder = builder.add_extension(san, critical=True)
    if aki is not None:
        builder = builder.add_extension(x509.AuthorityKeyIdentifier(aki, None, None), critical=False)
    return builder.sign(KEY, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("name", ["a.test", "*.a.test"])
def test_a_request_is_for_the_name_by_the_key(name):
    request = x509.load_der_x509_csr(request_for(name, KEY))
    assert request.is_signature_valid
    assert request.public_key() == KEY.public_key()
    san = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == [name]


def test_a_chain_says_what_it_is_for():
    leaf = checked(issued("A.test") + issued("other.test"), "a.test", KEY, NOW.timestamp())
    assert leaf.names == ("a.test",)
    assert leaf.not_after_at == (NOW + timedelta(days=90)).timestamp()
    assert leaf.issuer == "CN=Test CA"
    assert len(leaf.fingerprint) == 64


@pytest.mark.parametrize(
    ("serial", "aki", "renewal_id"),
    [
        # The example of RFC 9773 section 4.1.
        (
            0x8765432100,
            bytes.fromhex("69885B6B874640410B23D2D9B0D9E0FBAA7AA55B".replace(" ", "")),
            "aYhba4dGQEELI9LZsNng-6p6pVs.AIdlQyEA",
        ),
        (0x7F, b"\x01", "AQ.fw"),
        (0x80, b"\x01", "AQ.AIA"),
        (1, None, ""),
    ],
    ids=["a first bit", "seven bits", "eight bits", "who says too little of itself"],
)
def test_the_authority_knows_it_by_its_key_and_serial_number(serial, aki, renewal_id):
    assert leaf_of(issued("a.test", serial=serial, aki=aki)).renewal_id == renewal_id


OTHER = ec.derive_private_key(0xFEDCBA, ec.SECP256R1())


@pytest.mark.parametrize(
    "chain",
    [
        b"",
        b"-----BEGIN CERTIFICATE-----\noops\n-----END CERTIFICATE-----\n",
        issued("b.test"),
        issued("a.test", "b.test"),
        issued("*.a.test"),
        issued(),
        issued("a.test", key=OTHER),
        issued("a.test", days=0),
        issued("a.test") * 11,
    ],
    ids=[
        "nothing",
        "no certificate",
        "another name",
        "two names",
        "a wildcard",
        "no name",
        "another key",
        "over",
        "too long",
    ],
)
def test_what_was_not_asked_for_is_refused(chain):
    with pytest.raises(AcmeSyntaxError):
        checked(chain, "a.test", KEY, NOW.timestamp())


def test_a_proof_is_a_certificate_for_the_name_with_the_hash_in_it():
    pem = proof_of("a.test", "token.thumb", KEY, serial=5, now=NOW)
    found = x509.load_pem_x509_certificate(pem)
    assert found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    ) == ["a.test"]
    extension = found.extensions.get_extension_for_oid(x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31"))
    digest = hashes.Hash(hashes.SHA256())
    digest.update(b"token.thumb")
    assert extension.critical
    assert extension.value.public_bytes() == b"\x04\x20" + digest.finalize()


def test_a_key_comes_back():
    assert key_of(key_pem_of(KEY)).private_numbers() == KEY.private_numbers()


def test_what_is_no_key_on_a_curve_is_refused():
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for pem in (b"", other, trustme.CA().cert_pem.bytes()):
        with pytest.raises(AcmeSyntaxError):
            key_of(pem)
