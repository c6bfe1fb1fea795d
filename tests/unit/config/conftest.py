"""Configurations written down in a test, and what is said about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from vestibule.config.load import Loaded, load
from vestibule.errors import ConfigError

GOOGLE = """
provider "google" {
  client_id     = "id"
  client_secret = "secret"
  hosted_domain = "example.com"
}
"""


class Desk:
    """Writes files into a directory of the test's own and loads them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, text: str, name: str = "v.hcl") -> Path:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return path

    def load(self, *texts: str, environ: Mapping[str, str] | None = None) -> Loaded:
        names = ("v.hcl", "w.hcl", "x.hcl")
        return load([self.file(text, name) for text, name in zip(texts, names, strict=False)], environ or {})

    def faults(self, *texts: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """Every fault, without the name of the directory."""
        try:
            self.load(*texts, environ=environ)
        except ConfigError as error:
            return [self.short(fault) for fault in error.faults]
        return []

    def warnings(self, *texts: str) -> list[str]:
        """Every warning, without the name of the directory."""
        return [self.short(warning) for warning in self.load(*texts).warnings]

    def short(self, text: str) -> str:
        return text.replace(f"{self.folder}/", "")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def host(desk: Desk) -> Callable[[str], list[str]]:
    """The faults of one host's inside."""

    def faults(inside: str) -> list[str]:
        return desk.faults(GOOGLE + f'host "app.example.com" {{\n{inside}\n}}\n')

    return faults
