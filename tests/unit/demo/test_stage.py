"""The demo's configuration file: what a person reads in it, and that the gateway takes it."""

from __future__ import annotations

import pytest

from vestibule.config.load import load
from vestibule.demo.stage import configuration

VALUES = {
    "listeners": ["127.0.0.1:8000", "[::1]:8000"],
    "state": "/tmp/demo/state",
    "issuer": "http://127.0.0.1:5001",
    "client_secret": "s3cret",
    "hosts": ["localhost", "127.0.0.1"],
    "backend": "127.0.0.1:5002",
    "calls_port": 5003,
}


@pytest.fixture
def loaded(tmp_path):
    file = tmp_path / "demo.hcl"
    file.write_text(configuration(**VALUES), "utf-8")
    return load([file], {})


def test_the_gateway_takes_it_without_a_warning(loaded):
    assert loaded.warnings == ()
    assert loaded.summary == "2 hosts, 4 routes, 1 identity client, 1 calling interface"


def test_everything_listens_on_loopback(loaded):
    assert [str(listener) for listener in loaded.config.gateway.http] == VALUES["listeners"]
    assert all(listener.is_loopback for listener in loaded.config.gateway.http)


def test_it_reads_like_a_file_somebody_wrote():
    text = configuration(**VALUES)
    assert "{{" not in text
    assert "{%" not in text
    assert "\n\n\n" not in text
    assert text == text.strip() + "\n" or text == text.strip()
    assert all(line == line.rstrip() for line in text.splitlines())
