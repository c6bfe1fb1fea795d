"""What no committed file may hold."""

from __future__ import annotations

import pytest

from tests.house.source import ROOT, committed_files

# In pieces, so that this file doesn't name them either.
REGISTRIES = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("rubygems", "org"),
        ("deb", "debian", "org"),
    )
)


def named_registries(text: str) -> list[str]:
    """The package registries a text names by host, in any spelling."""
    return [host for host in REGISTRIES if host in text.casefold()]


def test_no_file_names_the_host_of_a_package_registry():
    """A machine may have its own mirror: where packages come from is its configuration, never this project's."""
    named = {
        str(path.relative_to(ROOT)): hosts
        for path in committed_files()
        if (hosts := named_registries(path.read_text("utf-8", "replace")))
    }
    assert named == {}


def test_the_files_looked_at_are_those_of_the_project():
    looked_at = {str(path.relative_to(ROOT)) for path in committed_files()}
    assert {"requirements.lock", "tests/real/node/package-lock.json", "src/vestibule/model.py"} <= looked_at
    assert not any(name.startswith((".venv/", "tests/real/node/node_modules/")) for name in looked_at)


@pytest.mark.parametrize("host", REGISTRIES)
def test_a_registry_is_found_in_a_url(host):
    assert named_registries(f'"resolved": "https://{host.upper()}/x.tgz"') == [host]
