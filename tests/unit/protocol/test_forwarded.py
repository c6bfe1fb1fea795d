"""Who the client is: nobody is believed but the operator's own proxies, and those only about what is behind them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol import forwarded
from vestibule.protocol.address import Networks
from vestibule.protocol.forwarded import Client, build, client_of

TRUSTED = Networks.parse(["10.0.0.0/8", "2001:db8::/32", "127.0.0.1"])
LIES = [
    b"X-Forwarded-For: 6.6.6.6",
    b"Forwarded: for=6.6.6.6;host=evil.example;proto=https",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-Host: evil.example",
]


@pytest.mark.parametrize(
    ("peer", "trusted", "address"),
    [
        ("1.2.3.4", TRUSTED, "1.2.3.4"),
        ("::ffff:1.2.3.4", TRUSTED, "1.2.3.4"),
        ("2001:DB9::1", TRUSTED, "2001:db9::1"),
        ("fe80::1%eth0", TRUSTED, "fe80::1"),
        ("fe80::1%eth0", Networks.parse(["fe80::/10"]), "fe80::1"),
        ("127.0.0.2", TRUSTED, "127.0.0.2"),
        ("127.0.0.1", Networks(), "127.0.0.1"),
        ("", TRUSTED, ""),
    ],
)
def test_an_untrusted_peer_is_itself_whatever_it_says(peer: str, trusted: Networks, address: str) -> None:
    client = client_of(peer, LIES, trusted)
    assert client == Client(address=address, hops=(address or "unknown",))


def test_a_peer_that_is_believed_for_where_it_stands_is_asked_about_its_own_client_only() -> None:
    lines = [b"X-Forwarded-For: 6.6.6.6, 127.0.0.3"]
    client = client_of("127.0.0.2", lines, Networks(), is_believed=True)
    assert client == Client(address="127.0.0.3", hops=("6.6.6.6", "127.0.0.3", "127.0.0.2"))
    assert client_of("", lines, Networks(), is_believed=True).address == "127.0.0.3"
    assert client_of("127.0.0.2", [], Networks(), is_believed=True).address == "127.0.0.2"


@pytest.mark.parametrize(
    ("lines", "address", "hops"),
    [
        ([], "10.0.0.1", []),
        ([b"X-Forwarded-For:"], "10.0.0.1", []),
        ([b"X-Forwarded-For: , ,"], "10.0.0.1", []),
        ([b"X-Forwarded-For: 1.2.3.4"], "1.2.3.4", ["1.2.3.4"]),
        ([b"x-forwarded-FOR:1.2.3.4"], "1.2.3.4", ["1.2.3.4"]),
        ([b"X-Forwarded-For: 6.6.6.6, 1.2.3.4"], "1.2.3.4", ["6.6.6.6", "1.2.3.4"]),
        ([b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-For: 1.2.3.4"], "1.2.3.4", ["6.6.6.6", "1.2.3.4"]),
        ([b"X-Forwarded-For: 1.2.3.4, 10.0.0.2"], "1.2.3.4", ["1.2.3.4", "10.0.0.2"]),
        ([b"X-Forwarded-For: 6.6.6.6, 1.2.3.4, 10.0.0.2,10.0.0.3"], "1.2.3.4", ["6.6.6.6", "1.2.3.4", "10.0.0.2", "10.0.0.3"]),
        ([b"X-Forwarded-For: 10.0.0.9, 1.2.3.4"], "1.2.3.4", ["10.0.0.9", "1.2.3.4"]),
        ([b"X-Forwarded-For: 10.0.0.9, 10.0.0.8"], "10.0.0.9", ["10.0.0.9", "10.0.0.8"]),
        ([b"X-Forwarded-For: 1.2.3.4:5678"], "1.2.3.4", ["1.2.3.4"]),
        ([b"X-Forwarded-For: [2001:db9::1]:80"], "2001:db9::1", ["2001:db9::1"]),
        ([b"X-Forwarded-For: [2001:db9::1]"], "2001:db9::1", ["2001:db9::1"]),
        ([b"X-Forwarded-For: 2001:DB9::1"], "2001:db9::1", ["2001:db9::1"]),
        ([b"X-Forwarded-For: ::ffff:1.2.3.4"], "1.2.3.4", ["1.2.3.4"]),
        ([b"X-Forwarded-For: 1.2.3.4, ::ffff:10.0.0.7"], "1.2.3.4", ["1.2.3.4", "10.0.0.7"]),
        ([b"X-Forwarded-For: unknown"], "10.0.0.1", ["unknown"]),
        ([b"X-Forwarded-For: 6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2", ["6.6.6.6", "unknown", "10.0.0.2"]),
        ([b"X-Forwarded-For: 6.6.6.6, 127.1, 10.0.0.2"], "10.0.0.2", ["6.6.6.6", "unknown", "10.0.0.2"]),
        ([b"X-Forwarded-For: localhost"], "10.0.0.1", ["unknown"]),
        ([b"X-Forwarded-For: 1.2.3.4%x"], "10.0.0.1", ["unknown"]),
        ([b"X-Forwarded-For: fe80::1%25eth0"], "10.0.0.1", ["unknown"]),
        ([b'X-Forwarded-For: "1.2.3.4"'], "10.0.0.1", ["unknown"]),
        ([b"X-Forwarded-For: 1.2.3.4;x"], "10.0.0.1", ["unknown"]),
        ([b"X-Forwarded-For: \xe9"], "10.0.0.1", ["unknown"]),
        ([b"X-Real-IP: 6.6.6.6", b"X-Client-IP: 6.6.6.6"], "10.0.0.1", []),
        # RFC 7239
        ([b"Forwarded: for=1.2.3.4"], "1.2.3.4", ["1.2.3.4"]),
        ([b"Forwarded: For=1.2.3.4;Proto=https;By=x"], "1.2.3.4", ["1.2.3.4"]),
        ([b'Forwarded: for="1.2.3.4:80"'], "1.2.3.4", ["1.2.3.4"]),
        ([b'Forwarded: for="[2001:db9::1]:4711"'], "2001:db9::1", ["2001:db9::1"]),
        ([b'Forwarded: for="[2001:db9::1]"'], "2001:db9::1", ["2001:db9::1"]),
        ([b'Forwarded: for="1.2.3\\.4"'], "1.2.3.4", ["1.2.3.4"]),
        ([b"Forwarded: for=6.6.6.6, for=1.2.3.4;proto=http, for=10.0.0.2"], "1.2.3.4", ["6.6.6.6", "1.2.3.4", "10.0.0.2"]),
        ([b"Forwarded: for=6.6.6.6", b"Forwarded: for=1.2.3.4"], "1.2.3.4", ["6.6.6.6", "1.2.3.4"]),
        ([b"Forwarded: for=unknown"], "10.0.0.1", ["unknown"]),
        ([b"Forwarded: for=_hidden, for=10.0.0.2"], "10.0.0.2", ["unknown", "10.0.0.2"]),
        ([b"Forwarded: proto=https"], "10.0.0.1", ["unknown"]),
        ([b'Forwarded: for="a, for=1.2.3.4"'], "10.0.0.1", ["unknown"]),
        ([b'Forwarded: for="1.2.3.4'], "10.0.0.1", []),
        ([b'Forwarded: for="6.6.6.6", for="1.2.3.4'], "10.0.0.1", []),
        ([b"Forwarded: for=1.2.3.4;for=6.6.6.6"], "10.0.0.1", []),
        ([b"Forwarded: for=1.2.3.4 6.6.6.6"], "10.0.0.1", []),
        ([b"Forwarded: 1.2.3.4"], "10.0.0.1", []),
        ([b"Forwarded:"], "10.0.0.1", []),
        # both: the one that edges add to
        ([b"Forwarded: for=6.6.6.6", b"X-Forwarded-For: 1.2.3.4"], "1.2.3.4", ["1.2.3.4"]),
    ],
    ids=lambda value: repr(value)[:70],
)  # fmt: skip
def test_the_client_is_the_rightmost_untrusted(lines: list[bytes], address: str, hops: list[str]) -> None:
    client = client_of("10.0.0.1", lines, TRUSTED)
    assert client.address == address
    assert client.hops == (*hops, "10.0.0.1")


@pytest.mark.parametrize(
    ("lines", "proto", "host"),
    [
        ([], "", ""),
        ([b"X-Forwarded-Proto: https", b"X-Forwarded-Host: App.Example:8443"], "https", "app.example:8443"),
        ([b"X-Forwarded-Proto: HTTPS"], "https", ""),
        ([b"X-Forwarded-Proto: wss"], "https", ""),
        ([b"X-Forwarded-Proto: http, https"], "https", ""),
        ([b"X-Forwarded-Proto: https", b"X-Forwarded-Proto: http"], "http", ""),
        ([b"X-Forwarded-Proto: javascript"], "", ""),
        ([b"X-Forwarded-Proto: https,"], "", ""),
        ([b"X-Forwarded-Host: evil.example, app.example"], "", "app.example"),
        ([b"X-Forwarded-Host: user@app.example"], "", ""),
        ([b"X-Forwarded-Host: app.example/path"], "", ""),
        ([b"X-Forwarded-Host: [::1]:80"], "", "[::1]:80"),
        ([b'Forwarded: for=1.2.3.4;proto=https;host="app.example:8443"'], "https", "app.example:8443"),
        ([b"Forwarded: for=6.6.6.6;proto=https;host=evil.example, for=1.2.3.4;proto=http;host=app.example"], "http", "app.example"),
        ([b"Forwarded: for=6.6.6.6;proto=https, for=1.2.3.4"], "", ""),
        ([b"X-Forwarded-For: 1.2.3.4", b"Forwarded: proto=https;host=evil.example"], "", ""),
    ],
    ids=lambda value: repr(value)[:70],
)  # fmt: skip
def test_scheme_and_host_are_what_the_trusted_peer_itself_told(
    lines: list[bytes], proto: str, host: str
) -> None:
    client = client_of("10.0.0.1", lines, TRUSTED)
    assert (client.proto, client.host) == (proto, host)


def test_a_unix_socket_is_trusted_when_the_list_says_unix() -> None:
    line = b"X-Forwarded-For: 1.2.3.4"
    assert client_of("", [line], Networks.parse(["unix"])) == Client(
        address="1.2.3.4", hops=("1.2.3.4", "unknown")
    )


def test_a_chain_is_cut_to_its_nearest_hops() -> None:
    line = b"X-Forwarded-For: " + b", ".join(b"1.1.1.%d" % n for n in range(200))
    client = client_of("10.0.0.1", [line], TRUSTED)
    assert len(client.hops) == forwarded.MAX_HOPS + 1
    assert client.address == "1.1.1.199"


def test_what_the_backend_is_told() -> None:
    plain = client_of("1.2.3.4", LIES, TRUSTED)
    assert build(plain, proto="http", host="app.example") == (
        b"X-Forwarded-For: 1.2.3.4\r\n"
        b"X-Forwarded-Proto: http\r\n"
        b"X-Forwarded-Host: app.example\r\n"
        b"Forwarded: for=1.2.3.4;host=app.example;proto=http\r\n"
    )
    behind = client_of(
        "2001:db8::1", [b"X-Forwarded-For: ?, 2001:db9::1", b"X-Forwarded-Proto: https"], TRUSTED
    )
    assert build(behind, proto="http", host="app.example:8000") == (
        b"X-Forwarded-For: unknown, 2001:db9::1, 2001:db8::1\r\n"
        b"X-Forwarded-Proto: https\r\n"
        b"X-Forwarded-Host: app.example:8000\r\n"
        b'Forwarded: for=unknown, for="[2001:db9::1]", for="[2001:db8::1]";host="app.example:8000";proto=https\r\n'
    )


_VALUES = st.lists(
    st.sampled_from([b"1.2.3.4", b"10.0.0.2", b"for=", b'"', b"[::1]", b",", b";", b" ", b"\\", b":80", b"proto=https", b"host=a", b"x", b"\xff"]),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(
    st.sampled_from([b"X-Forwarded-For", b"Forwarded", b"X-Forwarded-Host", b"X-Forwarded-Proto"]), _VALUES
)
def test_no_value_breaks_the_block_or_makes_a_chain_of_nothing(name: bytes, value: bytes) -> None:
    client = client_of("10.0.0.1", [name + b": " + value], TRUSTED)
    block = build(client, proto="http", host="app.example")
    assert block.count(b"\r\n") == block.count(b"\n") == block.count(b"\r") == 4
    assert client.hops[-1] == "10.0.0.1"
    assert client.address in client.hops
    # What we tell, the next gateway that trusts us reads the same.
    lines = block.split(b"\r\n")[:-1]
    again = client_of("127.0.0.1", lines[:1], TRUSTED)
    assert client_of("127.0.0.1", lines[3:], TRUSTED).address == again.address == client.address
