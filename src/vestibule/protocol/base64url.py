"""Base64 for URLs, without padding (RFC 4648 section 5, RFC 7515 section 2), in its one spelling."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(raw: bytes) -> str:
    """The bytes as text: 43 characters for 32 bytes, 22 for 16."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes | None:
    """The bytes; None for padding, other characters, and any text that `encode` does not give.

    Threat: two texts for one value, which pass a cache or a mark of what was used as two.
    """
    if not text.isascii():
        return None
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return raw if encode(raw) == text else None
