"""A listener that can't listen says what to do."""

from __future__ import annotations

import errno
import os

import pytest

from vestibule.core.listener import Listener as Address
from vestibule.errors import ConfigError
from vestibule.proxy import listener
from vestibule.proxy.listener import Listener

AT = Address(host="127.0.0.1", port=8000)


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        pytest.param(errno.EADDRINUSE, "choose another port", id="port-taken"),
        pytest.param(errno.EADDRNOTAVAIL, "no such address", id="address-of-another-machine"),
        pytest.param(errno.EACCES, "choose a higher port", id="low-port-without-root"),
        pytest.param(errno.ENOENT, os.strerror(errno.ENOENT), id="anything-else-as-the-system-says-it"),
    ],
)
async def test_an_address_that_cannot_be_had_is_named_with_what_to_do(monkeypatch, number, advice):
    def refuse(address):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(listener, "open_socket", refuse)
    with pytest.raises(ConfigError) as told:
        await Listener(AT, handler=None, clock=lambda: 0.0).start()
    (fault,) = told.value.faults
    assert fault.startswith("can't listen on 127.0.0.1:8000: ")
    assert advice in fault
