"""Regular expressions on paths: which routes they mean, and that the routes open nothing they don't."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestibule.config.importers.pattern import Fit, Prefixes, prefixes_of


@pytest.mark.parametrize(
    ("expression", "paths", "fit"),
    [
        ("^/", ("/",), Fit.EXACT),
        ("/", ("/",), Fit.EXACT),
        (".*", ("/",), Fit.EXACT),
        ("^/public(/|$)", ("/public/",), Fit.EXACT),
        ("^/public(/.*)?$", ("/public/",), Fit.EXACT),
        ("^/(css|js)(?:/|$)", ("/css/", "/js/"), Fit.EXACT),
        ("^/a(/|$)|^/b(/|$)", ("/a/", "/b/"), Fit.EXACT),
        ("^/public", ("/public/",), Fit.NARROWER),
        ("/public(/|$)", ("/public/",), Fit.NARROWER),
        ("^/api/status.*", ("/api/status/",), Fit.NARROWER),
        ("^/favicon.ico", ("/favicon.ico/",), Fit.NARROWER),
        ("^/public/", ("/public/",), Fit.BARE),
        ("^/public/.*$", ("/public/",), Fit.BARE),
        (r"^\/public\/", ("/public/",), Fit.BARE),
        ("^/health$", ("/health/",), Fit.WIDER),
        ("^/health/?$", ("/health/",), Fit.WIDER),
        ("^/files/.+", ("/files/",), Fit.WIDER),
    ],
)
def test_an_expression_means_routes(expression: str, paths: tuple[str, ...], fit: Fit) -> None:
    assert prefixes_of(expression) == Prefixes(paths, fit)


@pytest.mark.parametrize(
    "expression",
    [
        r"\.css$",
        "^/$",
        "$",
        "^/api/[0-9]+",
        "^/api/.*/public",
        "^/a+",
        "(?i)^/public",
        r"^/\w+",
        "^/(a|b",
        "^/a//b",
        "^/a/../b",
        "^/@/signin",
        "^public",
        "^/a{2}",
        r"^/a\\",
        "^/%2e/",
        "^/(?!private)",
        "^/" + "(a|b)" * 6,
    ],
)
def test_an_expression_that_no_route_can_say_is_none(expression: str) -> None:
    assert prefixes_of(expression) is None


_LITERAL = st.sampled_from(["/a", "/b", "/a/b", "/a.b", "/ab", "/(a|b)", "/a(b|c)", r"\/a", "/a/"])
_END = st.sampled_from(
    ["", "/", "$", "(/|$)", "(/.*)?$", "/.*", ".*", "/?$", "/.+", "/*", "/?.*", "/*$", ".*$"]
)
_ONE = st.builds("{}{}{}".format, st.sampled_from(["^", ""]), _LITERAL, _END)
_EXPRESSIONS = st.lists(_ONE, min_size=1, max_size=3).map("|".join)
_PATHS = st.lists(st.sampled_from(["a", "b", "ab", "ac", "a.b", "axb", "x", ""]), max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


@given(_EXPRESSIONS, _PATHS)
def test_routes_open_no_path_that_the_expression_keeps_shut(expression: str, path: str) -> None:
    found = prefixes_of(expression)
    if found is None or found.fit is Fit.WIDER:
        return
    is_open = any(path == prefix.rstrip("/") or path.startswith(prefix) for prefix in found.paths)
    was_open = re.search(expression, path) is not None
    if found.fit is Fit.BARE:
        was_open = was_open or re.search(expression, f"{path}/") is not None
    assert was_open or not is_open
    if found.fit is Fit.EXACT:
        assert is_open == was_open
