"""`vestibule users`: who is known here; block, delete."""

from __future__ import annotations

import click

from vestibule.admin_client import User
from vestibule.cli.remote import TAKES_ID, Remote, asks_gateway, confirm, day
from vestibule.cli.table import Column, fields, table
from vestibule.errors import NotFound, VestibuleError

_COLUMNS = (
    Column("ID", lambda user: user.id),
    Column("NAME", lambda user: user.name or user.login, may_shrink=True),
    Column("EMAIL", lambda user: user.email or "-", may_shrink=True),
    Column("SEEN", lambda user: day(user.seen_at)),
    Column("", lambda user: "blocked" if user.disabled else ""),
)
_IDENTITIES = (
    Column("IDENTITY", lambda identity: identity.id),
    Column("PROVIDER", lambda identity: identity.client, may_shrink=True),
    Column("ACCOUNT", lambda identity: identity.email or identity.login or identity.subject, may_shrink=True),
    Column("SEEN", lambda identity: day(identity.seen_at)),
)

_TOKENS = (
    Column("ID", lambda token: token.id),
    Column("NAME", lambda token: token.name, may_shrink=True),
    Column(
        "GOOD AT",
        lambda token: ", ".join(token.host + path for path in token.paths or ("",)),
        may_shrink=True,
    ),
    Column("EXPIRES", lambda token: day(token.expires_at)),
    Column("USED", lambda token: day(token.seen_at)),
)
_HELD = (
    *_TOKENS[:1],
    Column("PERSON", lambda token: token.person or token.user_id, may_shrink=True),
    *_TOKENS[1:],
    Column("", lambda token: "blocked" if token.disabled else ""),
)


@click.group()
def users() -> None:
    """List, show, block and delete users; list and revoke their app tokens.

    They come by signing in, or by invitation. USER is an id or an e-mail address.
    """


@users.command("list")
@click.option("--email", default="", help="This address is theirs.")
@click.option("--text", default="", help="This stands in name, login or address.")
@click.option("--blocked/--not-blocked", default=None, help="These only.")
@click.option("--limit", type=click.IntRange(0), default=100, show_default=True, help="0: all.")
@asks_gateway
def list_users(remote: Remote, *, email: str, text: str, blocked: bool | None, limit: int) -> None:
    """List users, the oldest first."""
    found = remote.client.users(email=email, text=text, disabled=blocked)
    remote.show_list(found, _COLUMNS, limit, "No users.")


@users.command(context_settings=TAKES_ID)
@click.argument("user")
@asks_gateway
def show(remote: Remote, user: str) -> None:
    """Show a user with all identities."""
    found = remote.client.user(id_of(remote, user))
    remote.show(found, lambda: _text(found))


@users.command(context_settings=TAKES_ID)
@click.argument("user")
@asks_gateway
def block(remote: Remote, user: str) -> None:
    """Block a user.

    All their sessions and app tokens end at once, and nobody signs in as them.
    """
    found = remote.client.block_user(id_of(remote, user))
    remote.done(f"{found.id} is blocked; all their sessions are over.", found)


@users.command(context_settings=TAKES_ID)
@click.argument("user")
@asks_gateway
def unblock(remote: Remote, user: str) -> None:
    """Let a blocked user in again."""
    found = remote.client.unblock_user(id_of(remote, user))
    remote.done(f"{found.id} may sign in again.", found)


@users.command(context_settings=TAKES_ID)
@click.argument("user")
@click.option("--yes", is_flag=True, help="Don't ask.")
@asks_gateway
def delete(remote: Remote, *, user: str, yes: bool) -> None:
    """Delete a user with all identities, credentials, app tokens and sessions."""
    user_id = id_of(remote, user)
    confirm(f"Delete {user} for good?", yes=yes)
    remote.client.delete_user(user_id)
    remote.done(f"{user_id} is deleted.")


@users.command("tokens", context_settings=TAKES_ID)
@click.argument("user", default="")
@asks_gateway
def list_tokens(remote: Remote, user: str) -> None:
    """List the app tokens that a user, or without one all users, have made for programs, the expired ones too."""
    if not user:
        remote.show_list(remote.client.app_tokens(), _HELD, 0, "No app tokens.")
        return
    found = remote.client.user_tokens(id_of(remote, user))
    remote.show_list(found, _TOKENS, 0, "No app tokens.")


@users.command("revoke-token", context_settings=TAKES_ID)
@click.argument("user")
@click.argument("token_id", metavar="ID")
@asks_gateway
def revoke_token(remote: Remote, user: str, token_id: str) -> None:
    """End an app token of a user at once."""
    remote.client.revoke_user_token(id_of(remote, user), token_id)
    remote.done(f"{token_id} is revoked.")


def id_of(remote: Remote, user: str) -> str:
    """The user's id, looked up where an address is given. Raises VestibuleError."""
    if "@" not in user:
        return user
    found = list(remote.client.users(email=user))
    if not found:
        raise NotFound(f"nobody here has the address {user}: `vestibule users list --text` searches names")
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        raise VestibuleError(f"{len(found)} users have the address {user}: say which, of {ids}")
    return found[0].id


def _text(user: User) -> str:
    pairs = [
        ("id", user.id),
        ("name", user.name),
        ("login", user.login),
        ("e-mail", user.email),
        ("blocked", "yes" if user.disabled else ""),
        ("since", day(user.created_at)),
        ("last seen", day(user.seen_at)),
        # What was answered in the registration form, where it isn't what stands above.
        *((name, value) for name, value in user.profile.items() if getattr(user, name, None) != value),
    ]
    return f"{fields(pairs)}\n\n{table(user.identities or (), _IDENTITIES)}"
