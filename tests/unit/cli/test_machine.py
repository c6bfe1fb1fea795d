"""`vestibule machine`: what is told before anybody is asked."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from vestibule.cli.machine import machine

URL = "https://auth.example.com"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["jwt", URL], "--from PLATFORM, or --token-file FILE"),
        (["jwt", URL, "--from", "github", "--token-file", "x"], "--from PLATFORM, or --token-file FILE"),
        (["key", URL, "--key-file", "x"], "--machine NAME"),
        (["aws", "http://auth.example.com"], "a gateway is at https://"),
        (["jwt", "auth.example.com", "--token-file", "x"], "a gateway is at https://"),
    ],
    ids=["no token", "two tokens", "nobody's key", "in the clear", "no URL"],
)
def test_what_cannot_work_is_told_at_once(argv, said):
    done = CliRunner().invoke(machine, argv)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr


@pytest.mark.parametrize("name", ["aws", "jwt", "key"])
def test_each_way_says_what_it_takes(name):
    done = CliRunner().invoke(machine, [name, "--help"])
    assert done.exit_code == 0
    assert "--as-header" in done.stdout
