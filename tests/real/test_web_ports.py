"""Names and the ports of the web, where a machine lets us have both."""

from __future__ import annotations

import sys

import pytest

from tests.real import namespace


@pytest.mark.timeout(300)
def test_a_host_on_the_ports_of_the_web():
    """Its tests are those of inside_web_ports.py, in a network of their own."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = namespace.run([*command, "tests/real/inside_web_ports.py"], timeout_s=280)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
