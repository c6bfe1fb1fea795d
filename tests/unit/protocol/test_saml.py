"""SAML's values: which certificates and keys are taken, and that nothing of a key is shown."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from tests.helpers.saml_idp import cert_pem, key_pem, signer
from vestibule.protocol import saml


def self_signed(key) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(7)
    builder = builder.not_valid_before(begin).not_valid_after(begin + timedelta(days=1))
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.public_key(key.public_key()).sign(key, digest).public_bytes(Encoding.PEM)


def test_a_certificate_is_read_from_pem_and_from_bare_base64():
    one = signer("idp")
    der = one.certificate
    assert saml.certificate_of(cert_pem(one)) == der
    assert saml.certificate_of(cert_pem(one).decode()) == der
    assert saml.certificate_of(b64encode(der).decode()) == der
    broken = "\r\n \t".join(b64encode(der).decode()[at : at + 64] for at in range(0, 2000, 64))
    assert saml.certificate_of(broken) == der


@pytest.mark.parametrize("kind", ["p256", "p384", "p521"])
def test_a_certificate_may_be_on_a_curve(kind):
    assert signer("curve", kind).certificate


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024),
        lambda: ec.generate_private_key(ec.SECP192R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: dsa.generate_private_key(2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
)
def test_a_certificate_of_a_weak_key_or_another_kind_is_refused(make):
    with pytest.raises(ValueError, match="its"):
        saml.certificate_of(self_signed(make()))


@pytest.mark.parametrize(
    "raw", ["", "no", "bm8=", "é", "-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_is_refused(raw):
    with pytest.raises(ValueError):  # noqa: PT011 - the file's fault, whatever it is
        saml.certificate_of(raw)


def test_a_key_and_its_certificate_belong_together():
    one, other = signer("idp"), signer("foreign")
    assert saml.signer_of(key_pem(one.key), cert_pem(one)).certificate == one.certificate
    with pytest.raises(ValueError, match="another key"):
        saml.signer_of(key_pem(one.key), cert_pem(other))
    locked = one.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    with pytest.raises(ValueError, match="pass phrase"):
        saml.signer_of(locked, cert_pem(one))


def test_nothing_of_a_key_is_shown():
    assert repr(signer("idp")) == "Signer(***)"


def test_an_id_is_a_name_the_same_for_the_same_seed():
    first = saml.message_id(b"nonce")
    assert first == saml.message_id(b"nonce") != saml.message_id(b"other")
    assert first.startswith("_")
    assert len(first) == 65


def test_each_refusal_stands_in_the_docs_in_the_same_words():
    text = (Path(__file__).parents[3] / "docs" / "saml.md").read_text("utf-8")
    table = text.partition("| code | why |\n|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [f"| `{code}` | {why} |" for code, why in saml.CODES.items()]


def test_each_refusal_has_a_line_of_its_own():
    for code, why in saml.CODES.items():
        error = saml.refused(code)
        assert (error.code, error.public_code, error.detail) == (code, "provider_invalid", why)
    assert set(saml.CODES) >= saml.OF_OLD_KEYS
    with pytest.raises(KeyError):
        saml.refused("saml_other")
