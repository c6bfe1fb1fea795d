"""IO's configurations with our names: the text stays, what has no equivalent opens no door."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestibule.config.importers.io import import_io, is_as_it_was
from vestibule.config.importers.note import About
from vestibule.config.importers.source import Source
from vestibule.errors import ConfigError

_DATA = Path(__file__).parents[1] / "data"


def test_names_become_ours_and_everything_else_stays(desk) -> None:
    found = desk.io("newer.hcl")
    assert found.hcl.startswith('# two APIs behind one ingress\n# license = "abcdef"\n')
    for line in (
        'host "app.example.com" {\n  name    = "app"\n  backend = "localhost:3000"\n  oauth "google" {',
        '    client_secret    = "${env("GOOGLE_CLIENT_SECRET")}" # from the console\n',
        'call "google" {\n  port     = 4848\n  endpoint   = "www.googleapis.com"\n',
        '  endpoint = "http://billing.internal:8080"\n',
        '  value = "${env("BILLING_VALUE")}"\n',
    ):
        assert line in found.hcl
    assert "hidden-" not in found.hcl
    assert desk.load(found).summary == "1 host, 0 routes, 1 identity client, 2 calling interfaces"


def test_imported_text_has_nothing_more_to_change(desk) -> None:
    once = desk.io("newer.hcl")
    sources = [Source("x", once.hcl)]
    again = import_io(sources)
    assert is_as_it_was(sources, again)
    assert again.notes == ()


def test_the_same_file_gives_the_same_text(desk) -> None:
    assert desk.io("newer.hcl") == desk.io("newer.hcl")


@pytest.mark.parametrize("name", ["io-host.hcl", "io-call.hcl"])
def test_io_s_first_form_loads_as_it_is(name: str) -> None:
    sources = [Source(name, (_DATA / name).read_text("utf-8"))]
    assert is_as_it_was(sources, import_io(sources))


def test_each_change_is_told(desk) -> None:
    notes = desk.io("newer.hcl").notes
    assert [(note.about, note.name) for note in notes] == [
        (About.SET, "GOOGLE_CLIENT_SECRET"),
        (About.SET, "BILLING_VALUE"),
        (About.CHANGED, "ingress"),
        (About.CHANGED, "oauth_client"),
        (About.CHANGED, "calling"),
        (About.CHANGED, "target"),
        (About.CHANGED, "target"),
        (About.NONE, "license"),
        (About.NONE, "ingress"),
    ]


def test_who_was_kept_out_stays_out_where_a_way_to_sign_in_is_gone(desk, told) -> None:
    found = desk.io("serving.hcl")
    assert 'serving "nomad" {' in found.hcl
    assert "  # atproto_auth {\n" in found.hcl
    assert "  access {\n    allow = []\n  }\n}\n\nserving" in found.hcl
    assert told(found, "atproto_auth")[0].startswith("DO nobody gets into `nomad`")


def test_what_is_called_otherwise_is_called_so(desk) -> None:
    assert 'backend = "internal:echo"' in desk.io("serving.hcl").hcl


def test_secrets_of_one_name_in_several_hosts_have_variables_of_their_own() -> None:
    text = "".join(
        f'host "{host}" {{\n  oauth "google" {{\n    client_secret = "{secret}"\n  }}\n}}\n'
        for host, secret in (("a.example", "one"), ("b.example", "two"), ("c.example", "one"))
    )
    found = import_io([Source("x", text)])
    assert [note.name for note in found.notes if note.about is About.SET] == [
        "GOOGLE_CLIENT_SECRET",
        "B_EXAMPLE_GOOGLE_CLIENT_SECRET",
        "GOOGLE_CLIENT_SECRET",
    ]


@pytest.mark.parametrize(
    "value", ['"YOUR-CLIENT-SECRET"', '"${env("X")}"', 'env("X")', '"${file("x")}"'], ids=str
)
def test_what_is_no_secret_yet_stays(value: str) -> None:
    text = f'oauth "google" {{\n  client_secret = {value}\n}}\n'
    assert import_io([Source("x", text)]).hcl == text


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("api.example", True),
        ("api.example:443", True),
        ("localhost:8080", True),
        ("127.0.0.1:8080", True),
        ("https://api.example:8443", True),
        ("unix:/run/api.sock", True),
        ("api.example:8080", False),
    ],
)
def test_plain_http_to_another_machine_is_written_out(target: str, kept: bool) -> None:
    text = f'call "x" {{\n  endpoint = "{target}"\n}}\n'
    assert (import_io([Source("x", text)]).hcl == text) is kept


def test_blocks_on_one_line_are_read(desk) -> None:
    text = 'ingress "x" { name = "a" credential = "y" backend = "a.example" }\n'
    assert import_io([Source("x", text)]).hcl == (
        'host "x" { name = "a" # credential = "y"\n backend = "a.example" }\n'
    )


def test_a_text_that_is_no_hcl_is_a_fault_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        import_io([Source("x", "host {\n"), Source("y", "a = 'b'\n")])
    assert [fault.split(": ")[0] for fault in caught.value.faults] == ["x:1:6", "y:1:5"]
