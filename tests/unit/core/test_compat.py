"""Whose path it is, on hosts that have other products' paths."""

from __future__ import annotations

import pytest

from vestibule.core.compat import (
    CALLBACK,
    PRODUCTS,
    Claim,
    callback_of,
    claim_of,
    patterns_of,
    root_of,
    unrooted,
)


@pytest.mark.parametrize(
    ("product", "path", "what"),
    [
        ("oauth2-proxy", b"/oauth2/auth", "ask"),
        ("oauth2-proxy", b"/oauth2/start", "start"),
        ("oauth2-proxy", b"/oauth2/sign_in", "sign_in"),
        ("oauth2-proxy", b"/oauth2/sign_out", "sign_out"),
        ("oauth2-proxy", b"/oauth2/callback", "callback"),
        ("oauth2-proxy", b"/oauth2/userinfo", "userinfo"),
        ("oauth2-proxy", b"/ping", "ping"),
        ("oauth2-proxy", b"/ready", "ready"),
        ("oauth2-proxy", b"/robots.txt", ""),
        ("oauth2-proxy", b"/oauth2", ""),
        ("oauth2-proxy", b"/oauth2/", ""),
        ("oauth2-proxy", b"/oauth2/auth/x", ""),
        ("oauth2-proxy", b"/oauth2/authx", ""),
        ("vouch", b"/validate", "ask"),
        ("vouch", b"/validate/", ""),
        ("vouch", b"/_external-auth-Lw", "ask"),
        ("vouch", b"/_external-auth-", ""),
        ("vouch", b"/_external-auth-a/b", ""),
        ("vouch", b"/login", "login"),
        ("vouch", b"/logins", ""),
        ("vouch", b"/auth", "callback"),
        ("vouch", b"/auth/", ""),
        ("vouch", b"/auth/STATE", "callback"),
        ("vouch", b"/auth/STATE/", "callback"),
        ("vouch", b"/auth/STATE/more", ""),
        ("vouch", b"/logout", "logout"),
        ("vouch", b"/healthcheck", "healthcheck"),
        ("vouch", b"/success", ""),
        ("nuon", b"/validate", "ask"),
        ("nuon", b"/login", "login"),
        ("nuon", b"/auth/STATE", "callback"),
        ("nuon", b"/logout", "logout"),
        ("nuon", b"/success", "success"),
        ("nuon", b"/_external-auth-Lw", ""),
        ("nuon", b"/device/code", "device_code"),
        ("nuon", b"/device/token", "device_token"),
        ("nuon", b"/device", ""),
        ("nuon", b"/device/code/approve", ""),
    ],
)
def test_each_products_paths_are_its_own_and_nothing_else_is(product: str, path: bytes, what: str) -> None:
    assert claim_of((product,), path) == (Claim(product, what) if what else None)
    assert claim_of((), path) is None


@pytest.mark.parametrize("product", PRODUCTS)
def test_where_people_sign_in_elsewhere_the_app_keeps_its_login_page(product: str) -> None:
    claimed = [
        path for path in PRODUCTS[product].paths if claim_of((product,), path, is_led_away=True) is not None
    ]
    assert claimed == ([b"/validate"] if product != "oauth2-proxy" else list(PRODUCTS[product].paths))


def test_of_two_products_each_has_its_own() -> None:
    both = ("oauth2-proxy", "vouch")
    assert claim_of(both, b"/oauth2/auth") == Claim("oauth2-proxy", "ask")
    assert claim_of(both, b"/validate") == Claim("vouch", "ask")
    assert not set(patterns_of("oauth2-proxy")) & set(patterns_of("vouch"))
    assert set(patterns_of("nuon")) & set(patterns_of("vouch"))


@pytest.mark.parametrize("product", PRODUCTS)
def test_people_come_back_to_one_path(product: str) -> None:
    assert PRODUCTS[product].paths[callback_of(product)] == CALLBACK


@pytest.mark.parametrize(
    ("path", "own"),
    [
        (b"/oauth2/@/signin", b"/@/signin"),
        (b"/oauth2/@op/signin", b"/@op/signin"),
        (b"/oauth2/sign_in", b"/oauth2/sign_in"),
        (b"/oauth2/x/@/signin", b"/oauth2/x/@/signin"),
        (b"/oauth2x/@/signin", b"/oauth2x/@/signin"),
        (b"/@/signin", b"/@/signin"),
    ],
)
def test_the_gateways_own_paths_stand_below_a_root_too(path: bytes, own: bytes) -> None:
    root = root_of(("vouch", "oauth2-proxy"))
    assert root == b"/oauth2"
    assert unrooted(path, root) == own
    assert unrooted(path, root_of(("vouch",))) == path
