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
from vestibule.token_client import Prompt, TokenClient, entrance_of
from vestibule.wallet import Kept, Wallet, wallet_path


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
    """Sign in at the gateway at URL, or for the site at URL where its domain signs people in at another host.

    A sign-in for the same site from before is ended.
    """
    with told():
        entrance = entrance_of(url)
        metadata = entrance.metadata
        client = TokenClient(metadata, app or metadata.vestibule_app)
        if not client.app:
            raise ClientError("the gateway names no app for command lines: --app ID", code="app_unknown")
        site = entrance.site_for(client.app, host)
        resource = "" if site == metadata.issuer else site
        if _has_browser() if browser is None else browser:
            tokens = client.by_browser(_open, scope=scope, resource=resource)
        else:
            prompt = client.prompt(scope=scope, resource=resource)
            _show(prompt)
            tokens = client.wait(prompt)
        before = wallet().keep(client, tokens, site=site)
        click.echo(f"Signed in at {site}{f', by {metadata.issuer}' if resource else ''}.")
        if before is not None:
            _end(before)


@click.command()
@click.argument("url", default="")
@click.option("--here", is_flag=True, help="Here alone, without asking a gateway that is gone for good.")
def logout(url: str, *, here: bool) -> None:
    """Sign out for the site at URL, or the last one: there, and then here.

    While the gateway can't be asked nothing is forgotten, so that it can be tried again.
    """
    with told():
        kept = wallet().leave(url, (lambda _kept: None) if here else _revoke_first)
        click.echo(f"Forgotten here: {kept.place}." if here else f"Signed out at {kept.place}.")


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


def _revoke(kept: Kept) -> None:
    """End the sign-in where it was made. Raises ClientError where that can't be known to be done."""
    try:
        TokenClient(kept.metadata, kept.app).revoke(Secret(kept.refresh_token or kept.access_token))
    except ClientError as error:
        if (
            error.code != "invalid_client"
        ):  # the gateway no longer knows the app, and nothing of it is good there
            raise


def _revoke_first(kept: Kept) -> None:
    try:
        _revoke(kept)
    except ClientError as error:
        said = f"{error.message}; you are still signed in (--here forgets it on this machine alone)"
        raise ClientError(said, code=error.code) from None


def _end(before: Kept) -> None:
    """End the sign-in that another has taken the place of; the new one is good whether or not that goes."""
    try:
        _revoke(before)
    except ClientError as error:
        click.echo(f"vestibule: the sign-in before this one goes on: {error.message}", err=True)


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
