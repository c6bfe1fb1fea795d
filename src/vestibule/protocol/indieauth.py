"""IndieAuth's own parts: web addresses of people, and where they say who signs them in.

Spec: IndieAuth (indieauth.spec.indieweb.org, 11 July 2024), by its sections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from typing import Any, Final, TypeGuard
from urllib.parse import urljoin, urlsplit, urlunsplit

import msgspec

ADDRESS_MAX_CHARS: Final = 2000
PAGE_MAX_BYTES: Final = 256 * 1024
"""How much of a page is read for links: they stand at its beginning, and whoever types an address chooses the page."""
_LINK_RE: Final = re.compile(r"<([^<>]*)>([^<]*)")
_REL_RE: Final = re.compile(r';\s*rel\s*=\s*(?:"([^"]*)"|([^\s";,]+))', re.IGNORECASE)
_SCHEME_RE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://")
_LABEL_RE: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
#: what begins no tag, and costs the parser as much as one
_LONE_RE: Final = re.compile("<(?![A-Za-z/!?])")
_RELS: Final = frozenset({"indieauth-metadata", "authorization_endpoint"})


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """What a server that signs people in says of itself."""

    authorization_endpoint: str
    issuer: str = ""
    """Empty for a server of before 2022, which has no metadata document."""
    has_iss: bool = False
    """Its answers name their issuer (RFC 9207)."""


def profile_url(raw: str) -> str:
    """A person's web address in its one form. Raises ValueError for what can't be one.

    Spec: section 3.2 (profile URL), 3.4 (canonicalization). Without a scheme it is https. Not checked: that anything
    is there, or that it may be fetched (`fetch` does).
    """
    text = raw.strip()
    if not _SCHEME_RE.match(text):
        text = f"https://{text}"
    if len(text) > ADDRESS_MAX_CHARS or not text.isprintable() or any(c in text for c in " \\#"):
        raise ValueError("no web address")
    parts = urlsplit(text)
    host = _host(parts.hostname or "")
    has_more = parts.username is not None or parts.password is not None or parts.port is not None
    if parts.scheme.lower() not in {"http", "https"} or has_more or not host:
        raise ValueError("no web address")
    path = parts.path or "/"
    if any(segment in {".", ".."} for segment in path.split("/")) or not (path + parts.query).isascii():
        raise ValueError("no web address")
    return urlunsplit((parts.scheme.lower(), host, path, parts.query, ""))


def links(url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """Absolute URL by `rel`, of those IndieAuth knows: the first of each, Link headers before the document.

    Spec: section 4.1. `headers` have lower-case names.
    """
    found: dict[str, str] = {}
    for target, parameters in _LINK_RE.findall(headers.get("link", "")):
        rel = _REL_RE.search(parameters)
        if rel:
            _note(found, url, target, (rel[1] or rel[2] or "").lower().split())
    if "html" in headers.get("content-type", "text/html").lower():
        reader = _Links()
        reader.feed(_LONE_RE.sub("", body[:PAGE_MAX_BYTES].decode("utf-8", "replace")))
        for target, rels in reader.found:
            _note(found, url, target, rels)
    return found


def parse_metadata(document: Any, url: str) -> Metadata:
    """The metadata that was found at `url`. Raises ValueError for what nobody can sign in with.

    Spec: section 4.1.1: the issuer is a URL without query and fragment, and the beginning of the metadata's own URL.
    """
    if not isinstance(document, dict):
        raise ValueError("the metadata is no JSON object")  # noqa: TRY004 - what came is at fault, not its type
    issuer, endpoint = document.get("issuer"), document.get("authorization_endpoint")
    if not _is_url(issuer) or "?" in issuer or "#" in issuer or not url.startswith(issuer):
        raise ValueError("the metadata's issuer is not where it stands")
    if not _is_url(endpoint):
        raise ValueError("the metadata names no authorization endpoint")
    methods = document.get("code_challenge_methods_supported")
    if isinstance(methods, list) and "S256" not in methods:
        raise ValueError("the server doesn't do PKCE with S256")
    return Metadata(
        authorization_endpoint=endpoint,
        issuer=issuer,
        has_iss=document.get("authorization_response_iss_parameter_supported") is True,
    )


class _Links(HTMLParser):
    """Collects `link` elements with a `rel`, in the order of the document.

    Threat: `a` elements, which blogs let their visitors write, `rel` and all: whose word is then the author's?
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, list[str]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "link":
            values = dict(attrs)
            self.found.append((values.get("href") or "", (values.get("rel") or "").lower().split()))


def _note(found: dict[str, str], url: str, target: str, rels: Iterable[str]) -> None:
    for rel in _RELS.intersection(rels):
        try:
            absolute = urljoin(url, target)
        except ValueError:
            continue
        if _is_url(absolute):
            found.setdefault(rel, absolute)


def _is_url(value: Any) -> TypeGuard[str]:
    if not isinstance(value, str) or len(value) > ADDRESS_MAX_CHARS:
        return False
    return (
        value.startswith(("https://", "http://"))
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )


def _host(name: str) -> str:
    """The domain in lower case, as ASCII; "" for an IP address and for a single label that isn't `localhost`."""
    try:
        ascii_name = (name if name.isascii() else name.encode("idna").decode("ascii")).lower()
    except UnicodeError:
        return ""
    labels = ascii_name.removesuffix(".").split(".")
    is_address = ":" in name or labels[-1].isdigit()
    is_named = len(labels) > 1 or labels == ["localhost"]
    if is_address or not is_named or not all(_LABEL_RE.fullmatch(label) for label in labels):
        return ""
    return ".".join(labels)
