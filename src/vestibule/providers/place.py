"""Where a provider is: what its URLs say."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

import msgspec


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
