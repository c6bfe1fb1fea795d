"""The static files of the pages: read once, each under a name that carries its hash, so it never changes."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from importlib.resources import files

import msgspec

STATIC_PATH = "/@/static/"

_TYPES = {
    "css": "text/css; charset=utf-8",
    "gif": "image/gif",
    "jpg": "image/jpeg",
    "png": "image/png",
    "svg": "image/svg+xml",
    "webp": "image/webp",
}


class Asset(msgspec.Struct, frozen=True):
    """One static file."""

    body: bytes
    content_type: str


class Assets:
    """All static files, by their hashed names (`vestibule.1f5a52c0ffee.css`)."""

    def __init__(self, sources: Mapping[str, bytes]) -> None:
        self._sources = dict(sources)
        self._hashed = {name: _hashed_name(name, body) for name, body in sources.items()}
        self._assets = {
            self._hashed[name]: Asset(body, _TYPES[name.rpartition(".")[2]]) for name, body in sources.items()
        }
        self.style = sources["vestibule.css"].decode()
        digest = b64encode(hashlib.sha256(sources["vestibule.css"]).digest()).decode()
        #: what a Content-Security-Policy calls the stylesheet when it stands in the page
        self.style_source = f"'sha256-{digest}'"

    def with_files(self, more: Mapping[str, bytes]) -> Assets:
        """These files and more."""
        return Assets({**self._sources, **more}) if more else self

    def get(self, hashed_name: str) -> Asset | None:
        """The file of this hashed name, or None."""
        return self._assets.get(hashed_name)

    def url(self, name: str) -> str:
        """The address of the file `name` (`icon.svg`). Raises KeyError where there is no such file."""
        return STATIC_PATH + self._hashed[name]

    def mark_url(self, kind: str) -> str:
        """The address of a provider's mark, empty where there is none."""
        name = f"{kind}.svg"
        return self.url(name) if name in self._hashed and kind != "icon" else ""


def load_assets() -> Assets:
    """The static files of this package."""
    folder = files("vestibule.web") / "static"
    return Assets({entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()})


def _hashed_name(name: str, body: bytes) -> str:
    stem, _, extension = name.rpartition(".")
    return f"{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{extension}"
