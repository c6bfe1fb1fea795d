"""What an `app` block may hold."""

from __future__ import annotations

from typing import ClassVar

from vestibule.config.shape import Node
from vestibule.config.value import HostName, Seconds, SecondsOrNone
from vestibule.model import Secret

ACCESS_S = Seconds(600.0)
REFRESH_S = Seconds(90 * 86_400.0)
REFRESH_IDLE_S = Seconds(30 * 86_400.0)
LEEWAY_S = SecondsOrNone(10.0)


class App(Node, kw_only=True):
    """A program that signs people in here, and shows a token with its calls: on phones, desktops and command lines.

    To it the gateway is an OAuth 2.1 authorization server, and the block is what that calls a client. Where its hosts
    are of a `domain`, its requests go to the domain's `auth_host`; else to its host. An access token is good at one
    host, for `access`; it ends at once with the app's session, which people see among their devices.
    """

    LABEL: ClassVar[str] = "its ID"
    REQUIRED: ClassVar[tuple[str, ...]] = ("hosts",)

    name: str = ""
    """What people are shown (`"Forum for iPhone"`). Without it: the ID, which is its `client_id`."""
    hosts: tuple[HostName, ...] = ()
    """The hosts it calls, as in `["forum.example.com"]`. A token is for one of them, the first where the app names none
    (`resource`). All of them must be of one authorization server."""
    redirects: tuple[str, ...] = ()
    """Where people come back to it, compared as they are written: a link that the system opens in the app alone
    (`https://forum.example.com/app/callback`), a scheme of its own (`com.example.forum:/callback`), or this machine on
    any port (`http://127.0.0.1/callback`). Needed for the grant `code`."""
    secret: Secret = Secret("")
    """What it shows to be this app, at least 32 random characters (`openssl rand -base64 32`). Without it: a public
    client, as every program is that others have in their hands. PKCE is asked of all."""
    old_secret: Secret = Secret("")
    """The one before, while the app changes over: either is taken."""
    grants: tuple[str, ...] = ("code", "refresh")
    """How it gets tokens: `code` (people sign in with a browser), `refresh` (it stays signed in), `device` (they do so
    on another device), `native` (it has a token of Google's or Apple's SDK), `credentials` (it stands for itself),
    `exchange` (it gets a narrower one for one it has). Without it: `["code", "refresh"]`."""
    scopes: tuple[str, ...] = ()
    """What it may ask for, as in `["read", "write"]`: rules look at it as `token:read`."""
    access: Seconds = ACCESS_S
    """How long an access token is good (10 minutes), at most an hour."""
    refresh: Seconds = REFRESH_S
    """How long it stays signed in at most (90 days)."""
    refresh_idle: Seconds = REFRESH_IDLE_S
    """How long without coming back (30 days)."""
    leeway: SecondsOrNone = LEEWAY_S
    """For so long a refresh token that was just used brings the same answer once more, for an app that never got it
    (10 seconds). Later it means that somebody stole it, and the app is signed out."""
    confirm: bool | None = None
    """Whether people are asked before the app is let in. Without it: wherever somebody else's program could be waiting
    at its redirect URI, which is all but https links."""
