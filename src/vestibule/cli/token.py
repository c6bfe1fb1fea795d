"""`vestibule token`, `whoami` and `curl`: what a signed-in command line does.

No token is ever an argument of a program: all of this machine can read those.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import click
import msgspec

from vestibule.cli.login import told, wallet
from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.token_client import is_private, session_at
from vestibule.wallet import FRESH_S, Kept

_KUBECTL: Final = "KUBERNETES_EXEC_INFO"
_CREDENTIAL_APIS: Final = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_ASKED_BY_GIT: Final = frozenset({"get", "store", "erase"})
_CURL_CONFIG: Final = 'header = "Authorization: Bearer {}"\n'
_URL_RE: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?(?:[/?#].*)?",
    re.IGNORECASE | re.DOTALL,
)
"""An address that curl and everybody else read alike: no user, no `{a,b}` in the host, no backslash."""
_PORTS: Final = {"http": "80", "https": "443"}
_TAKES_VALUE: Final = frozenset("AbcCdDEFHmoPQrtTuUwXyYz")
"""curl's short options that are followed by something that is no address."""
_TAKES_ADDRESS: Final = frozenset("ex")
_LONG: Final = (
    "cacert capath cert cert-type connect-timeout cookie cookie-jar data data-ascii data-binary data-raw "
    "data-urlencode dump-header etag-compare etag-save form form-string header json key key-type "
    "limit-rate max-filesize max-redirs max-time output output-dir parallel-max range rate request retry "
    "retry-delay retry-max-time speed-limit speed-time stderr trace trace-ascii upload-file url-query "
    "user-agent write-out"
)
_TAKE_VALUES: Final = frozenset(f"--{name}" for name in _LONG.split())
"""The long ones. What follows any other is held to be an address: it is refused, rather than not looked at."""


class _Cluster(msgspec.Struct, frozen=True):
    server: str = ""


class _Spec(msgspec.Struct, frozen=True):
    cluster: _Cluster = _Cluster()


class _ExecInfo(msgspec.Struct, frozen=True, rename="camel"):
    """What kubectl asks for. Spec: client.authentication.k8s.io, ExecCredential."""

    api_version: str = _CREDENTIAL_APIS[0]
    spec: _Spec = _Spec()


@click.command()
@click.argument("url", default="")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "git", "kubectl"]),
    default="text",
    help="As it is; as a git credential helper answers `get`; as a kubectl credential plugin does.",
)
@click.option(
    "--at", "at", default="", help="The gateway whose token it is, where git asks for another host."
)
def token(url: str, form: str, at: str) -> None:
    """Print a token that is good for a minute at least, for scripts: for the site at URL, or the last one.

    A credential helper of git's is asked for one host, and answers for the sign-in that is for that host.
    """
    if form == "git" and url in {"store", "erase"}:
        return  # nothing of git's is kept here
    with told():
        if form == "git":
            click.echo(_for_git("" if url in _ASKED_BY_GIT else url, at))
        elif form == "kubectl":
            click.echo(_for_kubectl(at or url, os.environ.get(_KUBECTL, "")))
        else:
            click.echo(wallet().fresh(at or url).access_token)


def _for_git(url: str, at: str) -> str:
    """What git reads of a helper. Spec: git-credential(1), "INPUT/OUTPUT FORMAT".

    Threat: a repository that has git ask for somebody else's host: a token goes to the site that it is for, or where
    --at was written.
    """
    place = at or url
    if not url:
        origin = _asked_by_git()
        if at and not is_private(origin):
            raise ClientError(f"{origin}: a token goes by https alone", code="bad_url")
        place = at or _gateway_at(origin, wallet().gateways())
    kept = wallet().fresh(place)
    return f"username=token\npassword={kept.access_token}\npassword_expiry_utc={int(_good_until(kept))}"


def _for_kubectl(url: str, asked: str) -> str:
    """The ExecCredential, in the version that was asked for; `asked`: what kubectl says of it in the environment."""
    try:
        info = msgspec.json.decode(asked or "{}", type=_ExecInfo)
    except msgspec.MsgspecError:
        raise ClientError(f"{_KUBECTL} can't be read", code="bad_exec_info") from None
    if info.api_version not in _CREDENTIAL_APIS:
        known = " or ".join(_CREDENTIAL_APIS)
        raise ClientError(f"kubectl wants {info.api_version}: write {known}", code="bad_exec_info")
    if not url and info.spec.cluster.server:
        url = _gateway_at(_origin(info.spec.cluster.server), wallet().gateways())
    kept = wallet().fresh(url)
    until = datetime.fromtimestamp(int(_good_until(kept)), UTC)
    status = {"expirationTimestamp": f"{until:%Y-%m-%dT%H:%M:%SZ}", "token": kept.access_token}
    return json.dumps({"apiVersion": info.api_version, "kind": "ExecCredential", "status": status})


def _good_until(kept: Kept) -> float:
    """When who keeps it asks for the next: before it is over, so that none is over on its way."""
    return kept.expires_at - FRESH_S / 2


@click.command()
@click.argument("url", default="")
def whoami(url: str) -> None:
    """Say who is signed in for the site at URL, or the last one."""
    with told():
        kept = wallet().fresh(url)
        user: dict[str, Any] = session_at(kept.place, Secret(kept.access_token)).get("user") or {}
        name = user.get("email") or user.get("login") or user.get("id") or "somebody"
        click.echo(f"{name} at {kept.place}")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[CURL OPTION]… URL")
@click.option(
    "--at", "at", default="", help="The gateway whose token it is, where the URL is of another host."
)
def curl(arguments: tuple[str, ...], at: str) -> None:
    """Call curl with a fresh token: it goes by a pipe, so that no other process of this machine sees it.

    Only whole URLs of one origin are called, which must be that of a gateway; --at says whose token another host gets.
    """
    with told():
        origin = origin_of(arguments)
        program = shutil.which("curl")
        if program is None:
            raise ClientError("there is no curl here", code="curl_missing")
        bearer = wallet().fresh(at or _gateway_at(origin, wallet().gateways())).access_token
    reads, writes = os.pipe()
    os.write(writes, _CURL_CONFIG.format(bearer).encode())
    os.close(writes)
    os.set_inheritable(reads, True)
    sys.stdout.flush()
    os.execv(program, [program, "--config", f"/dev/fd/{reads}", *arguments])  # noqa: S606 - what was asked for


def origin_of(arguments: Iterable[str]) -> str:
    """The one origin that curl would call. Raises ClientError where there are several, or none that is surely it.

    Threat: a line that somebody was given to paste, which takes the token elsewhere. Does NOT look at `~/.curlrc`, and
    not at where answers lead (`--location`): curl itself keeps the header from other hosts.
    """
    found = {_origin(one): one for one in _addresses(arguments)}
    if not found:
        raise ClientError("which URL? write it whole: https://…", code="bad_url")
    for origin, one in found.items():
        if not origin:
            raise ClientError(
                f"{one} might be an address, and can't be read as one: write URLs whole, https://…",
                code="bad_url",
            )
        if not is_private(origin):
            raise ClientError(f"{origin}: a token goes by https alone", code="bad_url")
    if len(found) > 1:
        raise ClientError(f"one at a time: {', '.join(sorted(found))}", code="several_origins")
    return next(iter(found))


def _addresses(arguments: Iterable[str]) -> Iterator[str]:
    """All that curl might call, of its arguments."""
    left = iter(arguments)
    for one in left:
        if one == "--":
            yield from left
        elif one.startswith("--"):
            if one in _TAKE_VALUES:
                next(left, "")
            elif "=" in one or one == "--config":
                raise ClientError(f"{one} can't be had here: nobody knows what it calls", code="bad_url")
        elif one.startswith("-") and one != "-":
            takes, behind = _value_of(one[1:])
            if takes in _TAKES_ADDRESS and behind:
                yield behind
            elif takes in _TAKES_VALUE and not behind:
                next(left, "")
        else:
            yield one


def _value_of(letters: str) -> tuple[str, str]:
    """Which of these short options takes a value, and what of it stands behind its letter (`-sSoFILE`)."""
    for number, letter in enumerate(letters):
        if letter == "K":
            raise ClientError("-K can't be had here: nobody knows what it calls", code="bad_url")
        if letter in _TAKES_VALUE | _TAKES_ADDRESS:
            return letter, letters[number + 1 :]
    return "", ""


def _origin(url: str) -> str:
    """Scheme, host and port, as they are compared; empty for what is no whole URL."""
    found = _URL_RE.fullmatch(url)
    if found is None:
        return ""
    scheme, host = found["scheme"].lower(), found["host"].lower()
    is_usual = found["port"] in {None, _PORTS[scheme]}
    return f"{scheme}://{host}" if is_usual else f"{scheme}://{host}:{found['port']}"


def _gateway_at(origin: str, gateways: Iterable[str]) -> str:
    """The gateway there, by the name that it is kept by. Raises ClientError."""
    for one in gateways:
        if _origin(one) == origin:
            return one
    raise ClientError(
        f"nobody is signed in at {origin}. Where it takes another gateway's token: --at GATEWAY",
        code="signed_out",
    )


def _asked_by_git() -> str:
    """The origin that git asks about on stdin. Raises ClientError."""
    told_of = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    if not {"protocol", "host"} <= told_of.keys():
        raise ClientError(
            "git says on stdin which host it asks for, and there is none: this is for `credential.helper`",
            code="bad_url",
        )
    return _origin(f"{told_of['protocol']}://{told_of['host']}") or f"{told_of['protocol']}://…"
