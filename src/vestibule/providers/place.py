"""Where a provider is: what its URLs say, and what they must be."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import urlsplit

import msgspec

from vestibule.core.outgoing import checked_url
from vestibule.errors import ProviderInvalid


def origin_of(url: str) -> str:
    """`https://host[:port]` of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def place_of(config: msgspec.Struct) -> str:
    """A text that is another one when any URL of the configuration is, but for the redirect URL."""
    fields = msgspec.structs.asdict(config).items()
    urls = {name: url for name, url in fields if isinstance(url, str) and "://" in url}
    told = msgspec.json.encode({**urls, "redirect_url": ""}, order="sorted")
    return hashlib.sha256(told).hexdigest()[:32]


def check_url(name: str, url: str, *, is_required: bool = False) -> None:
    """Raise ValueError unless this is a URL that can be called: http is for whoever wrote it to answer for."""
    if not url:
        if is_required:
            raise ValueError(f"{name} is empty")
        return
    try:
        checked_url(url)
    except ProviderInvalid as exc:
        raise ValueError(f'{name} is not a URL that can be called: {name} = "https://…"') from exc


def check_own_urls(config: Any, **own: str) -> None:
    """Raise ValueError for URLs of the configuration, by name, that can't be called, or can't be another's than `own`.

    Threat: a row of the database whose accounts are a site's, by tokens that came from elsewhere, or by an API that
    says that it is any of them.
    """
    for name, url in own.items():
        written = getattr(config, name)
        check_url(name, written, is_required=True)
        if not config.is_trusted and written != url:
            raise ValueError(f"{name} can't be set in a database: leave it out")
