"""The authority of this machine: what it signs, and what it never does."""

from __future__ import annotations

import contextlib
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from tests.unit.core.issued import Issuer
from vestibule.core.certificate import DAY_S, Source
from vestibule.core.pem import PemError
from vestibule.observe import clock
from vestibule.service.local_authority import LIFE_S, RENEWED_S, ROOT, ROOT_KEY, LocalAuthority

NOW = 1_800_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "local-authority"


def authority(folder: Path, now: float = NOW) -> LocalAuthority:
    return LocalAuthority(folder, now=lambda: now)


@pytest.mark.parametrize(
    "name", ["localhost", "app.localhost", "a.b.test", "x.internal", "127.0.0.1", "10.0.0.7", "::1"]
)
def test_its_certificates_are_good_for_who_trusts_the_root(folder: Path, name: str):
    ours = authority(folder, clock.now())
    found = ours.certificate(name)
    assert found.names == (name,)
    assert found.source is Source.LOCAL
    assert shaken(folder / "hosts" / f"{name}.pem", ours.root_pem(), name) == name


def shaken(pair: Path, root: bytes, name: str) -> str:
    """The name that OpenSSL has verified a server for that shows this pair, without a socket. Raises ssl.SSLError."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pair)
    client = ssl.create_default_context(cadata=root.decode())
    out, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking = client.wrap_bio(back, out, server_hostname=name)
    asked = server.wrap_bio(out, back, server_side=True)
    for one in (asking, asked, asking, asked):
        with contextlib.suppress(ssl.SSLWantReadError):
            one.do_handshake()
    assert asking.getpeercert()
    return asking.server_hostname or ""


def test_to_others_they_are_good_for_nothing(folder: Path):
    ours = authority(folder, clock.now())
    ours.certificate("app.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(folder / "hosts" / "app.test.pem", Issuer().pem, "app.test")
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(folder / "hosts" / "app.test.pem", ours.root_pem(), "b.test")


@pytest.mark.parametrize("name", ["example.com", "google.com", "box", "8.8.8.8", "nottest"])
def test_it_signs_no_name_that_somebody_owns(folder: Path, name: str):
    with pytest.raises(PemError, match="vouches for no such name"):
        authority(folder).certificate(name)


def test_who_has_its_key_can_sign_for_nobody_else(folder: Path):
    """The root itself permits the names, so that it isn't enough to change the program."""
    ours = authority(folder)
    root = x509.load_pem_x509_certificate(ours.root_pem())
    constraints = root.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = constraints.value.permitted_subtrees or []
    assert x509.DNSName("localhost") in permitted
    assert all(isinstance(one, x509.DNSName | x509.IPAddress) for one in permitted)
    assert not {one.value for one in permitted} & {"com", ""}


def test_all_of_it_is_its_owners_alone(folder: Path):
    authority(folder).certificate("localhost")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}
    assert modes[ROOT_KEY] == modes[ROOT] == modes["localhost.pem"] == 0o600
    assert modes["hosts"] == 0o700
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_another_process_finds_what_the_first_has_made(folder: Path):
    first, second = authority(folder), authority(folder)
    made = first.certificate("app.test")
    assert second.certificate("app.test") == made
    assert second.root_pem() == first.root_pem()


def test_one_is_made_anew_when_a_third_of_its_life_is_left(folder: Path):
    made = authority(folder).certificate("app.test")
    assert authority(folder, NOW + LIFE_S - RENEWED_S - DAY_S).certificate("app.test") == made
    later = authority(folder, NOW + LIFE_S - RENEWED_S + 1).certificate("app.test")
    assert later.fingerprint != made.fingerprint
    assert later.not_after_at > made.not_after_at


def test_what_another_authority_has_signed_is_made_anew(folder: Path):
    ours = authority(folder)
    ours.root_pem()
    leaf, key = Issuer().issue("app.test", from_at=NOW)
    (folder / "hosts" / "app.test.pem").write_bytes(leaf + key)
    found = ours.certificate("app.test")
    assert found.chain_pem != leaf


@pytest.mark.parametrize("content", [b"", b"half", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_damaged_certificate_of_a_host_is_made_anew(folder: Path, content: bytes):
    ours = authority(folder)
    ours.certificate("app.test")
    (folder / "hosts" / "app.test.pem").write_bytes(content)
    assert ours.certificate("app.test").names == ("app.test",)


def test_a_damaged_root_is_told_of_and_never_replaced_by_itself(folder: Path):
    ours = authority(folder)
    ours.root_pem()
    (folder / ROOT_KEY).write_bytes(b"x")
    with pytest.raises(PemError, match="damaged: remove"):
        ours.certificate("app.test")


def test_a_root_that_ends_soon_is_made_anew(folder: Path):
    before = authority(folder).root_pem()
    later = authority(folder, NOW + 10 * 365 * DAY_S - LIFE_S + 1)
    assert later.root_pem() != before
    assert later.certificate("app.test").lives(NOW + 10 * 365 * DAY_S)


def test_a_root_that_signs_for_somebody_else_is_believed_by_nobody(folder: Path):
    """Threat: who has stolen its key, and changes nothing but the program."""
    ours = authority(folder, clock.now())
    ours.root_pem()
    root, key = ours._root()
    forged = folder / "forged.pem"
    forged.write_bytes(ours._signed("mail.example.com", root, key))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        shaken(forged, ours.root_pem(), "mail.example.com")
