"""`vestibule curl` and the credential helpers: where the token goes, and where it doesn't."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from vestibule.cli.token import curl, origin_of, token
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


# -- git ----------------------------------------------------------------------------------------------


def git(asked: str, *more: str) -> tuple[int, str, str]:
    """What the helper answers git."""
    done = CliRunner().invoke(token, ["--format", "git", *more, "get"], input=asked)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("host", ["gw.example", "GW.example:443"])
def test_git_is_given_the_token_of_the_host_that_it_asks_for(sent: list[str], host: str) -> None:
    status, out, _ = git(f"capability[]=authtype\nprotocol=https\nhost={host}\npath=a.git\n\n")
    told = dict(line.split("=", 1) for line in out.splitlines())
    assert (status, told["username"], told["password"]) == (0, "token", "access")
    assert told["password_expiry_utc"].isdecimal()


@pytest.mark.parametrize(
    ("asked", "more", "says"),
    [
        ("protocol=https\nhost=evil.example\n\n", (), "nobody is signed in at https://evil.example"),
        ("protocol=http\nhost=gw.example\n\n", (), "nobody is signed in at http://gw.example"),
        ("protocol=http\nhost=other.example\n\n", ("--at", GATEWAY), "by https alone"),
        ("protocol=https\nhost=gw.example@evil.example\n\n", (), "nobody is signed in"),
        ("protocol=cert\nhost=\npath=/key\n\n", (), "nobody is signed in"),
        ("", (), "git says on stdin which host it asks for"),
        ("\n", ("--at", GATEWAY), "git says on stdin which host it asks for"),
        ("host=gw.example\n\n", (), "git says on stdin which host it asks for"),
    ],
)
def test_git_is_told_why_there_is_none(sent: list[str], asked: str, more: tuple[str, ...], says: str) -> None:
    status, out, said = git(asked, *more)
    assert (status, out) == (1, "")
    assert said.startswith("vestibule: ")
    assert says in said


def test_git_has_the_token_of_another_gateway_where_somebody_says(sent: list[str]) -> None:
    status, out, _ = git("protocol=https\nhost=git.example\n\n", "--at", GATEWAY)
    assert (status, "password=access\n" in out) == (0, True)


@pytest.mark.parametrize("operation", ["store", "erase"])
def test_nothing_of_gits_is_kept(sent: list[str], operation: str) -> None:
    done = CliRunner().invoke(
        token, ["--format", "git", operation], input="protocol=https\nhost=gw.example\npassword=x\n\n"
    )
    assert (done.exit_code, done.output) == (0, "")


# -- kubectl ------------------------------------------------------------------------------------------


def kubectl(asked: str | None, *more: str) -> tuple[int, str, str]:
    """What the plugin answers kubectl."""
    env = {"KUBERNETES_EXEC_INFO": asked}
    done = CliRunner().invoke(token, ["--format", "kubectl", *more], env=env)
    return done.exit_code, done.stdout, done.stderr


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_kubectl_is_answered_in_the_version_that_it_asks_for(sent: list[str], version: str) -> None:
    api = f"client.authentication.k8s.io/{version}"
    asked = {"kind": "ExecCredential", "apiVersion": api, "spec": {"interactive": False}}
    status, out, _ = kubectl(json.dumps(asked))
    told = json.loads(out)
    assert (status, told["apiVersion"], told["kind"]) == (0, api, "ExecCredential")
    assert told["status"]["token"] == "access"
    assert told["status"]["expirationTimestamp"].endswith("Z")


def test_kubectl_may_say_for_which_server(sent: list[str]) -> None:
    cluster = {"server": f"{GATEWAY}/clusters/one", "config": None}
    asked = {"apiVersion": "client.authentication.k8s.io/v1", "spec": {"cluster": cluster}}
    assert kubectl(json.dumps(asked))[0] == 0
    cluster["server"] = EVIL
    status, out, said = kubectl(json.dumps(asked))
    assert (status, out) == (1, "")
    assert "nobody is signed in at https://evil.example" in said


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ('{"apiVersion": "client.authentication.k8s.io/v9"}', "client.authentication.k8s.io/v9"),
        ("{", "can't be read"),
        ("[]", "can't be read"),
    ],
)
def test_kubectl_is_told_what_it_can_not_have(sent: list[str], asked: str, says: str) -> None:
    status, out, said = kubectl(asked)
    assert (status, out) == (1, "")
    assert says in said


def test_by_hand_kubectls_form_is_the_newest(sent: list[str]) -> None:
    status, out, _ = kubectl(None)
    assert (status, json.loads(out)["apiVersion"]) == (0, "client.authentication.k8s.io/v1")
