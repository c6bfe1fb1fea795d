"""What a client's certificate says of it."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from vestibule.edge.client_certificate import client_of

KEY = ec.generate_private_key(ec.SECP256R1())
FROM = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def der(*names: x509.NameAttribute, others: tuple[x509.GeneralName, ...] = ()) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(0xABCDEF)
        .not_valid_before(FROM)
        .not_valid_after(FROM + dt.timedelta(days=30))
    )
    if others:
        builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.DER)


def named(text: str) -> x509.NameAttribute:
    return x509.NameAttribute(NameOID.COMMON_NAME, text)


def test_its_names_are_told():
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example, Inc.")
    others = (
        x509.RFC822Name("alice@example.com"),
        x509.DNSName("alice.example"),
        x509.UniformResourceIdentifier("spiffe://example/alice"),
    )
    client = client_of(der(organisation, named("alice"), others=others), "aa")
    assert client.subject == "CN=alice,O=Example\\, Inc."
    assert client.common_name == "alice"
    assert client.emails == ("alice@example.com",)
    assert client.dns_names == ("alice.example",)
    assert client.uris == ("spiffe://example/alice",)
    assert client.serial == "abcdef"
    assert client.authority == "aa"
    assert len(client.fingerprint) == 64
    assert client.good_until_at == (FROM + dt.timedelta(days=30)).timestamp()


def test_one_without_names_has_none():
    client = client_of(der(), "aa")
    assert (client.subject, client.common_name, client.emails) == ("", "", ())


def test_of_two_common_names_none_counts():
    assert client_of(der(named("alice"), named("root")), "aa").common_name == ""


@pytest.mark.parametrize("text", ["ali\0ce", "ali\nce", "a\u202elice"])
def test_names_that_can_not_be_written_are_refused(text):
    with pytest.raises(ValueError, match="can't be written"):
        client_of(der(named(text)), "aa")


def test_what_is_no_certificate_is_refused():
    with pytest.raises(ValueError, match="parsing"):
        client_of(b"\x30\x00", "aa")
