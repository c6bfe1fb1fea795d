"""Which addresses the demo listens on."""

from __future__ import annotations

import pytest

from vestibule.demo.sockets import in_url, require_loopback
from vestibule.demo.stage import host_names
from vestibule.errors import ConfigError


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "::1"])
def test_loopback_is_taken(address):
    assert require_loopback(address) == address


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "192.168.1.2", "localhost", "example.com", "", "::ffff:8.8.8.8"]
)
def test_any_other_address_is_refused(address):
    with pytest.raises(ConfigError, match="loopback only"):
        require_loopback(address)


@pytest.mark.parametrize(
    ("address", "names"),
    [("127.0.0.1", ("localhost", "127.0.0.1")), ("::1", ("[::1]",)), ("127.0.0.2", ("127.0.0.2",))],
)
def test_the_gateway_answers_to(address, names):
    assert host_names(address) == names


@pytest.mark.parametrize(("address", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_an_address_in_a_url(address, shown):
    assert in_url(address) == shown
