"""A client tried out without a person: what it finds, and that it never changes or tells anything."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.providers.player import NOW, REDIRECT, answered, play, reply
from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.model import Secret
from vestibule.providers.base import Finding, Probe
from vestibule.providers.github import GitHubConfig
from vestibule.providers.kit import Ask, Discovery, Get, Keys, PostForm, Reply
from vestibule.providers.oidc import OidcConfig

ISSUER = "https://op.example"
METADATA: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/jwks",
    "code_challenge_methods_supported": ["S256"],
}
KEY = {"kty": "RSA", "use": "sig", "kid": "1", "n": "x", "e": "AQAB"}
OIDC = OidcConfig(name="op", client_id="id-1", client_secret=Secret("hunter2"), issuer=ISSUER)
PAGE = Reply(200, {"content-type": "text/html"}, b"<html>", f"{ISSUER}/login")


def to(url: str) -> Reply:
    """A redirect, which is not followed."""
    return Reply(302, {"location": url}, b"")


INVALID_GRANT = reply({"error": "invalid_grant"}, 400)


def found(**answers: Any) -> dict[str, Finding]:
    """What the probe finds when one answer is another than those of a good provider."""
    told = {"discovery": METADATA, "keys": (KEY,), "page": PAGE, "token": INVALID_GRANT, **answers}

    def by(ask: Ask) -> Any:
        match ask:
            case Discovery():
                return told["discovery"]
            case Keys():
                return told["keys"]
            case Get(follow=False):
                return told["page"]
        return told["token"]

    findings, asked = answered(OIDC.open().probe(REDIRECT, NOW), by)
    assert "hunter2" not in repr(findings) + repr(asked)
    return {finding.what: finding for finding in findings}


def test_a_good_provider_is_good_all_over() -> None:
    findings = found()
    assert list(findings) == ["discovery", "PKCE", "keys", "authorization page", "client credentials"]
    assert [finding for finding in findings.values() if not finding.ok] == []
    assert findings["keys"].detail == "1 to check ID tokens with (RSA)"


def test_every_kind_can_be_tried_out() -> None:
    assert isinstance(OIDC.open(), Probe)
    assert isinstance(GitHubConfig(name="github", client_id="a").open(), Probe)


@pytest.mark.parametrize(
    ("answers", "what", "ok", "detail"),
    [
        ({"discovery": {**METADATA, "code_challenge_methods_supported": ["plain"]}}, "PKCE", False, "S256"),
        (
            {"discovery": {n: v for n, v in METADATA.items() if n != "code_challenge_methods_supported"}},
            "PKCE",
            True,
            "says nothing",
        ),
        ({"keys": ()}, "keys", False, "none of 0"),
        ({"keys": ({**KEY, "use": "enc"},)}, "keys", False, "none of 1"),
        ({"keys": ({"kty": "EC"},)}, "keys", False, "none of 1"),
        ({"page": Reply(400, {}, b"")}, "authorization page", False, "it answers 400"),
        ({"page": to(f"{ISSUER}/signin/error?x=1")}, "authorization page", False, "it answers 302"),
        ({"page": to(f"{ISSUER}/login?error=none")}, "authorization page", True, "it takes this client"),
        (
            {"page": to(f"{REDIRECT}?error=invalid_scope&state=x")},
            "authorization page",
            False,
            "it sends people back with 'invalid_scope'",
        ),
        (
            {"page": to(f"{REDIRECT}?error=login_required")},
            "authorization page",
            True,
            "it takes this client",
        ),
        ({"token": reply({"error": "invalid_client"}, 401)}, "client credentials", False, "invalid_client"),
        ({"token": reply({"error": "unauthorized_client"}, 400)}, "client credentials", False, "refused"),
        ({"token": reply({"error": "odd"}, 400)}, "client credentials", False, "refused: odd"),
        ({"token": reply(b"<html>", 500, kind="text/html")}, "client credentials", False, ""),
        (
            {"token": reply({"access_token": "a", "token_type": "Bearer"})},
            "client credentials",
            False,
            "takes any code",
        ),
    ],
)
def test_what_is_wrong_is_found(answers: dict[str, Any], what: str, ok: bool, detail: str) -> None:
    finding = found(**answers)[what]
    assert finding.ok is ok
    assert detail in finding.detail
    assert ok or finding.advice or what == "authorization page"


def test_metadata_that_can_not_be_had_end_it() -> None:
    fault = ProviderUnavailable("no connection", detail="op.example: refused")
    (finding,), _ = play(OIDC.open().probe(REDIRECT, NOW), fault)
    assert (finding.what, finding.ok, finding.detail) == (
        "discovery",
        False,
        "no connection (op.example: refused)",
    )


def test_who_has_no_metadata_was_asked_nothing_before_its_page() -> None:
    fault = ProviderUnavailable("the provider's name can't be resolved", detail="github.com")
    client = GitHubConfig(name="github", client_id="a").open()
    findings, _ = play(client.probe(REDIRECT, NOW), fault, fault)
    assert [(one.what, one.ok) for one in findings] == [
        ("endpoints", True),
        ("authorization page", False),
        ("client credentials", False),
    ]
    assert {one.advice for one in findings if not one.ok} == {"check that this machine reaches it"}


def test_each_fault_leaves_the_rest_to_be_looked_at() -> None:
    fault = ProviderUnavailable("no connection")
    findings, _ = play(OIDC.open().probe(REDIRECT, NOW), METADATA, fault, METADATA, fault, fault)
    assert [(one.what, one.ok) for one in findings] == [
        ("discovery", True),
        ("PKCE", True),
        ("keys", False),
        ("authorization page", False),
        ("client credentials", False),
    ]


def test_metadata_of_somebody_else_are_told() -> None:
    (finding,), _ = play(OIDC.open().probe(REDIRECT, NOW), {**METADATA, "issuer": "https://evil.example"})
    assert not finding.ok
    assert finding.advice.startswith("check the issuer")


GITHUB = GitHubConfig(name="github", client_id="id-1", client_secret=Secret("hunter2"))


@pytest.mark.parametrize(
    ("error", "ok", "advice"),
    [
        ("bad_verification_code", True, ""),
        ("incorrect_client_credentials", False, "check client ID"),
        ("redirect_uri_mismatch", False, f"register the redirect URL {REDIRECT}"),
    ],
)
def test_githubs_own_errors_are_known(error: str, ok: bool, advice: str) -> None:
    findings, asked = play(GITHUB.open().probe(REDIRECT, NOW), PAGE, reply({"error": error}))
    assert (findings[-1].what, findings[-1].ok) == ("client credentials", ok)
    assert findings[-1].advice.startswith(advice)
    assert isinstance(asked[0], Get)
    assert isinstance(asked[1], PostForm)


def test_what_nobody_can_fetch_is_told_of() -> None:
    fault = ProviderInvalid("the provider's address is private", detail="10.0.0.1")
    findings, _ = play(GITHUB.open().probe(REDIRECT, NOW), fault, fault)
    assert [(one.ok, one.detail) for one in findings[1:]] == [
        (False, "the provider's address is private (10.0.0.1)")
    ] * 2
