"""`vestibule login` and `logout`: signs this command line in at a gateway, and out."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import webbrowser
from collections.abc import Iterator

import click

from vestibule import keychain
from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.token_client import Prompt, TokenClient, metadata_of
from vestibule.wallet import Wallet, wallet_path


@click.command()
@click.argument("url")
@click.option(
    "--app", default="", help="Which app this command line is there. [default: what the gateway says]"
)
@click.option("--scope", default="", help="What for. [default: all that the app may]")
@click.option("--host", default="", help="Which site, where the app is good for several.")
@click.option(
    "--browser/--device",
    default=None,
    help="By a browser of this machine, or by a code. [default: as there is one]",
)
def login(url: str, *, app: str, scope: str, host: str, browser: bool | None) -> None:
    """Sign in at the gateway at URL."""
    with told():
        metadata = metadata_of(url)
        client = TokenClient(metadata, app or metadata.vestibule_app)
        if not client.app:
            raise ClientError("the gateway names no app for command lines: --app ID", code="app_unknown")
        if _has_browser() if browser is None else browser:
            tokens = client.by_browser(_open, scope=scope, resource=host)
        else:
            prompt = client.prompt(scope=scope, resource=host)
            _show(prompt)
            tokens = client.wait(prompt)
        wallet().keep(client, tokens)
        click.echo(f"Signed in at {metadata.issuer}.")


@click.command()
@click.argument("url", default="")
def logout(url: str) -> None:
    """Sign out at the gateway at URL, or the last one: there and here."""
    with told():
        kept = wallet().forget(url)
        client = TokenClient(kept.metadata, kept.app)
        client.revoke(Secret(kept.refresh_token or kept.access_token))
        click.echo(f"Signed out at {kept.metadata.issuer}.")


def wallet() -> Wallet:
    """This person's."""
    return Wallet(wallet_path(os.environ), keychain.found())


@contextlib.contextmanager
def told() -> Iterator[None]:
    """A refusal is one line on stderr, and exit code 1."""
    try:
        yield
    except ClientError as error:
        click.echo(f"vestibule: {error.message}", err=True)
        sys.exit(1)


def _has_browser() -> bool:
    """Where somebody sits before a screen of this machine, not at the end of a remote shell."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    has_screen = sys.platform == "darwin" or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    with contextlib.suppress(webbrowser.Error):
        return has_screen and webbrowser.get() is not None
    return False


def _open(address: str) -> None:
    click.echo(f"Sign in by your browser. If none opens, go to\n\n  {address}\n", err=True)
    webbrowser.open(address)


def _show(prompt: Prompt) -> None:
    click.echo(f"Open {prompt.verification_uri} and type {prompt.user_code}", err=True)
    if not prompt.verification_uri_complete:
        return
    if sys.stderr.isatty():
        click.echo(f"or point a phone at this:\n\n{_drawn(prompt.verification_uri_complete)}", err=True)
    else:
        click.echo(f"or open {prompt.verification_uri_complete}", err=True)


def _drawn(address: str) -> str:
    """The address as a QR code of half blocks, in the colours that every phone reads, on any background."""
    segno = importlib.import_module("segno")  # no other command needs it
    drawn = io.StringIO()
    segno.make(address, error="l", micro=False).terminal(drawn, compact=True, border=2)
    return "".join(f"\x1b[97;40m{line}\x1b[0m\n" for line in drawn.getvalue().splitlines())
