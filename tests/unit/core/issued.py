"""Certificates for tests: chains, keys, and what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FROM_AT = 1_700_000_000.0
DAY_S = 86_400.0


class Issuer:
    """An authority: a root, or one below another."""

    def __init__(self, name: str = "Root", above: Issuer | None = None) -> None:
        self.above = above
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = _subject(name)
        by = above or self
        self.certificate = (
            _begun(self.subject, by.subject, self.key, FROM_AT - DAY_S, FROM_AT + 3650 * DAY_S)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(by.key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        *names: str,
        key: Any = None,
        from_at: float = FROM_AT,
        days: float = 90,
    ) -> tuple[bytes, bytes]:
        """A certificate for these names, without its chain, and its key."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = _subject(names[0] if names else "nobody")
        made = _begun(subject, self.subject, key, from_at, from_at + days * DAY_S)
        if names:
            made = made.add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
        signed = made.sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM), key_pem(key)


def key_pem(key: Any, password: bytes | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: Any, from_at: float, until_at: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(from_at, UTC))
        .not_valid_after(datetime.fromtimestamp(until_at, UTC))
    )
