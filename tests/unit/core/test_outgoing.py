"""Where an outgoing request may go: addresses, and who gave the URL."""

from __future__ import annotations

import ipaddress

import pytest

from vestibule.core.outgoing import Guard, checked_url, guard_of, shown
from vestibule.errors import ProviderInvalid
from vestibule.protocol.address import OUTSIDE, Networks

NOT_PUBLIC = [
    "192.88.99.1",
    "3fff::1",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.254",
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.0.1",
    "192.168.255.255",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "::10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2002:a9fe:a9fe::",
    "2001:0:7f00:1:0:0:80ff:fffe",
    "fc00::1",
    "fd00:ec2::254",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "febf::1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2001:2::1",
    "2001:10::1",
    "2002:808:808::1",
    "2001:0:808:808:0:0:f7f7:f7f7",
    "::ffff:0:7f00:1",
    "::ffff:0:808:808",
    "4000::1",
    "5f00::1",
]

ARE_PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "203.0.114.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_an_address_inside_any_network_is_not_public(text: str) -> None:
    assert not Guard.PUBLIC.admits(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ARE_PUBLIC)
def test_an_address_of_the_internet_is_public(text: str) -> None:
    assert Guard.PUBLIC.admits(ipaddress.ip_address(text))


ALLOW = Networks.parse(["10.0.0.0/8", "169.254.7.0/24", "fd00::/8", "127.0.0.1"])


@pytest.mark.parametrize(
    ("guard", "text", "admitted"),
    [
        (Guard.WRITTEN, "10.0.0.1", True),
        (Guard.WRITTEN, "127.0.0.1", True),
        (Guard.WRITTEN, "fd00::1", True),
        (Guard.WRITTEN, "8.8.8.8", True),
        (Guard.WRITTEN, "169.254.169.254", False),
        (Guard.WRITTEN, "::ffff:169.254.169.254", False),
        (Guard.WRITTEN, "64:ff9b::a9fe:a9fe", False),
        (Guard.WRITTEN, "2002:a9fe:a9fe::1", False),
        (Guard.WRITTEN, "2001:0:7f00:1:0:0:5601:5601", False),
        (Guard.WRITTEN, "fe80::1", False),
        (Guard.WRITTEN, "0.0.0.0", False),
        (Guard.WRITTEN, "::", False),
        (Guard.WRITTEN, "224.0.0.1", False),
        (Guard.PUBLIC, "8.8.8.8", True),
        (Guard.PUBLIC, "10.0.0.1", False),
        (Guard.PUBLIC, "127.0.0.1", False),
        (Guard.ALLOWED, "8.8.8.8", False),
        (Guard.ALLOWED, "10.0.0.1", False),
        (Guard.ALLOWED, "127.0.0.1", False),
    ],
)
def test_each_guard_admits_its_own(guard: Guard, text: str, admitted: bool) -> None:
    assert guard.admits(ipaddress.ip_address(text)) is admitted


@pytest.mark.parametrize("guard", Guard)
@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("169.254.7.1", True),
        ("fd00:ec2::254", True),
        ("127.0.0.1", True),
        ("::ffff:169.254.169.254", False),
        ("169.254.8.1", False),
        ("2002:a9fe:a9fe::1", False),
        ("0.0.0.0", False),
        ("fe80::1", False),
    ],
)
def test_what_the_operator_allows_every_guard_admits_and_no_more(
    guard: Guard, text: str, admitted: bool
) -> None:
    assert guard.admits(ipaddress.ip_address(text), ALLOW) is admitted


@pytest.mark.parametrize("text", ["64:ff9b::a00:1", "2002:a00:1::1", "::10.0.0.1", "::ffff:0:a00:1"])
def test_an_address_that_only_carries_an_allowed_one_is_another(text: str) -> None:
    """A packet to it goes to a translator or a tunnel, and who knows where from there."""
    assert not Guard.PUBLIC.admits(ipaddress.ip_address(text), ALLOW)


OP = "https://op.example"


@pytest.mark.parametrize(
    ("url", "via", "guard"),
    [
        ("https://op.example/x", "", Guard.WRITTEN),
        ("http://op.example/x", "", Guard.WRITTEN),
        ("http://10.0.0.1/x", "", Guard.WRITTEN),
        ("https://op.example/x", OP, Guard.WRITTEN),
        ("https://op.example:8443/x", OP, Guard.WRITTEN),
        ("https://OP.example/x", OP, Guard.WRITTEN),
        ("http://op.example/x", OP, Guard.ALLOWED),
        ("http://op.example:8080/x", "http://op.example", Guard.WRITTEN),
        ("https://op.example/x", "http://op.example", Guard.WRITTEN),
        ("http://localhost:9000/x", "https://localhost", Guard.WRITTEN),
        ("http://127.0.0.1:9000/x", "http://localhost:9000", Guard.ALLOWED),
        ("https://keys.example/x", OP, Guard.PUBLIC),
        ("https://op.example./x", OP, Guard.PUBLIC),
        ("https://xop.example/x", OP, Guard.PUBLIC),
        ("https://sub.op.example/x", OP, Guard.PUBLIC),
        ("http://keys.example/x", OP, Guard.ALLOWED),
        ("https://127.0.0.1/x", "http://127.0.0.2", Guard.PUBLIC),
        ("http://keycloak:8080/x", f"{OP} http://keycloak:8080/doc", Guard.WRITTEN),
        ("https://op.example/x", f"{OP} http://keycloak:8080/doc", Guard.WRITTEN),
        ("http://op.example/x", f"{OP} http://keycloak:8080/doc", Guard.ALLOWED),
        ("https://keys.example/x", f"{OP} http://keycloak:8080/doc", Guard.PUBLIC),
        ("https://op.example/x", OUTSIDE, Guard.PUBLIC),
        ("http://op.example/x", OUTSIDE, Guard.ALLOWED),
        ("http://localhost/x", OUTSIDE, Guard.ALLOWED),
    ],
)
def test_who_gave_a_url_says_where_it_may_lead(url: str, via: str, guard: Guard) -> None:
    assert guard_of(checked_url(url), via) is guard


@pytest.mark.parametrize("via", ["nonsense", "ftp://op.example/", "https://u@op.example/"])
def test_a_url_that_nobody_can_have_been_led_by_gives_no_freedom(via: str) -> None:
    with pytest.raises(ProviderInvalid):
        guard_of(checked_url("https://op.example/"), via)


STRANGE_URLS = [
    "",
    "op.example",
    "//op.example/x",
    "ftp://op.example/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:25/",
    "javascript:alert(1)",
    "unix:/run/x.sock",
    "https://",
    "https:///path",
    "https://user@op.example/",
    "https://user:secret@op.example/",
    "https://op.example#@evil.example/",
    "https://op.example/#x",
    "https://op.example\\@evil.example/",
    "https://op.example/ x",
    "https://op.example/\r\nHost: evil",
    "https://op.example/\x00",
    "https://op.example:0/",
    "https://op.example:99999/",
    "https://op.example:abc/",
    "https://[fe80::1%25eth0]/",
    "https://[::1",
    "https://b\u00fccher.example/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://" + "a" * 300 + ".example/",
    "https://op.example%2f@evil.example/",
]


@pytest.mark.parametrize("raw", STRANGE_URLS)
def test_a_url_no_provider_has_is_never_called(raw: str) -> None:
    with pytest.raises(ProviderInvalid) as told:
        checked_url(raw)
    assert told.value.code == "url_refused"
    assert "secret" not in told.value.detail


NUMBERS = ["127.1", "0x7f.1", "2130706433", "0", "127.0.0.1.", "1.2.3.4.5", "a.example.0x7", "a.example.1"]


@pytest.mark.parametrize("host", NUMBERS)
def test_a_host_that_only_some_readers_take_for_an_address_is_never_called(host: str) -> None:
    with pytest.raises(ProviderInvalid):
        checked_url(f"https://{host}/")


def test_a_good_url_is_what_is_connected_to() -> None:
    assert str(checked_url("https://op.example:8443/a?b=c")) == "https://op.example:8443/a?b=c"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://op.example/a?code=hush", "https://op.example/a"),
        ("https://user:hush@op.example/a", "https://***@op.example/a"),
        ("https://op.example/" + "x" * 300, "https://op.example/" + "x" * 181),
    ],
)
def test_what_a_log_may_not_hold_is_not_shown(url: str, expected: str) -> None:
    assert shown(url) == expected
