"""`vestibule providers`: identity providers, those of the database and those of the configuration."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO

import click
import msgspec

from vestibule.admin_client import Document, Tested
from vestibule.admin_model import ProviderState
from vestibule.cli.remote import Remote, asks_gateway, confirm, read_json, to_json
from vestibule.cli.table import Column, plain, table


def state_of(one: Document) -> str:
    """Whether it is faulty, enabled or disabled."""
    if one["faults"]:
        return "faulty"
    return "enabled" if one["enabled"] else "disabled"


def _about(one: Document) -> str:
    """The title, or why it is left out."""
    faults = [
        f"{path}: {why}" if path else why for path, why in ((f["path"], f["message"]) for f in one["faults"])
    ]
    return "; ".join(faults) or str(one["title"])


COLUMNS = (
    Column("ID", lambda one: one["id"]),
    Column("TYPE", lambda one: one["provider_type"]),
    Column("STATE", state_of),
    Column("FROM", lambda one: one["source"]),
    Column("TITLE", _about, may_shrink=True),
)
_STATES = (
    Column("ID", lambda one: one.id),
    Column("TYPE", lambda one: one.type),
    Column("FROM", lambda one: one.source),
    Column("METADATA", lambda one: "-" if one.discovery == "none" else one.discovery),
    Column("KEYS", lambda one: str(one.keys or "-")),
    Column("WELL", lambda one: f"{one.last_ok_at:%Y-%m-%d %H:%M}" if one.last_ok_at else "-"),
    Column("LAST ERROR", lambda one: one.last_error or "-", may_shrink=True),
)
_EXAMPLE = """\
{
  "provider_type": "oidc",
  "email_domains": ["example.com"],
  "openid_config": {
    "client_id": "…", "client_secret": "…",
    "issuer_url": "https://idp.example.com"
  }
}
"""
_FILE = click.argument("file", type=click.File("rb"), metavar="FILE.json")


def _states(found: Sequence[ProviderState]) -> str:
    return table(found, _STATES) if found else "No identity providers."


@click.group()
def providers() -> None:
    """List, create, change, test and delete identity providers.

    It takes effect at once, while the gateway runs. Those of files and of the environment are shown here, and changed
    there only.
    """


@providers.command("list")
@asks_gateway
def list_providers(remote: Remote) -> None:
    """List all, the disabled and the faulty ones too."""
    remote.show_list(remote.client.providers(), COLUMNS, 0, "No identity providers.")


@providers.command()
@asks_gateway
def states(remote: Remote) -> None:
    """List all clients with how they do: metadata, keys, and what went wrong last."""
    found = remote.client.provider_states()
    remote.show([msgspec.to_builtins(one) for one in found], lambda: _states(found))


@providers.command()
@click.argument("provider_id", metavar="ID")
@asks_gateway
def show(remote: Remote, provider_id: str) -> None:
    """Show one as JSON, without its secrets."""
    found = remote.client.provider(provider_id)
    remote.show(found, lambda: to_json(found))


@providers.command(help=f"Add one; - reads standard input.\n\n\b\n{_EXAMPLE}")
@_FILE
@asks_gateway
def create(remote: Remote, file: IO[bytes]) -> None:
    """Add one."""
    made = remote.client.create_provider(read_json(file))
    remote.done(f"{made['id']} is {state_of(made)}. {to_register(made)}", made)


@providers.command()
@click.argument("provider_id", metavar="ID")
@_FILE
@click.option("--replace", is_flag=True, help="The file is all of it, not what to change.")
@asks_gateway
def update(remote: Remote, *, provider_id: str, file: IO[bytes], replace: bool) -> None:
    """Change one by a file with what is to change.

    That is a JSON Merge Patch: null takes a setting away. - reads standard input.
    """
    document = read_json(file)
    act = remote.client.replace_provider if replace else remote.client.update_provider
    changed = act(provider_id, document)
    remote.done(f"{changed['id']} is changed, and {state_of(changed)}.", changed)


@providers.command()
@click.argument("provider_id", metavar="ID")
@asks_gateway
def enable(remote: Remote, provider_id: str) -> None:
    """Offer one to people."""
    changed = remote.client.enable_provider(provider_id)
    remote.done(f"{changed['id']} is {state_of(changed)}.", changed)


@providers.command()
@click.argument("provider_id", metavar="ID")
@asks_gateway
def disable(remote: Remote, provider_id: str) -> None:
    """Offer one no more; nobody gets in by it."""
    changed = remote.client.disable_provider(provider_id)
    remote.done(f"{changed['id']} is {state_of(changed)}.", changed)


@providers.command()
@click.argument("provider_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Don't ask.")
@asks_gateway
def delete(remote: Remote, *, provider_id: str, yes: bool) -> None:
    """Delete one; nobody gets in by it any more."""
    confirm(f"Delete the identity provider {provider_id}?", yes=yes)
    remote.client.delete_provider(provider_id)
    remote.done(f"{provider_id} is deleted.")


@providers.command()
@click.argument("provider_id", metavar="ID")
@asks_gateway
def test(remote: Remote, provider_id: str) -> None:
    """Try one out, and print the URLs to register: where people come back, and where it tells of sign-outs.

    Tried are discovery, keys and the client's credentials; nothing changes. Exit code 1 when something is wrong.
    """
    found = remote.client.test_provider(provider_id)
    remote.show(found, lambda: _findings(found))
    if not found.ok:
        sys.exit(1)


def _findings(found: Tested) -> str:
    lines = []
    for one in found.findings:
        line = f"{'ok  ' if one.ok else 'FAIL'}  {one.what}: {one.detail}"
        lines.append(plain(f"{line} ({one.advice})" if one.advice else line))
    return "\n".join(lines)


def to_register(one: Document) -> str:
    """What is to do next: the addresses that the provider must know."""
    urls = ", ".join(one["redirect_urls"])
    return (
        f"Register this redirect URL with it: {urls}"
        if urls
        else 'No host offers it: add "*" to its sign_in.'
    )
