"""Certificates as a public authority makes them today: ECDSA, ninety days, under an authority of the test's."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = dt.timedelta(days=1)


class Paper:
    """An authority, and what it has signed, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's authority")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        signs = x509.KeyUsage(**(dict.fromkeys(_USES, False) | {"key_cert_sign": True, "crl_sign": True}))
        builder = self._builder(self._name, self._key, 3650).add_extension(basic, critical=True)
        self._root = builder.add_extension(signs, critical=True).sign(self._key, SHA256())
        self.root = directory / "root.pem"
        self.root.write_bytes(self._root.public_bytes(Encoding.PEM))

    def write(self, file: str, *names: str) -> None:
        """`file.pem` and `file.key`, for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        uses = x509.KeyUsage(**(dict.fromkeys(_USES, False) | {"digital_signature": True}))
        own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = self._builder(x509.Name([]), key, 90)
        for extension, critical in (
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (uses, True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), False),
            (x509.SubjectAlternativeName(list(map(_named, names))), True),
        ):
            builder = builder.add_extension(extension, critical=critical)
        made = builder.sign(self._key, SHA256())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.directory / f"{file}.pem").write_bytes(made.public_bytes(Encoding.PEM))
        private = self.directory / f"{file}.key"
        private.touch(mode=0o600)
        private.write_bytes(pem)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - DAYS)
            .not_valid_after(now + (days - 1) * DAYS)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


_USES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
