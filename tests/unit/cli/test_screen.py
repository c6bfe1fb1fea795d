"""What a person sees when the gateway is ready: all of it, in the width there is, and no secret."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from vestibule.cli import screen
from vestibule.config.compile import compile_config
from vestibule.config.facts import facts_of, fields_of
from vestibule.config.load import load
from vestibule.observe.outlet import STDERR, STDOUT, Outlet

_TEXT = """
gateway {
  http            = ["127.0.0.1:8000"]
  forward_auth    = "127.0.0.1:4181"
  trusted_proxies = ["127.0.0.1"]
  workers         = 4
}
admin {
  listen = "127.0.0.1:9000"
}
store {
  url      = "postgresql://vestibule:hunter2@db.example.com/vestibule"
  sessions = "rediss://vestibule:hunter2@cache.example.com:6379"
}
provider "google" {
  client_id     = "x"
  client_secret = "hunter2"
}
host "forum.example.com" {
  backend    = "localhost:3000"
  public_url = "https://forum.example.com"
  sign_in    = ["google"]
  access {
    allow = ["domain:example.com"]
  }
}
host "www.localhost" {
  backend = "localhost:3001"
  access {
    allow = ["public"]
  }
}
call "api" {
  port     = 4848
  endpoint = "https://www.googleapis.com"
  auth {
    name       = "authorization"
    location   = "header"
    credential = "session:google"
  }
}
"""


@pytest.fixture
def loaded(tmp_path):
    file = tmp_path / "app.hcl"
    file.write_text(_TEXT)
    return load([file], {})


def squeezed(text: str) -> str:
    """Without what wraps and colours lines: a long path is broken anywhere."""
    return "".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_screen_says_what_listens_for_whom(loaded, width):
    facts = facts_of(compile_config(loaded))
    found = list(screen.lines(facts, ("app.hcl:3:5: " + "risky " * 30,), ("app.hcl",), width))
    text = "\n".join(found)
    for said in (
        *(
            "127.0.0.1:8000",
            "127.0.0.1:4181",
            "https://forum.example.com",
            "http://www.localhost:8000",
            "public",
        ),
        *("google", "api: 127.0.0.1:4848", "admin.sock", "127.0.0.1:9000", "vestibule.key", "db.example.com"),
        *("cache.example.com", "4", "app.hcl:3:5", "vestibule doctor app.hcl"),
    ):
        assert squeezed(said) in squeezed(text), said
    assert "hunter2" not in text
    bare = [line for line in found if "\x1b" not in line]
    assert all(len(line) <= width for line in bare)


def test_the_event_has_the_same_facts_and_no_secret(loaded):
    fields = fields_of(facts_of(compile_config(loaded)))
    assert fields["hosts"] == ["https://forum.example.com", "http://www.localhost:8000"]
    assert fields["providers"] == ["google"]
    assert fields["calls"] == ["api: 127.0.0.1:4848 to https://www.googleapis.com:443"]
    assert fields["workers"] == 4
    assert "hunter2" not in str(fields)


def test_many_hosts_and_warnings_are_counted_not_listed(loaded):
    facts = facts_of(compile_config(loaded))
    many = replace(facts, hosts=facts.hosts * 20)
    text = "\n".join(screen.lines(many, ("risky",) * 20, (), 80))
    assert "and 28 more" in text
    assert "and 14 more" in text


@pytest.mark.parametrize(
    ("outlet", "asked", "is_terminal", "wanted"),
    [
        (Outlet(), None, True, True),
        (Outlet(), None, False, False),
        (Outlet(), True, False, True),
        (Outlet(), False, True, False),
        (Outlet(format="json"), None, True, False),
        (Outlet(format="json", output=STDOUT), None, True, True),
        (Outlet(format="console", output=STDERR), None, True, True),
        (Outlet(format="logfmt"), True, True, True),
    ],
)
def test_it_is_shown_to_who_reads_no_lines_for_programs(outlet, asked, is_terminal, wanted):
    assert screen.is_wanted(outlet, asked=asked, is_terminal=is_terminal) is wanted
