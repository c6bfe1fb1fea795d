"""May a request for a host come over this connection?"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.tls import ClientCertificate, Demand, Handshake, Profile, agrees, has_ended

USUAL = Demand()
MODERN = Demand(profile=Profile.MODERN)
OURS = Demand(client_ca_pem=b"ours", authority="aa")
THEIRS = Demand(client_ca_pem=b"theirs", authority="bb")
ALICE = ClientCertificate(subject="CN=alice", authority="aa")

PLAIN = Handshake(server_name=b"a.test", names=("a.test", "b.test", "*.c.test"), demand=USUAL)
KNOWN = replace(PLAIN, demand=OURS, client=ALICE)
NAMELESS = Handshake(names=("a.test", "127.0.0.1", "::1"), demand=USUAL)


@pytest.mark.parametrize(
    ("made", "name", "wanted", "agreed"),
    [
        (None, b"a.test", None, True),
        (None, b"a.test", USUAL, True),
        (None, b"a.test", OURS, False),
        (PLAIN, b"a.test", USUAL, True),
        (PLAIN, b"a.test", None, False),
        (PLAIN, b"b.test", USUAL, True),
        (PLAIN, b"x.c.test", USUAL, True),
        (PLAIN, b"x.y.c.test", USUAL, False),
        (PLAIN, b"c.test", USUAL, False),
        (PLAIN, b"d.test", USUAL, False),
        (PLAIN, b"b.test", MODERN, False),
        (PLAIN, b"b.test", OURS, False),
        (PLAIN, b"a.test", OURS, False),
        (KNOWN, b"a.test", OURS, True),
        (KNOWN, b"b.test", OURS, True),
        (KNOWN, b"b.test", THEIRS, False),
        (KNOWN, b"b.test", USUAL, False),
        (KNOWN, b"d.test", OURS, False),
        (replace(KNOWN, client=None), b"a.test", OURS, False),
        (replace(KNOWN, client=replace(ALICE, authority="bb")), b"a.test", OURS, False),
        (replace(KNOWN, client=replace(ALICE, authority="")), b"a.test", OURS, False),
        (replace(KNOWN, server_name=b""), b"a.test", OURS, False),
        (NAMELESS, b"127.0.0.1", USUAL, True),
        (NAMELESS, b"[::1]", USUAL, True),
        (NAMELESS, b"a.test", USUAL, True),
        (NAMELESS, b"b.test", USUAL, False),
        (NAMELESS, b"a.test", OURS, False),
    ],
)
def test_a_request_comes_over_a_connection_of_its_host_or_one_that_asked_for_the_same(
    made, name, wanted, agreed
):
    assert agrees(made, name, wanted) is agreed


@pytest.mark.parametrize(
    ("shown", "known_as"),
    [
        (
            ClientCertificate(subject="CN=alice,O=Example", common_name="alice"),
            ("CN=alice,O=Example", "alice"),
        ),
        (ClientCertificate(subject="CN=alice"), ("CN=alice",)),
        (ClientCertificate(subject=""), ()),
        (ClientCertificate(subject="CN=CN\\=bob", common_name="CN=bob"), ("CN=CN\\=bob",)),
        (ClientCertificate(subject="CN=dns:b.test", common_name="dns:b.test"), ("CN=dns:b.test",)),
        (
            ClientCertificate(
                subject="", emails=("a@b.test",), dns_names=("b.test",), uris=("spiffe://b/c",)
            ),
            ("email:a@b.test", "dns:b.test", "uri:spiffe://b/c"),
        ),
    ],
    ids=[
        "subject and name",
        "subject",
        "nothing",
        "a name like a subject",
        "a name like a DNS name",
        "others",
    ],
)
def test_rules_name_a_certificate_by_what_can_be_nothing_else(shown, known_as):
    assert shown.known_as == known_as


@pytest.mark.parametrize(
    ("made", "at", "ended"),
    [
        (None, 9e9, False),
        (PLAIN, 9e9, False),
        (KNOWN, 9e9, False),
        (replace(KNOWN, client=replace(ALICE, good_until_at=100.0)), 99.9, False),
        (replace(KNOWN, client=replace(ALICE, good_until_at=100.0)), 100.0, True),
    ],
    ids=["no TLS", "no certificate", "without end", "still good", "ended"],
)
def test_a_client_certificate_ends_and_nothing_else_does(made, at, ended):
    assert has_ended(made, at) is ended
