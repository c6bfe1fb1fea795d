"""Addresses, networks and endpoints: one spelling each, nothing guessed."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol import address
from vestibule.protocol.address import Endpoint, Networks


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("2001:DB8:0:0::A", "2001:db8::a"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::FFFF:a00:1", "10.0.0.1"),
        ("0:0:0:0:0:ffff:10.0.0.1", "10.0.0.1"),
        *(
            (text, None)
            for text in (
                "", " ", "localhost", "127.1", "1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.01", "127.0.0.1 ",
                "127.0.0.1/32", "127.0.0.1:80", "[::1]", "::1%lo", "fe80::1%25eth0", ":::", "1.2.3.256", "１.2.3.4",
                "1.2.3.4\n", "::ffff:10.0.0.1%x",
            )
        ),
    ],
)  # fmt: skip
def test_an_address_has_one_spelling(text: str, expected: str | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"\w"):
            address.normalise(text)
    else:
        assert address.normalise(text) == expected
        assert address.normalise(expected) == expected


NETWORKS = Networks.parse(
    ["10.0.0.0/8", "192.168.1.0/24", "203.0.113.7", "2001:db8::/32", "::1", "::ffff:172.16.0.0/108"]
)


@pytest.mark.parametrize(
    ("text", "is_in"),
    [
        ("10.0.0.0", True),
        ("10.255.255.255", True),
        ("11.0.0.0", False),
        ("9.255.255.255", False),
        ("::ffff:10.1.2.3", True),
        ("::10.1.2.3", False),
        ("192.168.1.255", True),
        ("192.168.2.0", False),
        ("203.0.113.7", True),
        ("203.0.113.8", False),
        ("172.16.0.1", True),
        ("172.31.255.255", True),
        ("172.32.0.0", False),
        ("::ffff:172.16.0.1", True),
        ("2001:db8:ffff::", True),
        ("2001:db9::", False),
        ("::1", True),
        ("::2", False),
        ("", False),
        ("unknown", False),
        ("10.0.0.1:80", False),
        ("10.0.0.1%x", False),
    ],
)
def test_membership(*, text: str, is_in: bool) -> None:
    assert (text in NETWORKS) is is_in


def test_the_empty_set_holds_nothing_and_unix_is_written_out() -> None:
    assert not Networks()
    assert "127.0.0.1" not in Networks()
    assert "" not in Networks()
    assert "" in Networks.parse(["unix"])
    assert Networks.parse(["0.0.0.0/0"])
    assert "8.8.8.8" in Networks.parse(["0.0.0.0/0"])
    assert "::2" not in Networks.parse(["0.0.0.0/0"])


@pytest.mark.parametrize(
    "text", ["", "10.0.0.1/8", "10.0.0.0/33", "10/8", "x", "fe80::%eth0/64", "::/129", "10.0.0.0/-1", "*"]
)
def test_a_network_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Networks.parse([text])


@given(st.ip_addresses(), st.lists(st.tuples(st.ip_addresses(), st.integers(0, 128)), max_size=5))
def test_membership_agrees_with_the_standard_library(of: object, pairs: list[tuple[object, int]]) -> None:
    plain = [(ip_network(f"{net}/{min(bits, net.max_prefixlen)}", strict=False)) for net, bits in pairs]  # type: ignore[attr-defined]
    plain = [net for net in plain if not str(net).startswith("::")]
    networks = Networks.parse(map(str, plain))
    one = address.parse(str(of))
    assert (one in networks) == any(one in net for net in plain)
    assert (str(one) in networks) == (one in networks)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("100.64.0.1", False),
        ("127.0.0.1", False),
        ("127.255.255.255", False),
        ("169.254.169.254", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::127.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("2001:0:7f00:1::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("100::1", False),
        ("127.1", False),
        ("localhost", False),
        ("", False),
        ("fe80::1%eth0", False),
    ],
)
def test_what_is_public(*, text: str, expected: bool) -> None:
    assert address.is_public(text) is expected


@given(st.ip_addresses())
def test_nothing_public_is_private_to_the_standard_library(of: object) -> None:
    assert not address.is_public(str(of)) or ip_address(str(address.parse(str(of)))).is_global


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("::ffff:127.0.0.1", True),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("0.0.0.0", False),
        ("::", False),
        ("128.0.0.1", False),
        ("127.1", False),
        ("", False),
    ],
)
def test_what_is_loopback(*, host: str, expected: bool) -> None:
    assert address.is_loopback(host) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0.0.0:80", Endpoint(host="0.0.0.0", port=80)),
        ("[::]:443", Endpoint(host="::", port=443)),
        ("localhost:0", Endpoint(host="localhost", port=0)),
        ("unix:/run/v.sock", Endpoint(path="/run/v.sock")),
        ("unix:state/v.sock", Endpoint(path="state/v.sock")),
        ("unix:///run/v.sock", Endpoint(path="/run/v.sock")),
        *(
            (text, None)
            for text in ("", ":80", "80", "localhost", "::1:80", "[::1]", "[::1%lo]:80", "host:65536", "host:-1", "a b:80",
                         "http://host:80", "127.1:80", "256.0.0.1:80", "-x:80", "host:", "unix:", "unix:" + "a" * 108, "unix:a\0")
        ),
    ],
)  # fmt: skip
def test_listeners(text: str, expected: Endpoint | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"\w"):
            address.parse_listener(text)
    else:
        assert address.parse_listener(text) == expected
        assert address.parse_listener(str(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:3000", Endpoint(host="localhost", port=3000)),
        ("LocalHost:3000", Endpoint(host="localhost", port=3000)),
        ("my_app:80", Endpoint(host="my_app", port=80)),
        ("[::1]:80", Endpoint(host="::1", port=80)),
        ("10.0.0.1:8080", Endpoint(host="10.0.0.1", port=8080)),
        ("http://app", Endpoint(host="app", port=80)),
        ("http://app:8080/", Endpoint(host="app", port=8080)),
        ("https://app", Endpoint(host="app", port=443, scheme="https")),
        ("https://[2001:db8::1]:8443", Endpoint(host="2001:db8::1", port=8443, scheme="https")),
        ("unix:/run/app.sock", Endpoint(path="/run/app.sock")),
        *(
            (text, None)
            for text in ("", "app", "app:0", "https://app/path", "https://app?x", "https://u@app", "ftp://app", "app:80/",
                         "https://", "//app:80", "https://app:443:443", "static:/x", "a..b:80", "app:8o")
        ),
    ],
)  # fmt: skip
def test_backends(text: str, expected: Endpoint | None) -> None:
    if expected is None:
        with pytest.raises(ValueError, match=r"\w"):
            address.parse_backend(text)
    else:
        assert address.parse_backend(text) == expected


def test_an_endpoint_knows_whether_it_stays_on_this_machine() -> None:
    assert address.parse_listener("127.0.0.1:80").is_loopback
    assert address.parse_listener("unix:x").is_loopback
    assert not address.parse_listener("0.0.0.0:80").is_loopback


@pytest.mark.parametrize("text", ["https://u:CANARY@app", "u:CANARY@app:80", "https://u:CAN@ARY@app:80"])
def test_a_password_that_stands_there_is_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="is not host:port") as caught:
        address.parse_backend(text)
    assert "AR" not in str(caught.value)
