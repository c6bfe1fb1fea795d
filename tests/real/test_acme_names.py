"""Hosts that come and go by reload, with certificates by ACME."""

from __future__ import annotations

import ssl

import pytest

from tests.real.test_acme import NAME, backend, shown, started, wait_for
from vestibule.admin_client import AdminClient

__all__ = ["backend", "started"]
pytestmark = pytest.mark.real

OTHER = "other.example.com"


def test_a_name_that_comes_by_reload_is_ordered_and_one_that_goes_is_shown_no_more(started, authorities):
    pebble = authorities.pebble()
    gateway = started(pebble.directory)
    client = AdminClient(f"unix:{gateway.directory / 'state' / 'admin.sock'}")
    wait_for(gateway, "certificate.issued")
    root = pebble.root_pem()
    first = shown(authorities, root)
    one = gateway.file.read_text()
    host = one[one.index(f'host "{NAME}"') :]

    # It comes, and is the only one that is ordered.
    gateway.file.write_text(one + host.replace(NAME, OTHER))
    client.reload()
    issued = wait_for(gateway, "certificate.issued", 2)
    assert [line["host"] for line in issued] == [NAME, OTHER]
    other = shown(authorities, root, name=OTHER)
    assert shown(authorities, root) == first

    # The first one goes: nobody is shown its certificate any more, and the other's is what it was.
    gateway.file.write_text(one.replace(NAME, OTHER))
    client.reload()
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        shown(authorities, root)
    assert shown(authorities, root, name=OTHER) == other

    # It comes back, while what was issued is good: it is not ordered again.
    gateway.file.write_text(one + host.replace(NAME, OTHER))
    client.reload()
    assert (shown(authorities, root), shown(authorities, root, name=OTHER)) == (first, other)
    assert len(wait_for(gateway, "certificate.issued", 2)) == 2
