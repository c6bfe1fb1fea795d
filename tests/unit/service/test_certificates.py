"""Which certificates are in use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from vestibule.config.compile import compile_config
from vestibule.config.load import load
from vestibule.service.certificates import certificates_of

END = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXT = """
store {
  sessions = "rediss://127.0.0.1:6379?ca=redis-ca.pem"
}
host "app.example.com" {
  backend             = "https://127.0.0.1:3000"
  backend_ca          = "ca.pem"
  backend_certificate = "shown.pem"
  access {
    allow = ["public"]
  }
  route "/a/" {
  }
}
host "plain.example.com" {
  backend = "127.0.0.1:3000"
  access {
    allow = ["public"]
  }
}
"""


def pem(name: str, *, with_key: bool = False) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(END - timedelta(days=900))
        .not_valid_after(END)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    if with_key:
        text += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text(pem("one.example") + pem("two.example"))
    (tmp_path / "redis-ca.pem").write_text(pem("redis.example"))
    shown = tmp_path / "shown.pem"
    shown.write_text(pem("gateway.example", with_key=True))
    shown.chmod(0o600)
    (tmp_path / "v.hcl").write_text(TEXT)
    return tmp_path


def test_each_is_told_once_with_what_it_is_for_and_until_when(folder: Path) -> None:
    found = certificates_of(compile_config(load([folder / "v.hcl"], {})))
    assert {(one.names, one.detail) for one in found} == {
        (("redis.example",), "trusted for rediss://127.0.0.1:6379"),
        (("one.example",), "trusted for https://127.0.0.1:3000"),
        (("two.example",), "trusted for https://127.0.0.1:3000"),
        (("gateway.example",), "shown to https://127.0.0.1:3000"),
    }
    assert {one.expires_at for one in found} == {END}
    assert {one.issuer for one in found if one.names == ("one.example",)} == {"CN=one.example"}
    assert "PRIVATE" not in repr(found)


def test_a_file_that_is_gone_by_now_is_left_out(folder: Path) -> None:
    compiled = compile_config(load([folder / "v.hcl"], {}))
    (folder / "redis-ca.pem").unlink()
    assert all("redis" not in one.detail for one in certificates_of(compiled))
