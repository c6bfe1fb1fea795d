"""Which credentials a host takes."""

from __future__ import annotations

import pytest

from vestibule.core.credential import (
    NOTHING,
    Accepted,
    Issuer,
    PasswordFile,
    challenges,
    is_good_for,
    sends_passwords,
)
from vestibule.model import Bounds, Secret

CI = Issuer(name="ci", url="https://ci.example", audience=("a",))
OPAQUE = Issuer(name="as", url="https://as.example", introspection_url="https://as.example/introspect")
ANY = Issuer(name="require_jwt:app.example", jwks_url="https://keys.example")


STRICT = Issuer(name="require_jwt:app.example/a/", url="https://ci.example", audience=("b",))
ASKED = Issuer(name="asked", url="https://ci.example", verifies=False)


@pytest.mark.parametrize(
    ("issuers", "url", "names"),
    [
        ((CI, OPAQUE), "https://ci.example", ["ci"]),
        ((CI, OPAQUE), "https://as.example", ["as"]),
        ((CI, OPAQUE), "https://ci.example/", []),
        ((CI, OPAQUE), "", []),
        ((CI, STRICT), "https://ci.example", ["ci", "require_jwt:app.example/a/"]),
        ((ASKED,), "https://ci.example", []),
        ((CI, ANY), "https://ci.example", ["ci", "require_jwt:app.example"]),
        ((CI, ANY), "https://other.example", ["require_jwt:app.example"]),
        ((CI, ANY), "", ["require_jwt:app.example"]),
        ((), "https://ci.example", []),
    ],
)
def test_a_token_is_checked_by_those_of_the_name_it_has_and_of_none(
    issuers: tuple[Issuer, ...], url: str, names: list[str]
):
    assert [issuer.name for issuer in Accepted(issuers=issuers).verifiers(url)] == names


def test_one_issuer_is_asked_about_opaque_tokens():
    assert Accepted(issuers=(CI, OPAQUE)).introspecting is OPAQUE
    assert Accepted(issuers=(CI,)).introspecting is None
    assert NOTHING.introspecting is None


def test_a_secret_is_not_shown():
    assert "hunter2" not in repr(Issuer(name="as", client_secret=Secret("hunter2")))


BEARER = 'Bearer realm="app.example"'
REFUSED = 'Bearer realm="app.example", error="invalid_token", error_description="it has expired"'
BASIC = 'Basic realm="app.example", charset="UTF-8"'
TOKENS = Accepted(issuers=(CI,))
FORM = Accepted(passwords=PasswordFile(name="htpasswd:/f"))
KEYS = Accepted(passwords=PasswordFile(name="apikey:app.example", has_form=False))
BOTH = Accepted(issuers=(CI,), passwords=PasswordFile(name="htpasswd:/f"))


@pytest.mark.parametrize(
    ("accepted", "app_tokens", "is_browser", "code", "expected"),
    [
        (NOTHING, False, False, "", ()),
        (NOTHING, True, False, "", (BEARER, BASIC)),
        (NOTHING, True, True, "", (BEARER,)),
        (TOKENS, False, False, "", (BEARER,)),
        (TOKENS, False, True, "invalid_token", (REFUSED,)),
        (FORM, False, False, "", (BASIC,)),
        (FORM, False, True, "", ()),
        (KEYS, False, True, "", (BASIC,)),
        (BOTH, False, False, "", (BEARER, BASIC)),
        (BOTH, False, False, "invalid_token", (REFUSED, BASIC)),
        (BOTH, False, False, "token_required", (BEARER, BASIC)),
        (BOTH, False, True, "bad_credentials", (BASIC,)),
    ],
)
def test_a_401_says_what_could_be_shown(
    accepted: Accepted, app_tokens: bool, is_browser: bool, code: str, expected: tuple[str, ...]
):
    found = challenges(
        accepted,
        "app.example",
        app_tokens=app_tokens,
        is_browser=is_browser,
        code=code,
        why="it has expired",
    )
    assert found == expected


@pytest.mark.parametrize(
    ("bounds", "is_good"),
    [
        (Bounds(), True),
        (Bounds(host="b.example"), False),
        (Bounds(prefixes=(b"/x", b"/a/b")), True),
        (Bounds(prefixes=(b"/a/b/c/d",)), False),
        (Bounds(methods=frozenset({b"POST"})), False),
    ],
)
def test_bounds(bounds, is_good):
    assert is_good_for(bounds, "a.example", b"/a/b/c", b"GET") is is_good


@pytest.mark.parametrize(
    ("accepted", "takes_access", "is_browser", "expected"),
    [
        (NOTHING, True, False, (BEARER, BASIC)),
        (NOTHING, False, False, ()),
        (FORM, True, False, (BEARER, BASIC)),
        (TOKENS, False, False, (BEARER,)),
    ],
)
def test_git_is_asked_for_a_password_where_that_may_be_a_token(accepted, takes_access, is_browser, expected):
    found = challenges(
        accepted,
        "app.example",
        app_tokens=False,
        is_browser=is_browser,
        takes_access=takes_access,
        knows_basic_alone=True,
    )
    assert found == expected


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (b"git/2.39.5", True),
        (b"git/2.0 (libgit2 1.7.2)", True),
        (b"JGit/6.8.0", True),
        (b"git-lfs/3.4.0 (GitHub; linux amd64; go 1.21)", True),
        (b"Mozilla/5.0 git/2.39", False),
        (b"GitHub-Hookshot/1", False),
        (b"curl/7.88.1", False),
        (b"", False),
    ],
)
def test_what_git_calls_itself(user_agent, expected):
    assert sends_passwords(user_agent) is expected
