"""`vestibule curl`: where the token goes, and where it doesn't."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from vestibule.cli.token import curl, origin_of
from vestibule.token_client import Metadata, TokenClient, Tokens
from vestibule.wallet import Wallet, wallet_path

GATEWAY = "https://gw.example"
EVIL = "https://evil.example/"


@pytest.mark.parametrize(
    ("arguments", "origin"),
    [
        ([GATEWAY], GATEWAY),
        (["-sS", f"{GATEWAY}/v1/me?x=1"], GATEWAY),
        (["HTTPS://GW.example:443/"], GATEWAY),
        ([f"{GATEWAY}/a", f"{GATEWAY}/b"], GATEWAY),
        ([f"{GATEWAY}/{{a,b}}"], GATEWAY),
        (["-X", "POST", "-d", EVIL, "-sSo", "file", "--json", "{}", GATEWAY], GATEWAY),
        (["-XPOST", f"-d{EVIL}", "--max-time", "5", "--url", GATEWAY, "--next"], GATEWAY),
        ([f"-e{GATEWAY}/", GATEWAY], GATEWAY),
        (["https://gw.example:8443/"], "https://gw.example:8443"),
        (["http://127.0.0.1:80/"], "http://127.0.0.1"),
        (["http://[::1]:8080/"], "http://[::1]:8080"),
    ],
)
def test_the_one_origin_is_known(arguments: list[str], origin: str) -> None:
    assert origin_of(arguments) == origin


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Signed in at the gateway; which program was started."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("vestibule.keychain.found", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _name: "/bin/curl")
    sent: list[str] = []
    monkeypatch.setattr("os.execv", lambda _program, argv: sent.extend(argv[3:]))
    metadata = Metadata(
        issuer=GATEWAY,
        authorization_endpoint=f"{GATEWAY}/@/authorize",
        token_endpoint=f"{GATEWAY}/@/token",
        revocation_endpoint=f"{GATEWAY}/@/revoke",
    )
    wallet = Wallet(wallet_path({"XDG_CONFIG_HOME": str(tmp_path)}))
    wallet.keep(TokenClient(metadata, "cli"), Tokens(access_token="access", refresh_token="refresh"))
    return sent


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["http://evil.example/"], "by https alone"),
        (["http://gw.example/"], "by https alone"),
        ([EVIL], "nobody is signed in at https://evil.example"),
        (["https://gw.example.evil.example/"], "nobody is signed in"),
        (["https://gw.example:8443/"], "nobody is signed in"),
        (["http://localhost.evil.example/"], "by https alone"),
        ([EVIL, "-e", f"{GATEWAY}/"], "one at a time"),
        ([EVIL, f"-e{GATEWAY}/"], "one at a time"),
        ([GATEWAY, EVIL], "one at a time"),
        ([GATEWAY, "--url", EVIL], "one at a time"),
        ([GATEWAY, f"--url={EVIL}"], "can't be had here"),
        (["-k", "-x", EVIL, GATEWAY], "one at a time"),
        (["-xt", EVIL, GATEWAY], "t might be an address"),
        (["-k", "--resolve", "gw.example:443:192.0.2.1", GATEWAY], "might be an address"),
        ([GATEWAY, "--", "-o", EVIL], "-o might be an address"),
        ([GATEWAY, "evil.example"], "evil.example might be an address"),
        ([GATEWAY, "@list"], "@list might be an address"),
        (["https://{gw.example,evil.example}/"], "might be an address"),
        (["https://gw.example@evil.example/"], "might be an address"),
        (["https://evil.example\\@gw.example/"], "might be an address"),
        (["-sK", "list", GATEWAY], "can't be had here"),
        (["-Klist", GATEWAY], "can't be had here"),
        (["--config", "list", GATEWAY], "can't be had here"),
        (["-sS"], "which URL?"),
    ],
)
def test_the_token_goes_nowhere_else(sent: list[str], arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(curl, arguments)
    assert (done.exit_code, sent) == (1, [])
    assert says in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [["-sS", f"{GATEWAY}/v1/me"], ["--at", GATEWAY, "https://api.example/v1/me"]],
    ids=["the gateway", "a host that somebody names"],
)
def test_it_goes_to_the_gateway_and_where_somebody_says(sent: list[str], arguments: list[str]) -> None:
    done = CliRunner().invoke(curl, arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert sent == (arguments[2:] if arguments[0] == "--at" else arguments)
