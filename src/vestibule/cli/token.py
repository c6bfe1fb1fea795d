"""`vestibule token`, `whoami` and `curl`: what a signed-in command line does."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Final

import click

from vestibule.cli.login import told, wallet
from vestibule.errors import ClientError
from vestibule.token_client import is_private

_CREDENTIAL_API: Final = "client.authentication.k8s.io/v1"
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


@click.command()
@click.argument("url", default="")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "git", "kubectl"]),
    default="text",
    help="As it is; as a git credential helper answers `get`; as a kubectl credential plugin does.",
)
def token(url: str, form: str) -> None:
    """Print a token that is good for a minute at least, for scripts: of the gateway at URL, or the last one."""
    if form == "git" and url in {"store", "erase"}:
        return  # nothing of git's is kept here
    with told():
        if form == "git":
            url = _asked_by_git() if url in {"", "get"} else url
        text = wallet().fresh(url).reveal()
        if form == "git":
            click.echo(f"username=token\npassword={text}")
        elif form == "kubectl":
            click.echo(
                json.dumps(
                    {"apiVersion": _CREDENTIAL_API, "kind": "ExecCredential", "status": {"token": text}}
                )
            )
        else:
            click.echo(text)


@click.command()
@click.argument("url", default="")
def whoami(url: str) -> None:
    """Say who is signed in at the gateway at URL, or the last one."""
    with told():
        kept = wallet().find(url)
        bearer = wallet().fresh(url).reveal()
        request = urllib.request.Request(  # noqa: S310 - an issuer that was signed in to
            f"{kept.metadata.issuer}/@/session",
            headers={"Authorization": f"Bearer {bearer}", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
                found = json.loads(answer.read(1 << 20))
        except (OSError, ValueError) as error:
            raise ClientError(f"{kept.metadata.issuer} can't say: {error}", code="unreachable") from None
        user = found.get("user") or {}
        name = user.get("email") or user.get("login") or user.get("id") or "somebody"
        click.echo(f"{name} at {kept.metadata.issuer}")


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
        bearer = wallet().fresh(at or _gateway_at(origin, wallet().gateways())).reveal()
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
    """The origin that git asks about on stdin."""
    told_of = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    return f"{told_of['protocol']}://{told_of['host']}" if {"protocol", "host"} <= told_of.keys() else ""
