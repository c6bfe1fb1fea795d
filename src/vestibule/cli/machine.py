"""`vestibule machine`: an access token for a program that is no person. Nothing of it is kept."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import click

from vestibule.cli.login import told
from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.observe import clock
from vestibule.protocol.sts import AWS_REQUEST
from vestibule.runner.aws import Runner, Signer
from vestibule.runner.platform import PLATFORMS, TOKEN_MAX_CHARS, checked, token_in_file, token_of
from vestibule.token_client import TokenClient, Tokens, entrance_of

_JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
_Command = TypeVar("_Command", bound=Callable[..., Any])


@click.group()
def machine() -> None:
    """Print an access token for this machine: a build, a pod, a job. It is good for minutes, and kept nowhere."""


def _usual(command: _Command) -> _Command:
    """What each of the commands takes."""
    for option in (
        click.option("--as-header", is_flag=True, help="As a header line: `Authorization: Bearer …`."),
        click.option("--scope", default="", help="What for. [default: all that the machine may]"),
        click.option("--host", default="", help="Which site. [default: the machine's first]"),
        click.option(
            "--machine", "name", default="", help="Which machine. [default: the one it proves to be]"
        ),
        click.argument("url"),
    ):
        command = option(command)
    return command


@machine.command()
@_usual
@click.option(
    "--region", default="", help="Whose STS is to be asked. [default: the one that this machine is in]"
)
@click.option(
    "--profile",
    default="",
    help="Sign as this profile of ~/.aws, whatever the environment has. [default: AWS_PROFILE]",
)
@click.option("--server-id", default="", help="What the gateway is called. [default: its host]")
@click.option("--tags", is_flag=True, help="Have the gateway ask for the tags of this EC2 instance, too.")
def aws(
    url: str,
    *,
    name: str,
    host: str,
    scope: str,
    as_header: bool,
    region: str,
    profile: str,
    server_id: str,
    tags: bool,
) -> None:
    """Be known at the gateway at URL by this machine's role in AWS.

    A request is signed here and sent by the gateway: it proves who signed, and is of no use for anything else. The
    credentials are looked for where AWS's own programs look (environment, profiles, a pod's role, container, instance),
    and stay here.
    """
    with told():
        client, resource = _client(url, name, host)
        runner = Runner(os.environ, profile=profile)
        signer = Signer(
            server_id or urlsplit(client.metadata.issuer).hostname or "",
            credentials=runner.credentials(),
            region=region or runner.region(),
            now=clock.now(),
            nonce=secrets.token_urlsafe(12),
        )
        shown = signer.proof(runner.instance() if tags else "")
        _show(client.by_proof(AWS_REQUEST, shown, scope=scope, resource=resource), as_header=as_header)


@machine.command()
@_usual
@click.option(
    "--from", "platform", type=click.Choice(sorted(PLATFORMS)), help="Ask this platform for a token."
)
@click.option("--token-file", default="", help="A file that holds the token; `-`: stdin.")
@click.option("--audience", default="", help="Whom the token is to be for. [default: the gateway's address]")
def jwt(
    url: str,
    *,
    name: str,
    host: str,
    scope: str,
    as_header: bool,
    platform: str | None,
    token_file: str,
    audience: str,
) -> None:
    """Be known at the gateway at URL by the token that this program has of its platform."""
    with told():
        if (platform is None) is (not token_file):
            raise ClientError("write --from PLATFORM, or --token-file FILE", code="bad_option")
        client, resource = _client(url, name, host)
        if platform is None:
            shown = _given(token_file)
        else:
            shown = token_of(platform, os.environ, audience or client.metadata.issuer)
        _show(client.by_proof(_JWT, shown, scope=scope, resource=resource), as_header=as_header)


@machine.command()
@_usual
@click.option("--key-file", required=True, help="A file that holds the key; `-`: stdin.")
def key(url: str, *, name: str, host: str, scope: str, as_header: bool, key_file: str) -> None:
    """Be known at the gateway at URL by a key that was made there. `--machine` says whose it is."""
    with told():
        if not name:
            raise ClientError("whose key? write --machine NAME", code="bad_option")
        client, resource = _client(url, name, host)
        _show(client.by_key(_given(key_file), scope=scope, resource=resource), as_header=as_header)


def _client(url: str, name: str, host: str) -> tuple[TokenClient, str]:
    """What asks the gateway that gives tokens for the site at URL, and which site the token is to be for."""
    entrance = entrance_of(url)
    is_apart = entrance.site not in {"", entrance.metadata.issuer}
    return TokenClient(entrance.metadata, name), host or (entrance.site if is_apart else "")


def _given(path: str) -> Secret:
    return (
        checked(sys.stdin.read(TOKEN_MAX_CHARS + 1), "what stands on stdin")
        if path == "-"
        else token_in_file(path)
    )


def _show(tokens: Tokens, *, as_header: bool) -> None:
    click.echo(f"Authorization: Bearer {tokens.access_token}" if as_header else tokens.access_token)
