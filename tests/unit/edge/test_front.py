"""The front: what stands before a connection's first request, and who gets in."""

from __future__ import annotations

import ssl

import pytest
import trustme

from tests.unit.edge.stand import (
    Client,
    Stand,
    authority,
    certificate,
    client_context,
    clients,
    demanding,
)
from vestibule.core.seal import Key, KeyRing
from vestibule.core.tls import USUAL, Demand, Profile
from vestibule.edge.contexts import ACME_ALPN, context_of
from vestibule.edge.pending import Pending
from vestibule.protocol import proxy_protocol

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
NO_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"


@pytest.fixture
def alice() -> trustme.LeafCert:
    return clients().issue_cert("alice@example.com", common_name="alice", key_type=trustme.KeyType.ECDSA)


# -- the handshake -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1 << 20, 1, 7, 100])
@pytest.mark.parametrize("version", [TLS12, TLS13])
async def test_hands_are_shaken_in_whatever_pieces_bytes_come(version, size):
    stand = Stand({"a.test": USUAL})
    client = Client(stand.accept(), most=version)
    client.shake(size)
    client.send(b"hello", size)
    upper = stand.opened[0]
    upper.transport.write(b"world")
    assert upper.came == b"hello"
    assert client.pull() == b"world"
    assert upper.met.peer == "192.0.2.1"
    tls = upper.met.tls
    assert (tls.server_name, tls.alpn, tls.version) == (b"a.test", "h2", version.name.replace("_", "."))
    assert tls.names == ("a.test",)
    assert tls.demand is USUAL
    assert tls.client is None
    assert len(stand.front.pending) == 0


@pytest.mark.parametrize(
    ("offered", "agreed"),
    [(("h2",), "h2"), (("http/1.1",), "http/1.1"), (("http/1.1", "h2"), "h2"), ((), ""), (("http/1.0",), "")],
)
async def test_protocols_are_agreed_on(offered, agreed):
    stand = Stand({"a.test": USUAL})
    Client(stand.accept(), alpn=offered).shake()
    assert stand.opened[0].met.tls.alpn == agreed


@pytest.mark.parametrize("offered", [("ftp",), ("smtp", "imap"), (ACME_ALPN,), (ACME_ALPN, "h2")])
async def test_a_protocol_that_nobody_speaks_is_refused(offered):
    stand = Stand({"a.test": USUAL})
    wire = stand.accept()
    with pytest.raises(ssl.SSLError, match=r"(?i)no[_ ]application[_ ]protocol"):
        Client(wire, alpn=offered).shake()
    assert stand.opened == []
    assert wire.is_closed


async def test_an_unknown_name_gets_an_alert_and_nobodys_certificate():
    stand = Stand({"a.test": USUAL})
    wire = stand.accept()
    client = Client(wire, "b.test")
    with pytest.raises(ssl.SSLError):
        client.shake()
    assert wire.is_closed
    assert stand.opened == []
    assert len(stand.front.pending) == 0


async def test_a_name_without_a_certificate_is_as_an_unknown_one():
    stand = Stand({"a.test": USUAL})
    stand.shelf.drop("a.test")
    wire = stand.accept()
    client = Client(wire)
    with pytest.raises(ssl.SSLError):
        client.shake()
    assert wire.is_closed


async def test_a_name_of_no_host_is_unknown_whatever_wildcard_is_there():
    stand = Stand({"*.a.test": USUAL, "x.a.test": USUAL})
    Client(stand.accept(), "x.a.test").shake()
    with pytest.raises(ssl.SSLError):
        Client(stand.accept(), "y.a.test").shake()
    assert [one.met.tls.server_name for one in stand.opened] == [b"x.a.test"]


async def test_who_comes_before_the_certificates_are_read_waits_for_theirs():
    stand = Stand({"a.test": USUAL})
    stand.shelf.drop("a.test")
    stand.shelf.expect()
    wire, stranger = stand.accept(), stand.accept()
    client = Client(wire)
    client.step()
    assert wire.is_paused
    stand.shelf.put("other.test", certificate("other.test"))
    assert wire.written == b""
    with pytest.raises(ssl.SSLError):
        Client(stranger, "b.test").shake()  # no such host is to come
    stand.shelf.put("a.test", certificate("a.test"))
    stand.shelf.fill()
    assert not wire.is_paused
    client.shake()
    assert [one.met.tls.server_name for one in stand.opened] == [b"a.test"]
    assert stand.front.held == {}


async def test_who_waits_for_a_certificate_that_isnt_there_is_refused_once_all_are_read():
    stand = Stand({"a.test": USUAL})
    stand.shelf.drop("a.test")
    stand.shelf.expect()
    wire, left = stand.accept(), stand.accept()
    for one in (wire, left):
        Client(one).step()
    left.protocol.connection_lost(None)
    stand.shelf.fill()
    assert wire.taken() == UNRECOGNIZED_NAME
    assert left.written == b""
    assert (stand.opened, stand.front.held, len(stand.front.pending)) == ([], {}, 0)


async def test_a_challenge_is_waited_for_as_a_certificate_is():
    stand = Stand({"a.test": USUAL})
    stand.shelf.expect()
    wire = stand.accept()
    client = Client(wire, alpn=(ACME_ALPN,))
    client.step()
    stand.shelf.prove("a.test", certificate("a.test"))
    stand.shelf.fill()
    client.shake()
    assert client.object.selected_alpn_protocol() == ACME_ALPN


async def test_without_a_name_the_addresss_own_certificate_is_shown():
    stand = Stand({"192.0.2.80": USUAL})
    context = client_context()
    context.check_hostname = False
    Client(stand.accept(), None, context=context).shake()
    assert stand.opened[0].met.tls.server_name == b""
    assert stand.opened[0].met.tls.names == ("192.0.2.80",)


async def test_without_a_name_and_a_certificate_for_the_address_there_is_none():
    stand = Stand({"a.test": USUAL})
    context = client_context()
    context.check_hostname = False
    with pytest.raises(ssl.SSLError):
        Client(stand.accept(), None, context=context).shake()
    assert stand.opened == []


async def test_modern_hosts_take_tls_1_3_alone():
    stand = Stand({"a.test": demanding(profile=Profile.MODERN)})
    with pytest.raises(ssl.SSLError):
        Client(stand.accept(), most=TLS12).shake()
    Client(stand.accept()).shake()
    assert [upper.met.tls.version for upper in stand.opened] == ["TLSv1.3"]


async def test_a_request_without_tls_is_told_so():
    stand = Stand({"a.test": USUAL})
    wire = stand.accept()
    wire.protocol.data_received(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
    assert wire.written.startswith(b"HTTP/1.1 400 ")
    assert wire.is_closed


async def test_a_changed_certificate_is_shown_from_then_on():
    stand = Stand({"a.test": USUAL})
    first = Client(stand.accept())
    first.shake()
    stand.shelf.put("a.test", certificate("a.test", "c.test"))
    second = Client(stand.accept())
    second.shake()
    shown = [one.object.getpeercert(binary_form=True) for one in (first, second)]
    assert shown[0] != shown[1]
    assert stand.opened[1].met.tls.names == ("a.test", "c.test")


# -- client certificates -----------------------------------------------------------------------------


@pytest.mark.parametrize("version", [TLS12, TLS13])
async def test_a_client_certificate_is_demanded_and_told(version, alice):
    demand = demanding(clients())
    stand = Stand({"a.test": demand})
    Client(stand.accept(), own=alice, most=version).shake()
    client = stand.opened[0].met.tls.client
    assert client.common_name == "alice"
    assert client.emails == ("alice@example.com",)
    assert client.authority == demand.authority


@pytest.mark.parametrize("version", [TLS12, TLS13])
async def test_without_one_nobody_gets_in(version):
    stand = Stand({"a.test": demanding(clients())})
    wire = stand.accept()
    with pytest.raises(ssl.SSLError):
        Client(wire, most=version).shake()
    assert stand.opened == []
    assert wire.is_closed
    assert stand.events == [("client_certificate_missing", {"peer": "192.0.2.1", "host": "a.test"})]


@pytest.mark.parametrize("version", [TLS12, TLS13])
async def test_it_is_required_again_after_a_handshake_that_asked_for_none(version, monkeypatch):
    """Threat: a context that lets somebody through, as Python's do that are switched in a callback."""
    stand = Stand({"a.test": demanding(clients())})
    lax = context_of(certificate("a.test"), USUAL, ("http/1.1",))
    monkeypatch.setattr(stand.front._contexts, "of", lambda *_, **__: lax)
    wire = stand.accept()
    client = Client(wire, most=version)
    client.step()
    client.step()
    assert stand.opened == []
    assert wire.is_aborted
    assert stand.events[-1] == (
        "client_certificate_refused",
        {"peer": "192.0.2.1", "host": "a.test", "why": "no client certificate"},
    )


@pytest.mark.parametrize("version", [TLS12, TLS13])
async def test_one_of_another_authority_is_refused(version):
    mallory = trustme.CA().issue_cert("alice@example.com", common_name="alice")
    stand = Stand({"a.test": demanding(clients())})
    with pytest.raises(ssl.SSLError):
        Client(stand.accept(), own=mallory, most=version).shake()
    assert stand.opened == []
    ((event, told),) = stand.events
    assert event == "client_certificate_refused"
    assert (told["peer"], told["host"]) == ("192.0.2.1", "a.test")
    assert "issuer certificate" in told["why"]


async def test_a_client_that_believes_nobody_here_is_no_failure_of_a_client_certificate():
    """It left; that is told to who asks for it alone."""
    stand = Stand({"a.test": demanding(clients())})
    client = Client(stand.accept(), context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.shake()
    client.push()
    assert [event for event, _ in stand.events] == ["handshake_failed"]


@pytest.mark.parametrize(
    "demand",
    [
        Demand(authority="aa"),
        Demand(client_ca_pem=b"no certificate", authority="aa"),
        Demand(client_ca_pem=b"x"),
    ],
    ids=["no authorities", "broken ones", "unnamed ones"],
)
async def test_authorities_that_are_no_good_let_nobody_in(demand, alice):
    stand = Stand({"a.test": demand})
    with pytest.raises(ssl.SSLError):
        Client(stand.accept(), own=alice).shake()
    assert stand.opened == []
    assert stand.events[0][0] == "tls_unusable"


async def test_one_that_has_ended_is_refused_though_openssl_let_it_in(alice):
    stand = Stand({"a.test": demanding(clients())}, now=lambda: 1e11)
    wire = stand.accept()
    client = Client(wire, own=alice)
    client.step()
    client.step()
    assert stand.opened == []
    assert wire.is_aborted


@pytest.mark.parametrize("version", [TLS12, TLS13])
async def test_a_resumed_session_brings_its_certificate_and_is_looked_at_again(version, alice):
    now = [0.0]
    stand = Stand({"a.test": demanding(clients())}, now=lambda: now[0])
    context = client_context(alice, most=version)
    first = Client(stand.accept(), context=context)
    first.shake()
    second = Client(stand.accept(), context=context, session=first.object.session)
    second.shake()
    assert second.object.session_reused
    assert stand.opened[1].met.tls.client == stand.opened[0].met.tls.client
    now[0] = 1e11
    wire = stand.accept()
    third = Client(wire, context=context, session=second.object.session)
    third.step()
    third.step()
    assert len(stand.opened) == 2
    assert wire.is_aborted


@pytest.mark.parametrize("version", [TLS12, TLS13])
async def test_a_session_is_not_resumed_at_a_host_that_demands_something_else(version, alice):
    stand = Stand({"a.test": USUAL, "b.test": demanding(clients())})
    both = certificate("a.test", "b.test")
    stand.shelf.put("a.test", both)
    stand.shelf.put("b.test", both)
    context = client_context(most=version)
    first = Client(stand.accept(), context=context)
    first.shake()
    again = Client(stand.accept(), context=context, session=first.object.session)
    again.shake()
    assert again.object.session_reused
    with pytest.raises(ssl.SSLError):
        Client(stand.accept(), "b.test", context=context, session=first.object.session).shake()
    assert [upper.met.tls.server_name for upper in stand.opened] == [b"a.test", b"a.test"]


def ring(letter: str = "k") -> KeyRing:
    return KeyRing((Key(letter, letter.encode() * 32),))


@pytest.mark.parametrize("version", [TLS12, TLS13])
async def test_a_session_goes_on_at_whoever_has_the_keys_but_for_tls_1_2(version, alice):
    """A worker, a node, and the program after a restart."""
    hosts = {"a.test": demanding(clients())}
    here, there, elsewhere = (Stand(hosts, ring=ring(letter)) for letter in "kkx")
    context = client_context(alice, most=version)
    first = Client(here.accept(), context=context)
    first.shake()
    again = Client(there.accept(), context=context, session=first.object.session)
    again.shake()
    assert again.object.session_reused is (version is TLS13)
    assert there.opened[0].met.tls.client == here.opened[0].met.tls.client
    other = Client(elsewhere.accept(), context=context, session=first.object.session)
    other.shake()
    assert not other.object.session_reused


@pytest.mark.parametrize(
    ("begun", "tried"),
    [
        pytest.param(USUAL, demanding(clients()), id="a certificate is demanded"),
        pytest.param(demanding(authority()), demanding(clients()), id="by other authorities"),
        pytest.param(USUAL, demanding(profile=Profile.MODERN), id="another profile"),
    ],
)
async def test_whoever_has_the_keys_resumes_none_that_began_where_something_else_is_demanded(begun, tried):
    both = certificate("a.test", "b.test")
    here, there = Stand({"a.test": begun}, ring=ring()), Stand({"b.test": tried}, ring=ring())
    here.shelf.put("a.test", both)
    there.shelf.put("b.test", both)
    own = authority().issue_cert("alice@example.com", key_type=trustme.KeyType.ECDSA)
    context = client_context(own if begun.authority else None)
    first = Client(here.accept(), context=context)
    first.shake()
    assert first.object.session.has_ticket
    again = Client(there.accept(), "b.test", context=context, session=first.object.session)
    if tried.authority:
        with pytest.raises(ssl.SSLError):
            again.shake()
        assert there.opened == []
    else:
        again.shake()
        assert not again.object.session_reused


async def test_with_other_keys_of_the_ring_sessions_begin_anew():
    keys = ring()
    stand = Stand({"a.test": USUAL}, ring=keys)
    context = client_context()
    first = Client(stand.accept(), context=context)
    first.shake()
    keys.use((Key("n", b"n" * 32), *keys.keys))
    again = Client(stand.accept(), context=context, session=first.object.session)
    again.shake()
    assert not again.object.session_reused


# -- challenges of a certificate authority -------------------------------------------------------------


async def test_a_challenge_is_shown_to_who_asks_for_it_alone_and_then_it_is_over():
    stand = Stand({"a.test": USUAL})
    stand.shelf.prove("a.test", certificate("a.test", "proof.test"))
    wire = stand.accept()
    client = Client(wire, alpn=(ACME_ALPN,))
    client.step()
    client.step()
    assert client.object.selected_alpn_protocol() == ACME_ALPN
    assert ("DNS", "proof.test") in client.object.getpeercert()["subjectAltName"]
    assert wire.is_closed
    assert stand.opened == []
    Client(stand.accept()).shake()
    assert stand.opened[0].met.tls.names == ("a.test",)


async def test_a_challenge_is_not_shown_to_who_would_talk_http_too():
    stand = Stand({"a.test": USUAL})
    stand.shelf.prove("a.test", certificate("a.test", "proof.test"))
    for name, alpn in (("a.test", (ACME_ALPN, "http/1.1")), ("b.test", (ACME_ALPN,))):
        wire = stand.accept()
        with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
            Client(wire, name, alpn=alpn).shake()
        assert wire.is_closed
    assert stand.opened == []


# -- PROXY headers -----------------------------------------------------------------------------------

HEADER = b"PROXY TCP4 203.0.113.7 192.0.2.80 5000 443\r\n"


@pytest.mark.parametrize("size", [1, 1 << 20])
async def test_what_a_proxy_tells_of_its_client_is_believed_before_tls(size):
    stand = Stand({"a.test": USUAL}, proxies=("192.0.2.1",))
    wire = stand.accept()
    client = Client(wire)
    with pytest.raises(ssl.SSLWantReadError):
        client.object.do_handshake()
    data = HEADER + client.outgoing.read()
    for at in range(0, len(data), size):
        wire.protocol.data_received(data[at : at + size])
    client.incoming.write(wire.taken())
    client.shake()
    assert stand.opened[0].met.peer == "203.0.113.7"


@pytest.mark.parametrize("size", [1, 1 << 20])
async def test_and_before_plain_http(size):
    stand = Stand({}, tls=False, proxies=("192.0.2.1",))
    wire = stand.accept()
    data = HEADER + b"GET / HTTP/1.1\r\n"
    for at in range(0, len(data), size):
        wire.protocol.data_received(data[at : at + size])
    assert stand.opened[0].met.peer == "203.0.113.7"
    assert stand.opened[0].met.tls is None
    assert stand.opened[0].came == b"GET / HTTP/1.1\r\n"
    assert len(stand.front.pending) == 0


async def test_a_proxy_that_says_nothing_of_its_client_is_its_own():
    stand = Stand({}, tls=False, proxies=("192.0.2.1",))
    stand.accept().protocol.data_received(b"PROXY UNKNOWN\r\nGET")
    assert stand.opened[0].met.peer == "192.0.2.1"


@pytest.mark.parametrize("tls", [True, False])
async def test_a_proxy_must_send_one(tls):
    stand = Stand({"a.test": USUAL}, tls=tls, proxies=("192.0.2.1",))
    wire = stand.accept()
    wire.protocol.data_received(b"GET / HTTP/1.1\r\n")
    assert wire.is_aborted
    assert stand.opened == []
    assert stand.events == [("proxy_header_refused", {"peer": "192.0.2.1", "why": "no PROXY header"})]


async def test_a_broken_one_is_told_of():
    stand = Stand({}, tls=False, proxies=("192.0.2.1",))
    stand.accept().protocol.data_received(b"PROXY TCP4 nobody 192.0.2.80 5000 443\r\n")
    assert stand.events == [
        ("proxy_header_refused", {"peer": "192.0.2.1", "why": "a PROXY line with no such addresses"})
    ]


@pytest.mark.parametrize("header", [HEADER, proxy_protocol.SIGNATURE + b"\x20\x00\x00\x00"])
async def test_nobody_elses_is_read_as_one(header):
    plain = Stand({}, tls=False, proxies=("192.0.2.1",))
    plain.accept("198.51.100.9").protocol.data_received(header)
    assert plain.opened[0].met.peer == "198.51.100.9"
    assert plain.opened[0].came == header  # which HTTP refuses
    stand = Stand({"a.test": USUAL}, proxies=("192.0.2.1",))
    wire = stand.accept("198.51.100.9")
    wire.protocol.data_received(header)
    assert wire.is_closed
    assert stand.opened == []
    assert stand.events[0] == ("proxy_header_untrusted", {"peer": "198.51.100.9"})


# -- who takes too long --------------------------------------------------------------------------------


async def test_who_has_said_nothing_is_sent_away_when_the_program_has_waited():
    stand = Stand({"a.test": USUAL})
    silent, busy = stand.accept(), stand.accept()
    busy.protocol.data_received(b"\x16")
    stand.front.stop()
    assert not silent.is_closed
    assert (stand.front.is_busy, stand.front.is_empty) == (True, False)
    stand.front.close_idle()
    assert silent.is_aborted
    assert not busy.is_closed
    stand.front.abort()
    assert busy.is_aborted
    assert (stand.front.is_busy, stand.front.is_empty) == (False, True)


@pytest.mark.parametrize("version", [TLS12, TLS13])
async def test_a_handshake_that_has_come_half_way_ends_well_when_the_program_goes(version):
    """Threat: a client's last word of the handshake, and its request behind it, meet a connection that is gone."""
    stand = Stand({"a.test": USUAL})
    wire = stand.accept()
    client = Client(wire, most=version)
    client.step()
    stand.front.stop()
    stand.front.close_idle()
    assert stand.front.is_busy
    client.shake()
    client.send(b"hello")
    assert stand.opened[0].came == b"hello"
    assert (stand.front.is_busy, stand.front.is_empty) == (False, True)


async def test_who_waits_for_a_certificate_while_the_program_goes_is_shown_it():
    stand = Stand({"a.test": USUAL})
    stand.shelf.drop("a.test")
    stand.shelf.expect()
    client = Client(stand.accept())
    client.step()
    stand.front.stop()
    stand.shelf.put("a.test", certificate("a.test"))
    stand.shelf.fill()
    client.shake()
    assert len(stand.opened) == 1
    stand.front.abort()
    stand.shelf.put("a.test", certificate("a.test"))


async def test_a_client_that_leaves_is_forgotten():
    stand = Stand({"a.test": USUAL})
    wire = stand.accept()
    wire.protocol.data_received(b"\x16\x03")
    wire.protocol.connection_lost(None)
    shaking = stand.accept()
    Client(shaking).step()
    shaking.protocol.connection_lost(None)
    assert len(stand.front.pending) == 0
    assert stand.opened == []


async def test_who_comes_by_a_proxy_is_not_counted_as_its_address():
    stand = Stand({"a.test": USUAL}, proxies=("192.0.2.1",), pending=Pending(10, 2))
    wires = [stand.accept() for _ in range(5)]
    assert not any(wire.is_closed for wire in wires)
    for wire in wires:
        wire.protocol.give_up("enough")
