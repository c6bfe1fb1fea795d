"""docs/moving: what they show is what the importers print, and the tables are the importers' own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.source import ROOT
from vestibule.config.importers.io import import_io, is_as_it_was
from vestibule.config.importers.note import Imported
from vestibule.config.importers.oauth2_proxy import import_oauth2_proxy
from vestibule.config.importers.source import Source
from vestibule.config.importers.table import PRODUCTS, page
from vestibule.config.importers.vouch import import_vouch

DOCS = ROOT / "docs" / "moving"
_FENCE = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(name: str, language: str) -> list[str]:
    return [text for found, text in _FENCE.findall((DOCS / name).read_text("utf-8")) if found == language]


def blocks(found: Imported) -> str:
    """The text without what it begins and ends with: comments that stand by themselves."""
    paragraphs = [part for part in re.split(r"\n(?=\S)", found.hcl) if not part.startswith("#")]
    return re.sub(r"\n\n\n+", "\n\n", "\n".join(paragraphs).strip() + "\n")


def unread(_: str) -> str | None:
    return None


@pytest.mark.parametrize("name", PRODUCTS)
def test_the_table_of_options_is_the_importer_s(name: str) -> None:
    written = (DOCS / f"{name}-options.md").read_text("utf-8")
    assert written.splitlines() == page(name).splitlines(), (
        f"run: python -m vestibule.config.importers.table {name} > docs/moving/{name}-options.md"
    )


def test_oauth2_proxy_s_file_becomes_what_is_shown() -> None:
    (text,) = fences("oauth2-proxy.md", "toml")
    found = import_oauth2_proxy([Source("oauth2-proxy.cfg", text)], (), unread)
    assert blocks(found) == fences("oauth2-proxy.md", "hcl")[0]


def test_behind_an_edge_it_becomes_what_is_shown() -> None:
    text = (
        'upstreams = "static://202"\nreverse_proxy = true\nprovider = "github"\ngithub_org = "example"\n'
        'client_id = "Iv1.0123456789abcdef"\nclient_secret = "x"\ncookie_domains = ".example.com"\n'
        'redirect_url = "https://auth.example.com/oauth2/callback"\nemail_domains = "*"\n'
    )
    found = import_oauth2_proxy([Source("oauth2-proxy.cfg", text)], ("app.example.com",), unread)
    assert blocks(found) == fences("oauth2-proxy.md", "hcl")[1]


def test_vouch_s_file_becomes_what_is_shown() -> None:
    (text,) = fences("vouch.md", "yaml")
    found = import_vouch([Source("config.yml", text)], ("app.example.com",))
    assert blocks(found) == fences("vouch.md", "hcl")[0]


@pytest.mark.parametrize("number", range(4))
def test_io_s_forms_are_imported(number: int) -> None:
    sources = [Source("io.hcl", fences("io.md", "hcl")[number])]
    found = import_io(sources)
    assert is_as_it_was(sources, found) is (number != 1)


def test_every_name_of_io_s_that_is_changed_is_in_its_table() -> None:
    text = (DOCS / "io.md").read_text("utf-8")
    source = Path(import_io.__code__.co_filename).read_text("utf-8")
    table = source[source.index("_RENAMED") : source.index("_SECRETS")]
    names = set(re.findall(r'\("[a-z]*", "([a-z_]+)"\)', table))
    assert names
    assert {name for name in names if f"`{name}" not in text} == set()
