"""Callers that show a token: oauth2-proxy's JWT issuers as `issuer` blocks."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.oauth2_proxy.read import Read
from vestibule.config.write import Block, Text, Value

_GOOGLE: Final = "https://accounts.google.com"


def issuers(read: Read, notes: Notes) -> tuple[Block, ...]:
    """A block for each issuer whose tokens were taken: the provider's own first."""
    options = read.options
    further = options.items("extra_jwt_issuers")
    if not options.switch("skip_jwt_bearer_tokens"):
        if further:
            notes.add(
                About.NONE,
                "extra_jwt_issuers",
                "counts for nothing without `skip_jwt_bearer_tokens`: left out",
            )
        return ()
    audiences: dict[str, list[Text]] = {}
    own = options.text("oidc_issuer_url")
    if not own and (options.text("provider") or "google") == "google":
        own = _GOOGLE
    if own:
        client = options.reference("client_id")
        audiences[own] = [*([client] if client else []), *options.items("oidc_extra_audiences")]
    for pair in further:
        issuer, mark, audience = pair.partition("=")
        if not mark or not audience:
            notes.add(About.DO, f"extra_jwt_issuers ({pair})", "is no `issuer=audience`: left out")
        else:
            audiences.setdefault(issuer, []).append(audience)
    blocks: dict[str, Block] = {}
    for url, found in audiences.items():
        host = re.sub(r"[^A-Za-z0-9]+", "-", urlsplit(url).hostname or "issuer").strip("-")
        name = host if host not in blocks else f"{host}-{len(blocks) + 1}"
        blocks[name] = _block(name, url, found, read, own)
    return tuple(blocks.values())


def _block(name: str, url: str, audiences: list[Text], read: Read, own: str) -> Block:
    attributes: dict[str, Value] = {"url": url, "audience": tuple(dict.fromkeys(audiences))}
    if url == own:
        if algorithms := read.options.items("oidc_enabled_signing_algs"):
            attributes["algorithms"] = algorithms
        if jwks := read.options.text("oidc_jwks_url"):
            attributes["jwks_url"] = jwks
    return Block("issuer", name, attributes)
