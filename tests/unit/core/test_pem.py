"""Chains and keys as text: what is taken, and why not."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa

from tests.unit.core.issued import DAY_S, FROM_AT, Issuer, key_pem
from vestibule.core import pem
from vestibule.core.certificate import Source

ROOT = Issuer("Root")
BETWEEN = Issuer("Between", above=ROOT)
LEAF, KEY = BETWEEN.issue("a.example.com", "*.b.example.com", "192.0.2.1", "2001:db8::1")


def test_a_chain_and_its_key_say_what_they_are_good_for():
    found = pem.read_pair(LEAF + BETWEEN.pem, KEY, Source.FILE)
    assert found.names == ("a.example.com", "*.b.example.com", "192.0.2.1", "2001:db8::1")
    assert (found.not_before_at, found.not_after_at) == (FROM_AT, FROM_AT + 90 * DAY_S)
    assert found.chain_pem == LEAF + BETWEEN.pem
    assert found.source is Source.FILE
    assert len(found.fingerprint) == 64


def test_all_may_stand_in_one_text_with_words_between():
    text = (
        b"Bag Attributes\n  localKeyID: 1\n"
        + KEY
        + b"subject=CN = a\n"
        + LEAF
        + b"\nissuer=x\n"
        + BETWEEN.pem
    )
    assert pem.read_pair(text, text, Source.FILE) == pem.read_pair(LEAF + BETWEEN.pem, KEY, Source.FILE)


def test_a_chain_ends_with_what_ends_first_in_it():
    short = Issuer("Short", above=ROOT)
    leaf, key = short.issue("a.example", days=5000)
    assert pem.read_pair(leaf + short.pem, key, Source.FILE).not_after_at == FROM_AT + 3650 * DAY_S


OTHER_LEAF, OTHER_KEY = ROOT.issue("c.example.com")
NAMELESS, NAMELESS_KEY = ROOT.issue()


def leaf_of(key: object) -> tuple[bytes, bytes]:
    return ROOT.issue("a.example.com", key=key)


@pytest.mark.parametrize(
    ("chain", "key", "why"),
    [
        pytest.param(b"", KEY, "holds no certificate", id="nothing"),
        pytest.param(KEY, KEY, "holds no certificate", id="a key alone"),
        pytest.param(LEAF[:-80] + LEAF[-27:], KEY, "can't be read", id="a damaged certificate"),
        pytest.param(LEAF[:200], KEY, "holds no certificate", id="half of one"),
        pytest.param(LEAF, b"", "holds no private key", id="no key"),
        pytest.param(LEAF, LEAF, "holds no private key", id="a certificate for a key"),
        pytest.param(LEAF, KEY[:90], "the key is not whole", id="half a key"),
        pytest.param(LEAF, KEY[:60] + b"AAAA" + KEY[64:], "the key can't be read", id="a damaged key"),
        pytest.param(LEAF, OTHER_KEY, "the key doesn't match the certificate", id="another key"),
        pytest.param(
            BETWEEN.pem + LEAF, KEY, "another order: the certificate of the key comes first", id="upside down"
        ),
        pytest.param(
            LEAF + ROOT.pem + BETWEEN.pem, KEY, "another order, or has a gap: CN=a.example.com", id="swapped"
        ),
        pytest.param(LEAF + ROOT.pem, KEY, "has a gap", id="a gap"),
        pytest.param(
            LEAF + BETWEEN.pem + ROOT.pem * 10, KEY, "12 certificates: that is a bundle", id="a bundle"
        ),
        pytest.param(NAMELESS, NAMELESS_KEY, "names no host", id="no names"),
        pytest.param(
            b"x" * (pem.TEXT_LIMIT_BYTES + 1), KEY, "larger than any certificate", id="far too large"
        ),
    ],
)
def test_what_nobody_could_use_is_refused_with_the_reason(chain: bytes, key: bytes, why: str):
    with pytest.raises(pem.PemError, match=why):
        pem.read_pair(chain, key, Source.FILE)


@pytest.mark.parametrize(
    ("key", "why"),
    [
        pytest.param(rsa.generate_private_key(65537, 1024), "the key has 1024 bits", id="a short RSA key"),
        pytest.param(
            ec.generate_private_key(ec.SECP256K1()),
            "on secp256k1, which browsers don't know",
            id="a curve of coins",
        ),
        pytest.param(dsa.generate_private_key(2048), "of a kind that TLS has no use for", id="DSA"),
    ],
)
def test_a_weak_key_is_refused(key: object, why: str):
    with pytest.raises(pem.PemError, match=why):
        pem.read_pair(*leaf_of(key), Source.FILE)


@pytest.mark.parametrize("key", [rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()])
def test_other_kinds_of_keys_are_taken(key: object):
    assert pem.read_pair(*leaf_of(key), Source.FILE).names == ("a.example.com",)


def test_an_encrypted_key_is_told_of_with_the_way_out():
    key = ec.generate_private_key(ec.SECP256R1())
    leaf, _ = leaf_of(key)
    with pytest.raises(pem.PemError, match="encrypted: openssl pkey"):
        pem.read_pair(leaf, key_pem(key, b"secret"), Source.FILE)


def test_the_key_is_in_no_message_and_no_repr():
    found = pem.read_pair(LEAF, KEY, Source.FILE)
    body = KEY.decode().splitlines()[1]
    assert body not in repr(found)
    assert body in found.key_pem.reveal()


def test_authorities_are_those_that_may_sign():
    assert pem.read_authorities(b"# ours\n" + ROOT.pem + BETWEEN.pem) == (
        ROOT.certificate,
        BETWEEN.certificate,
    )
    with pytest.raises(pem.PemError, match=r"CN=a\.example\.com is no authority's certificate"):
        pem.read_authorities(ROOT.pem + LEAF)
    with pytest.raises(pem.PemError, match="holds no certificate"):
        pem.read_authorities(b"")


def test_one_certificate_by_somebody_else_is_hardly_all_there_is():
    assert not pem.is_complete(LEAF)
    assert pem.is_complete(LEAF + BETWEEN.pem)
    assert pem.is_complete(ROOT.pem)
