"""Contexts: which versions and ciphers, and that keys never lie on a disk."""

from __future__ import annotations

import ssl

import pytest

from tests.unit.edge.stand import certificate, clients, demanding
from vestibule.core.tls import USUAL, Profile
from vestibule.edge.contexts import HOLD_S, Contexts, context_of
from vestibule.edge.openssl import GROUPS, groups_of, restrict

ALPN = ("http/1.1",)


def test_the_intermediate_profile_is_mozillas():
    context = context_of(certificate("a.test"), USUAL, ALPN)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert {cipher["name"] for cipher in context.get_ciphers()} == {
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    }
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    assert context.verify_mode == ssl.CERT_NONE
    assert context.keylog_filename is None


def test_the_modern_one_is_tls_1_3_alone():
    context = context_of(certificate("a.test"), demanding(profile=Profile.MODERN), ALPN)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3


def test_who_demands_certificates_requires_them():
    context = context_of(certificate("a.test"), demanding(clients()), ALPN)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509"] == 1


def test_one_is_made_once_for_what_is_the_same_until_it_is_old():
    now = [0.0]
    contexts = Contexts(lambda: now[0])
    first = contexts.of(certificate("a.test"), USUAL, ALPN)
    assert contexts.of(certificate("a.test"), USUAL, ALPN) is first
    assert contexts.of(certificate("b.test"), USUAL, ALPN) is not first
    assert contexts.of(certificate("a.test"), demanding(clients()), ALPN) is not first
    assert contexts.of(certificate("a.test"), USUAL, ("acme-tls/1",)) is not first
    now[0] = HOLD_S
    assert contexts.of(certificate("a.test"), USUAL, ALPN) is not first
    now[0] = -HOLD_S  # a clock that was set back
    assert contexts.of(certificate("a.test"), USUAL, ALPN) is not first


def test_other_certificates_make_other_contexts():
    contexts = Contexts(lambda: 0.0)
    first = contexts.of(certificate("a.test"), USUAL, ALPN)
    contexts.forget()
    assert contexts.of(certificate("a.test"), USUAL, ALPN) is not first


@pytest.mark.parametrize(
    ("version", "groups"),
    [
        ((3, 0, 0, 19, 0), GROUPS),
        ((3, 4, 9), GROUPS),
        ((3, 5, 0), f"X25519MLKEM768:{GROUPS}"),
        ((4, 0), f"X25519MLKEM768:{GROUPS}"),
    ],
)
def test_the_hybrid_group_comes_first_where_openssl_has_it(version, groups):
    assert groups_of(version) == groups


def test_openssl_takes_the_groups():
    assert restrict(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
