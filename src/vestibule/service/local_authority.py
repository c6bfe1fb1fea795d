"""A certificate authority of this gateway's own, for development: its root, and what it signs for hosts.

All of it stands in one directory of the state, its owner's alone: `root.pem` and `root.key`, and for each host a file
with certificate and key. Whoever comes first makes them, under a lock of the directory; all other processes read them.

Threat: who has the key can answer as any name that it may sign. The root says itself that these are only names that
nobody can own, and addresses of private networks (RFC 5280 section 4.2.1.10): who trusts it trusts it with no others.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from vestibule.core import pem
from vestibule.core.certificate import (
    DAY_S,
    LOCAL_DOMAINS,
    LOCAL_NETWORKS,
    Certificate,
    Source,
    is_local_name,
)
from vestibule.observe import clock

ROOT_LIFE_S: Final = 10 * 365 * DAY_S
LIFE_S: Final = 90 * DAY_S
RENEWED_S: Final = LIFE_S / 3
"""What is left of a life when the next one is made."""
_EARLIER_S: Final = 3_600.0
"""Before now they begin: clocks don't agree."""
ROOT: Final = "root.pem"
ROOT_KEY: Final = "root.key"
_LOCK: Final = "lock"


class LocalAuthority:
    """The authority in one directory, which it makes itself."""

    def __init__(self, folder: Path, *, now: Callable[[], float] = clock.now) -> None:
        self.folder = folder
        self._now = now

    @property
    def root_path(self) -> Path:
        """The root's certificate, for who trusts it; there once `root_pem` was asked for."""
        return self.folder / ROOT

    def root_pem(self) -> bytes:
        """The root's certificate. It is made when there is none, or it has ended. Raises OSError, PemError."""
        with self._alone():
            root, _ = self._root()
            return root.public_bytes(serialization.Encoding.PEM)

    def certificate(self, name: str) -> Certificate:
        """The certificate for this name, made when there is none that is good for a while.

        Raises: OSError; PemError for a name that it doesn't sign, and for a root that was damaged.
        """
        if not is_local_name(name):
            raise pem.PemError(f"the local authority vouches for no such name: {name}")
        with self._alone():
            root, key = self._root()
            held = self._held(name, root)
            if held is not None:
                return held
            text = self._signed(name, root, key)
            _write(self._path(name), text)
        return pem.read_pair(text, text, Source.LOCAL)

    # -- the root ---------------------------------------------------------------------------------

    def _root(self) -> tuple[x509.Certificate, Any]:
        try:
            text, key = (self.folder / ROOT).read_bytes(), (self.folder / ROOT_KEY).read_bytes()
        except FileNotFoundError:
            return self._new_root()
        found = pem.read_authorities(text)[0]
        try:
            private = serialization.load_pem_private_key(key, None)
        except (ValueError, TypeError):
            raise pem.PemError(f"{self.folder / ROOT_KEY} is damaged: remove {self.folder}") from None
        if found.not_valid_after_utc.timestamp() - self._now() < LIFE_S:
            return self._new_root()
        return found, private

    def _new_root(self) -> tuple[x509.Certificate, Any]:
        now = self._now()
        key = ec.generate_private_key(ec.SECP256R1())
        made = datetime.fromtimestamp(now, UTC)
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Vestibule local authority"),
                x509.NameAttribute(
                    NameOID.COMMON_NAME, f"Vestibule on {socket.gethostname()[:30]} ({made:%Y-%m-%d %H:%M})"
                ),
            ]
        )
        root = (
            _begun(name, name, key.public_key(), now, ROOT_LIFE_S)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(
                x509.NameConstraints(
                    [
                        *map(x509.DNSName, LOCAL_DOMAINS),
                        *(x509.IPAddress(ip_network(network)) for network in LOCAL_NETWORKS),
                    ],
                    None,
                ),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        _write(self.folder / ROOT_KEY, _key_pem(key))
        _write(self.folder / ROOT, root.public_bytes(serialization.Encoding.PEM))
        return root, key

    # -- hosts ------------------------------------------------------------------------------------

    def _held(self, name: str, root: x509.Certificate) -> Certificate | None:
        """What stands there already, if it is this root's, and for a while yet."""
        try:
            text = self._path(name).read_bytes()
            found = pem.read_pair(text, text, Source.LOCAL)
            x509.load_pem_x509_certificate(found.chain_pem).verify_directly_issued_by(root)
        except (OSError, ValueError, TypeError, InvalidSignature):
            return None
        left_s = found.not_after_at - self._now()
        return found if found.covers(name) and left_s > RENEWED_S else None

    def _signed(self, name: str, root: x509.Certificate, root_key: Any) -> bytes:
        key = ec.generate_private_key(ec.SECP256R1())
        # No common name: OpenSSL would take an address there for a DNS name, which the root permits none of.
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"Vestibule for {name}"[:64])])
        ends_s = min(LIFE_S, root.not_valid_after_utc.timestamp() - self._now())
        made = (
            _begun(subject, root.subject, key.public_key(), self._now(), ends_s)
            .add_extension(x509.SubjectAlternativeName([_general(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()),  # type: ignore[arg-type] # ours is ECDSA
                critical=False,
            )
            .sign(root_key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM) + _key_pem(key)

    def _path(self, name: str) -> Path:
        # A host's name has letters, digits, `-`, `_`, dots and colons, so it is no way out of the directory.
        return self.folder / "hosts" / f"{name}.pem"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """While this lasts no other process makes anything here."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        (self.folder / "hosts").mkdir(mode=0o700, exist_ok=True)
        with (self.folder / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: float, life_s: float
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(now - _EARLIER_S, UTC))
        .not_valid_after(datetime.fromtimestamp(now + life_s, UTC))
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and its owner's alone from the first byte on."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
