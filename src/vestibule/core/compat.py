"""Paths of other products on hosts whose edges were configured for them: which there are, and what each does.

A table over the same code: what a path does is one of the gateway's own things under another name. In front of it
stands an edge that hands on these paths and no others, so where a product has all its paths below one (`/oauth2`), the
gateway's own stand there, too: `/oauth2/@/static/…` is `/@/static/…`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

ASK: Final = "ask"
"""What an edge asks at; the others are named as in `web.compat`."""
CALLBACK: Final = "callback"
HEALTH: Final = frozenset({"ping", "ready", "healthcheck"})
"""What probes ask, under whatever name they have for a machine."""


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product's paths."""

    paths: Mapping[bytes, str]
    """What each does."""
    below: Mapping[bytes, str] = {}
    """What one more segment behind these does: `/auth/STATE`."""
    root: bytes = b""
    """Where all that people need stands; empty: everywhere."""
    asked_only: bool = False
    """At a host whose people sign in at another one, only what edges ask at is the product's: `/login` is the app's."""


PRODUCTS: Final[Mapping[str, Product]] = {
    "oauth2-proxy": Product(
        root=b"/oauth2",
        paths={
            b"/oauth2/auth": ASK,
            b"/oauth2/start": "start",
            b"/oauth2/sign_in": "sign_in",
            b"/oauth2/sign_out": "sign_out",
            b"/oauth2/callback": CALLBACK,
            b"/oauth2/userinfo": "userinfo",
            b"/ping": "ping",
            b"/ready": "ready",
        },
    ),
    "vouch": Product(
        asked_only=True,
        paths={
            b"/validate": ASK,
            b"/login": "login",
            b"/auth": CALLBACK,
            b"/logout": "logout",
            b"/healthcheck": "healthcheck",
        },
        below={b"/auth/": CALLBACK, b"/_external-auth-": ASK},
    ),
    "nuon": Product(
        asked_only=True,
        paths={
            b"/validate": ASK,
            b"/login": "login",
            b"/auth": CALLBACK,
            b"/logout": "logout",
            b"/success": "success",
            b"/device/code": "device_code",
            b"/device/token": "device_token",
        },
        below={b"/auth/": CALLBACK},
    ),
}


class Claim(msgspec.Struct, frozen=True):
    """Whose path it is, and what it does."""

    product: str
    what: str


def claim_of(products: Sequence[str], path: bytes, *, is_led_away: bool = False) -> Claim | None:
    """Who of these products has this canonical path; None: nobody.

    `is_led_away`: people of this host sign in at another one.
    """
    for name in products:
        product = PRODUCTS[name]
        what = product.paths.get(path) or _below(product, path)
        if what and (what == ASK or not (is_led_away and product.asked_only)):
            return Claim(name, what)
    return None


def _below(product: Product, path: bytes) -> str:
    for prefix, what in product.below.items():
        rest = path[len(prefix) :].removesuffix(b"/")
        if rest and b"/" not in rest and path.startswith(prefix):
            return what
    return ""


def root_of(products: Sequence[str]) -> bytes:
    """Where an edge hands on all that people need: `/oauth2`; empty where it hands on everything."""
    return next((PRODUCTS[name].root for name in products if PRODUCTS[name].root), b"")


def unrooted(path: bytes, root: bytes) -> bytes:
    """The gateway's own path (`/@/signin`) that stands below a root; any other path as it is."""
    return path[len(root) :] if root and path.startswith(root + b"/@") else path


def patterns_of(name: str) -> Iterator[bytes]:
    """Every path of the product, as it is told to people: `/auth/STATE`."""
    product = PRODUCTS[name]
    yield from product.paths
    for prefix in product.below:
        yield prefix + (b"ID" if prefix.endswith(b"-") else b"STATE")


def asked_at(name: str) -> bytes:
    """The path that edges ask at."""
    return _path_of(name, ASK)


def callback_of(name: str) -> bytes:
    """The path that people come back to from their provider."""
    return _path_of(name, CALLBACK)


def _path_of(name: str, wanted: str) -> bytes:
    return next(path for path, what in PRODUCTS[name].paths.items() if what == wanted)
