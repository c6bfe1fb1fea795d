"""What happened that somebody may have to know of: one value for log, audit rows and webhooks.

It holds no secret, and of people no more than ids, an address and the name of a browser.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

SESSION_CREATED: Final = "session.created"
"""Somebody signed in, or a service made a session for them."""
SESSION_ENDED: Final = "session.ended"
"""A session is over before its time: signed out, revoked."""
SESSION_NEW_DEVICE: Final = "session.new_device"
"""Somebody signed in by a device that they have not signed in by before."""
SESSION_NEW_PLACE: Final = "session.new_place"
"""Somebody signed in by a known device from a network where they have not been before."""
SESSION_REVOKED_ALL: Final = "session.revoked_all"
"""All sessions of a person are over."""
SIGN_IN_REFUSED: Final = "sign_in.refused"
"""Somebody whom a provider vouched for, or who gave a name and a password, was not let in."""
KEYS_ROTATED: Final = "keys.rotated"
"""The key ring has a new key that seals and signs."""
USER_UPDATED: Final = "user.updated"
"""An admin changed name, login or profile of a person."""
USER_BLOCKED: Final = "user.blocked"
"""An admin blocked a person."""
USER_UNBLOCKED: Final = "user.unblocked"
"""An admin let a person in again."""
USER_DELETED: Final = "user.deleted"
"""An admin deleted a person."""
IDENTITY_REMOVED: Final = "identity.removed"
"""An admin took an account at a provider from a person."""
APP_TOKEN_CREATED: Final = "app_token.created"  # noqa: S105 - the name of an event
"""Somebody made a token for their programs."""
APP_TOKEN_REVOKED: Final = "app_token.revoked"  # noqa: S105 - the name of an event
"""Somebody ended a token of their programs, or an admin did."""
REFRESH_TOKEN_REUSED: Final = "refresh_token.reused"  # noqa: S105 - the name of an event
"""An app's refresh token was shown that had been used: it was stolen, so the session has ended."""
REGISTERED_APP_CREATED: Final = "registered_app.created"
"""A program that nobody wrote into the configuration has registered itself as an app."""
MACHINE_TOKEN_ISSUED: Final = "machine.token_issued"  # noqa: S105 - the name of an event
"""A machine proved who it is, and has an access token."""
MACHINE_KEY_CREATED: Final = "machine_key.created"
"""A machine has a new key."""
MACHINE_KEY_REVOKED: Final = "machine_key.revoked"
"""A key of a machine is good no more."""
INVITATION_CREATED: Final = "invitation.created"
"""Somebody was invited."""
INVITATION_WITHDRAWN: Final = "invitation.withdrawn"
"""An invitation was taken back."""
PROVIDER_CREATED: Final = "provider.created"
"""An identity provider was added."""
PROVIDER_UPDATED: Final = "provider.updated"
"""An identity provider was changed."""
PROVIDER_DELETED: Final = "provider.deleted"
"""An identity provider was deleted."""
PROVIDER_ENABLED: Final = "provider.enabled"
"""An identity provider is offered to people."""
PROVIDER_DISABLED: Final = "provider.disabled"
"""An identity provider is offered no more."""
ORG_CREATED: Final = "org.created"
"""There is a new organisation."""
ORG_UPDATED: Final = "org.updated"
"""An organisation has another name."""
ORG_DELETED: Final = "org.deleted"
"""An organisation was deleted, and what was its."""
ORG_DOMAIN_ADDED: Final = "org.domain_added"
"""An organisation says that a domain is its own."""
ORG_DOMAIN_VERIFIED: Final = "org.domain_verified"
"""A domain is an organisation's: its DNS says so, or an operator."""
ORG_DOMAIN_REMOVED: Final = "org.domain_removed"
"""A domain is an organisation's no more."""
ORG_MEMBER_CHANGED: Final = "org.member_changed"
"""Somebody was made a member of an organisation, or has other roles in it."""
ORG_MEMBER_REMOVED: Final = "org.member_removed"
"""Somebody is a member of an organisation no more."""
ORG_GROUP_CREATED: Final = "org.group_created"
"""An organisation has a new group."""
ORG_GROUP_DELETED: Final = "org.group_deleted"
"""A group of an organisation was deleted."""
ORG_GROUP_JOINED: Final = "org.group_joined"
"""Somebody was put into a group of an organisation."""
ORG_GROUP_LEFT: Final = "org.group_left"
"""Somebody was taken out of a group of an organisation."""
DIRECTORY_USER_CREATED: Final = "directory.user_created"
"""An organisation's directory has provisioned somebody."""
DIRECTORY_USER_UPDATED: Final = "directory.user_updated"
"""An organisation's directory says something else of somebody."""
DIRECTORY_USER_DEACTIVATED: Final = "directory.user_deactivated"
"""An organisation's directory has switched somebody off: what they held has ended."""
DIRECTORY_USER_ACTIVATED: Final = "directory.user_activated"
"""An organisation's directory lets somebody in again."""
DIRECTORY_USER_DELETED: Final = "directory.user_deleted"
"""An organisation's directory has deleted somebody: what they held has ended."""
DIRECTORY_GROUP_CREATED: Final = "directory.group_created"
"""An organisation's directory has provisioned a group."""
DIRECTORY_GROUP_UPDATED: Final = "directory.group_updated"
"""An organisation's directory has changed a group, or who is in it."""
DIRECTORY_GROUP_DELETED: Final = "directory.group_deleted"
"""An organisation's directory has deleted a group."""
DIRECTORY_TOKEN_CREATED: Final = "directory.token_created"  # noqa: S105 - the name of an event
"""An organisation's directory has a new token."""
DIRECTORY_TOKEN_REVOKED: Final = "directory.token_revoked"  # noqa: S105 - the name of an event
"""A token of an organisation's directory is good no more."""
SESSION_UPDATED: Final = "session.updated"
"""A service changed attributes or end of a session."""
TOKEN_CREATED: Final = "token.created"  # noqa: S105 - the name of an event
"""There is a new token of the admin API."""
TOKEN_REVOKED: Final = "token.revoked"  # noqa: S105 - the name of an event
"""A token of the admin API is good no more."""
CREDENTIAL_REVEALED: Final = "credential.revealed"
"""Somebody was shown the tokens of a credential."""
LOG_LEVELS_CHANGED: Final = "log.levels_changed"
"""Other things are logged, or more, or less."""
CONFIGURATION_RELOADED: Final = "configuration.reloaded"
"""Another configuration is in force."""
CONFIGURATION_REFUSED: Final = "configuration.refused"
"""The files could not be put in force, and what was stays."""
MESSAGE_RETRIED: Final = "message.retried"
"""A message that a webhook did not take is tried again."""
MESSAGE_DISCARDED: Final = "message.discarded"
"""A message that a webhook did not take was thrown away."""
AUDIT_EXPORTED: Final = "audit.exported"
"""Somebody took a copy of the trail."""
AUDIT_BROKEN: Final = "audit.broken"
"""The trail did not end as this program had left it."""
CERTIFICATE_ISSUED: Final = "certificate.issued"
"""A name has a certificate that it had none of before."""
CERTIFICATE_RENEWED: Final = "certificate.renewed"
"""A name has a new certificate in the place of one that was good."""
CERTIFICATE_EXPIRES: Final = "certificate.expires"
"""A certificate that is shown ends in 30, 7 or 1 days, or has ended."""
CERTIFICATE_FAILED: Final = "certificate.failed"
"""A certificate could not be had; the one there is serves on."""
CERTIFICATE_WANTED: Final = "certificate.wanted"
"""An admin wants a certificate ordered anew."""
ADMIN_REFUSED: Final = "admin.refused"
"""Somebody was turned away at the admin API: no right to it, or wrong tokens again and again."""
NAMES: Final = (
    SESSION_CREATED,
    SESSION_ENDED,
    SESSION_NEW_DEVICE,
    SESSION_NEW_PLACE,
    SESSION_REVOKED_ALL,
    SIGN_IN_REFUSED,
    KEYS_ROTATED,
    USER_UPDATED,
    USER_BLOCKED,
    USER_UNBLOCKED,
    USER_DELETED,
    IDENTITY_REMOVED,
    APP_TOKEN_CREATED,
    APP_TOKEN_REVOKED,
    REFRESH_TOKEN_REUSED,
    REGISTERED_APP_CREATED,
    MACHINE_TOKEN_ISSUED,
    MACHINE_KEY_CREATED,
    MACHINE_KEY_REVOKED,
    INVITATION_CREATED,
    INVITATION_WITHDRAWN,
    PROVIDER_CREATED,
    PROVIDER_UPDATED,
    PROVIDER_DELETED,
    PROVIDER_ENABLED,
    PROVIDER_DISABLED,
    ORG_CREATED,
    ORG_UPDATED,
    ORG_DELETED,
    ORG_DOMAIN_ADDED,
    ORG_DOMAIN_VERIFIED,
    ORG_DOMAIN_REMOVED,
    ORG_MEMBER_CHANGED,
    ORG_MEMBER_REMOVED,
    ORG_GROUP_CREATED,
    ORG_GROUP_DELETED,
    ORG_GROUP_JOINED,
    ORG_GROUP_LEFT,
    DIRECTORY_USER_CREATED,
    DIRECTORY_USER_UPDATED,
    DIRECTORY_USER_DEACTIVATED,
    DIRECTORY_USER_ACTIVATED,
    DIRECTORY_USER_DELETED,
    DIRECTORY_GROUP_CREATED,
    DIRECTORY_GROUP_UPDATED,
    DIRECTORY_GROUP_DELETED,
    DIRECTORY_TOKEN_CREATED,
    DIRECTORY_TOKEN_REVOKED,
    SESSION_UPDATED,
    TOKEN_CREATED,
    TOKEN_REVOKED,
    CREDENTIAL_REVEALED,
    LOG_LEVELS_CHANGED,
    CONFIGURATION_RELOADED,
    CONFIGURATION_REFUSED,
    MESSAGE_RETRIED,
    MESSAGE_DISCARDED,
    AUDIT_EXPORTED,
    AUDIT_BROKEN,
    CERTIFICATE_ISSUED,
    CERTIFICATE_RENEWED,
    CERTIFICATE_FAILED,
    CERTIFICATE_EXPIRES,
    CERTIFICATE_WANTED,
    ADMIN_REFUSED,
)
"""All of this program's own."""
APP_RE: Final = re.compile(r"app(?:\.[a-z0-9_]{1,40}){1,4}", re.ASCII)
"""Names of what applications tell of themselves: no name of ours ever begins so."""
ANY_APP: Final = "app.*"
"""For a webhook that is told of all that applications tell."""
OK: Final = "ok"
REFUSED: Final = "refused"


class Acting(msgspec.Struct, frozen=True, kw_only=True):
    """Who does what is being done, and by which request."""

    actor: str = ""
    """`user ID`, `token NAME`, `socket`, `provider NAME`; empty: the program itself."""
    address: str = ""
    request_id: str = ""
    reason: str = ""
    """Why, as a code (`user_disabled`), where the actor alone doesn't say."""


NOBODY: Final = Acting()


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One thing that happened."""

    id: str
    """Its own; the same in log, audit and every delivery of every webhook."""
    at: float
    action: str
    """Its name, of `NAMES`, or an application's own (`APP_RE`)."""
    outcome: str = OK
    """`ok` or `refused`."""
    actor: str = ""
    """Who did it; see `Acting`."""
    target: str = ""
    """What it was done to, where that is neither a person nor a session."""
    user_id: str = ""
    """The person it is about."""
    session_id: str = ""
    host: str = ""
    address: str = ""
    """Where the request came from."""
    device: str = ""
    """`Firefox on Linux`."""
    request_id: str = ""
    """As in the log."""
    detail: dict[str, Any] = {}
    """Whatever else there is to it: JSON values by name."""
