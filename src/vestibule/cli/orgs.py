"""`vestibule orgs`: organisations, their domains, members, groups, providers and directories."""

from __future__ import annotations

import click

from vestibule.admin_model import OrgDomain, OrgGroup, OrgMember
from vestibule.cli.org_directory import directory
from vestibule.cli.org_providers import providers
from vestibule.cli.remote import TAKES_ID, Remote, asks_gateway, confirm, day
from vestibule.cli.table import Column, fields
from vestibule.cli.users import id_of
from vestibule.errors import NotFound

_COLUMNS = (
    Column("SLUG", lambda one: one.slug),
    Column("NAME", lambda one: one.name, may_shrink=True),
    Column("SINCE", lambda one: day(one.created_at)),
)
_DOMAINS = (
    Column("DOMAIN", lambda one: one.domain),
    Column(
        "VERIFIED", lambda one: f"{day(one.verified_at)} by {one.verified_by}" if one.verified_at else "no"
    ),
)
_MEMBERS = (
    Column("USER", lambda one: one.user_id),
    Column("ROLES", lambda one: ", ".join(one.roles) or "-", may_shrink=True),
    Column("SOURCE", lambda one: one.source),
    Column("SINCE", lambda one: day(one.created_at)),
)
_GROUPS = (
    Column("ID", lambda one: one.id),
    Column("NAME", lambda one: one.name, may_shrink=True),
    Column("SINCE", lambda one: day(one.created_at)),
)


@click.group()
def orgs() -> None:
    """Manage organisations: companies whose people, groups and domains are their own.

    SLUG is what rules call one: `org:SLUG`, `group:SLUG/NAME`. USER is an id or an e-mail address.
    """


orgs.add_command(directory)
orgs.add_command(providers)


@orgs.command("list")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="0: all.")
@asks_gateway
def list_orgs(remote: Remote, limit: int) -> None:
    """List organisations, the oldest first."""
    remote.show_list(remote.client.orgs(), _COLUMNS, limit, "No organisations.")


@orgs.command(context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("name", default="")
@asks_gateway
def create(remote: Remote, slug: str, name: str) -> None:
    """Make an organisation; without NAME it is called as its SLUG."""
    made = remote.client.create_org(slug, name or slug)
    remote.done(f"{made.slug} is an organisation: rules name it org:{made.slug}.", made)


@orgs.command(context_settings=TAKES_ID)
@click.argument("slug")
@asks_gateway
def show(remote: Remote, slug: str) -> None:
    """Show an organisation."""
    found = remote.client.org(slug)
    remote.show(
        found,
        lambda: fields([("slug", found.slug), ("name", found.name), ("since", day(found.created_at))]),
    )


@orgs.command(context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("name")
@asks_gateway
def rename(remote: Remote, slug: str, name: str) -> None:
    """Give an organisation another name; its slug stays."""
    found = remote.client.rename_org(slug, name)
    remote.done(f"{slug} is called {found.name}.", found)


@orgs.command(context_settings=TAKES_ID)
@click.argument("slug")
@click.option("--yes", is_flag=True, help="Don't ask.")
@asks_gateway
def delete(remote: Remote, *, slug: str, yes: bool) -> None:
    """Delete an organisation with its domains, members and groups; its people stay."""
    confirm(f"Delete {slug} for good?", yes=yes)
    remote.client.delete_org(slug)
    remote.done(f"{slug} is deleted.")


# -- domains ----------------------------------------------------------------------------------


@orgs.command(context_settings=TAKES_ID)
@click.argument("slug")
@asks_gateway
def domains(remote: Remote, slug: str) -> None:
    """List the domains of an organisation."""
    remote.show_list(remote.client.org_domains(slug), _DOMAINS, 0, "No domains.")


@orgs.command("add-domain", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("domain")
@asks_gateway
def add_domain(remote: Remote, slug: str, domain: str) -> None:
    """Add a domain, and print what its DNS must say."""
    made = remote.client.add_org_domain(slug, domain)
    remote.done(f'Add to the DNS: {made.record} TXT "{made.text}"', made)


@orgs.command("verify-domain", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("domain")
@click.option("--unasked", is_flag=True, help="Take your word for it; the DNS isn't asked.")
@asks_gateway
def verify_domain(remote: Remote, *, slug: str, domain: str, unasked: bool) -> None:
    """Ask the DNS whether a domain is the organisation's."""
    found: OrgDomain = remote.client.verify_org_domain(slug, domain, unasked=unasked)
    remote.done(f"{domain} is {slug}'s.", found)


@orgs.command("remove-domain", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("domain")
@asks_gateway
def remove_domain(remote: Remote, slug: str, domain: str) -> None:
    """Take a domain from an organisation."""
    remote.client.remove_org_domain(slug, domain)
    remote.done(f"{domain} is {slug}'s no more.")


# -- members ----------------------------------------------------------------------------------


@orgs.command(context_settings=TAKES_ID)
@click.argument("slug")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="0: all.")
@asks_gateway
def members(remote: Remote, slug: str, limit: int) -> None:
    """List the members of an organisation, the oldest first."""
    remote.show_list(remote.client.org_members(slug), _MEMBERS, limit, "No members.")


@orgs.command("put-member", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("user")
@click.option("--role", "roles", multiple=True, help="A role, for rules (`role:SLUG/ROLE`); can be repeated.")
@click.option("--no-roles", is_flag=True, help="Take all roles away.")
@asks_gateway
def put_member(remote: Remote, *, slug: str, user: str, roles: tuple[str, ...], no_roles: bool) -> None:
    """Make a user a member, or give a member other roles; without any their roles stay."""
    if roles and no_roles:
        raise click.UsageError("write --role or --no-roles")
    found: OrgMember = remote.client.put_org_member(
        slug, id_of(remote, user), roles if roles or no_roles else None
    )
    remote.done(f"{found.user_id} is a member of {slug}: {', '.join(found.roles) or 'no roles'}.", found)


@orgs.command("remove-member", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("user")
@asks_gateway
def remove_member(remote: Remote, slug: str, user: str) -> None:
    """Take somebody out of an organisation and its groups."""
    user_id = id_of(remote, user)
    remote.client.remove_org_member(slug, user_id)
    remote.done(f"{user_id} is a member of {slug} no more.")


# -- groups -----------------------------------------------------------------------------------


@orgs.command(context_settings=TAKES_ID)
@click.argument("slug")
@asks_gateway
def groups(remote: Remote, slug: str) -> None:
    """List the groups that an organisation keeps here."""
    remote.show_list(remote.client.org_groups(slug), _GROUPS, 0, "No groups.")


@orgs.command("create-group", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("name")
@asks_gateway
def create_group(remote: Remote, slug: str, name: str) -> None:
    """Make a group."""
    made = remote.client.create_org_group(slug, name)
    remote.done(f"Rules name it group:{slug}/{made.name} (group {made.id}).", made)


@orgs.command("delete-group", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("group")
@asks_gateway
def delete_group(remote: Remote, slug: str, group: str) -> None:
    """Delete a group, by name or id."""
    found = _group(remote, slug, group)
    remote.client.delete_org_group(slug, found.id)
    remote.done(f"{slug}/{found.name} is deleted.")


@orgs.command("group", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("group")
@asks_gateway
def show_group(remote: Remote, slug: str, group: str) -> None:
    """List who is in a group."""
    found = remote.client.org_group_members(slug, _group(remote, slug, group).id)
    remote.show_list(found, _MEMBERS, 0, "Nobody is in it.")


@orgs.command("join-group", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("group")
@click.argument("user")
@asks_gateway
def join_group(remote: Remote, slug: str, group: str, user: str) -> None:
    """Put a member of the organisation into a group of it."""
    found, user_id = _group(remote, slug, group), id_of(remote, user)
    remote.client.put_in_org_group(slug, found.id, user_id)
    remote.done(f"{user_id} is in {slug}/{found.name}.")


@orgs.command("leave-group", context_settings=TAKES_ID)
@click.argument("slug")
@click.argument("group")
@click.argument("user")
@asks_gateway
def leave_group(remote: Remote, slug: str, group: str, user: str) -> None:
    """Take somebody out of a group; it holds at their next request."""
    found, user_id = _group(remote, slug, group), id_of(remote, user)
    remote.client.take_from_org_group(slug, found.id, user_id)
    remote.done(f"{user_id} is in {slug}/{found.name} no more.")


def _group(remote: Remote, slug: str, wanted: str) -> OrgGroup:
    """The group of this name or id. Raises NotFound."""
    known = list(remote.client.org_groups(slug))
    found = next((one for one in known if one.name == wanted), None) or next(
        (one for one in known if one.id == wanted), None
    )
    if found is None:
        raise NotFound(f"{slug} has no group {wanted}.")
    return found
