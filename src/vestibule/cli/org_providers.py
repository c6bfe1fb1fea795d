"""`vestibule orgs providers`: the identity providers that an organisation brings."""

from __future__ import annotations

from typing import IO

import click

from vestibule.cli.providers import COLUMNS, state_of, to_register
from vestibule.cli.remote import TAKES_ID, Remote, asks_gateway, confirm, read_json, to_json

_FILE = click.argument("file", type=click.File("rb"), metavar="FILE.json")
_EXAMPLE = """\
{
  "id": "acme.okta", "provider_type": "oidc",
  "email_domains": ["acme.example"],
  "openid_config": {
    "client_id": "…", "client_secret": "…",
    "issuer_url": "https://acme.okta.com"
  }
}
"""


@click.group()
def providers() -> None:
    """List, add, change and delete identity providers of an organisation, which speak of it alone.

    It takes effect at once. `vestibule providers test ID` tries one out, and `enable`, `disable` do for these, too.
    """


@providers.command("list", context_settings=TAKES_ID)
@click.argument("slug")
@asks_gateway
def list_providers(remote: Remote, slug: str) -> None:
    """List all of an organisation, the disabled and the faulty ones too."""
    remote.show_list(remote.client.org_providers(slug), COLUMNS, 0, "No identity providers.")


@providers.command(context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("provider_id", metavar="ID")
@asks_gateway
def show(remote: Remote, slug: str, provider_id: str) -> None:
    """Show one as JSON, without its secrets."""
    found = remote.client.org_provider(slug, provider_id)
    remote.show(found, lambda: to_json(found))


@providers.command(
    help=f"Add one; its id begins with the SLUG and a dot. - reads standard input.\n\n\b\n{_EXAMPLE}",
    context_settings=TAKES_ID,
)
@click.argument("slug")
@_FILE
@asks_gateway
def create(remote: Remote, slug: str, file: IO[bytes]) -> None:
    """Add one."""
    made = remote.client.create_org_provider(slug, read_json(file))
    remote.done(f"{made['id']} is {state_of(made)}. {to_register(made)}", made)


@providers.command(context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("provider_id", metavar="ID")
@_FILE
@asks_gateway
def update(remote: Remote, slug: str, provider_id: str, file: IO[bytes]) -> None:
    """Change one by a file with what is to change.

    That is a JSON Merge Patch: null takes a setting away. - reads standard input.
    """
    changed = remote.client.update_org_provider(slug, provider_id, read_json(file))
    remote.done(f"{changed['id']} is changed, and {state_of(changed)}.", changed)


@providers.command(context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("provider_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Don't ask.")
@asks_gateway
def delete(remote: Remote, *, slug: str, provider_id: str, yes: bool) -> None:
    """Delete one; nobody gets in by it any more."""
    confirm(f"Delete the identity provider {provider_id}?", yes=yes)
    remote.client.delete_org_provider(slug, provider_id)
    remote.done(f"{provider_id} is deleted.")
