"""What a service's token may do at the API: scopes, and which of them each operation asks for.

A token without scopes may do everything. One with scopes may do what they name, and make tokens with no more than its
own; so whoever holds it can't get further by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from vestibule.errors import ClientError, NotFound

SCOPES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sessions:read": "list and read sessions; no handle is ever among what is told",
        "sessions:write": "make sessions for people, change and end them: who may, can act as anybody",
        "sessions:introspect": "ask whether a handle is good, and whose it is",
        "users:read": "list and read users, their identities and app tokens, invitations; explain decisions",
        "users:write": "change, block and delete users, revoke their app tokens, invite",
        "providers:read": "list and read identity providers",
        "providers:write": "add, change, try out and delete identity providers",
        "tokens:write": "list and revoke tokens, and make them, with scopes of its own alone",
        "orgs:read": "list and read organisations: their domains, members and groups",
        "orgs:write": "make, change and delete organisations, say who is in them and in which of their groups",
        "machines:write": "list, make and revoke keys of machines: who may, can act as any of them",
        "audit:read": "read what has happened",
        "traffic:read": "watch requests, figures, hosts, calls, edges, how providers do; no secret is among it",
        "configuration:read": "read the configuration in force and in the files, its secrets masked",
        "configuration:write": "put in force what the files say, after a look at it; renew certificates; upgrade",
        "log:write": "change how much is logged",
        "events:write": "tell what happens in an application, for the trail",
        "webhooks:write": "list messages that webhooks did not take, try them again, throw them away",
        "credentials:read": "list the credentials that sessions hold, masked",
        "credentials:reveal": "be shown the tokens of a person's credentials: who may, can act as them elsewhere",
    }
)
"""All there are, and what each lets do."""

NEEDED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "createSession": "sessions:write",
        "listSessions": "sessions:read",
        "getSession": "sessions:read",
        "updateSession": "sessions:write",
        "endSession": "sessions:write",
        "endSessions": "sessions:write",
        "introspectSession": "sessions:introspect",
        "listUsers": "users:read",
        "getUser": "users:read",
        "updateUser": "users:write",
        "deleteUser": "users:write",
        "blockUser": "users:write",
        "unblockUser": "users:write",
        "listUserIdentities": "users:read",
        "deleteUserIdentity": "users:write",
        "listUserTokens": "users:read",
        "revokeUserToken": "users:write",
        "listIdentities": "users:read",
        "createInvitation": "users:write",
        "listInvitations": "users:read",
        "getInvitation": "users:read",
        "deleteInvitation": "users:write",
        "createIdentityProvider": "providers:write",
        "listIdentityProviders": "providers:read",
        "getIdentityProvider": "providers:read",
        "updateIdentityProvider": "providers:write",
        "replaceIdentityProvider": "providers:write",
        "deleteIdentityProvider": "providers:write",
        "enableIdentityProvider": "providers:write",
        "disableIdentityProvider": "providers:write",
        "testIdentityProvider": "providers:write",
        "createToken": "tokens:write",
        "listTokens": "tokens:write",
        "revokeToken": "tokens:write",
        "createMachineKey": "machines:write",
        "listMachineKeys": "machines:write",
        "revokeMachineKey": "machines:write",
        "createOrg": "orgs:write",
        "listOrgs": "orgs:read",
        "getOrg": "orgs:read",
        "updateOrg": "orgs:write",
        "deleteOrg": "orgs:write",
        "addOrgDomain": "orgs:write",
        "listOrgDomains": "orgs:read",
        "verifyOrgDomain": "orgs:write",
        "confirmOrgDomain": "orgs:write",
        "removeOrgDomain": "orgs:write",
        "listOrgMembers": "orgs:read",
        "putOrgMember": "orgs:write",
        "getOrgMember": "orgs:read",
        "removeOrgMember": "orgs:write",
        "createOrgGroup": "orgs:write",
        "listOrgGroups": "orgs:read",
        "deleteOrgGroup": "orgs:write",
        "listOrgGroupMembers": "orgs:read",
        "putOrgGroupMember": "orgs:write",
        "removeOrgGroupMember": "orgs:write",
        "getDirectory": "orgs:read",
        "putDirectory": "orgs:write",
        "createDirectoryToken": "orgs:write",
        "listDirectoryTokens": "orgs:read",
        "revokeDirectoryToken": "orgs:write",
        "createOrgProvider": "providers:write",
        "listOrgProviders": "providers:read",
        "getOrgProvider": "providers:read",
        "updateOrgProvider": "providers:write",
        "deleteOrgProvider": "providers:write",
        "listUserAffiliations": "users:read",
        "listHeld": "tokens:write",
        "explain": "users:read",
        "listAppTokens": "users:read",
        "listAudit": "audit:read",
        "getAuditEvent": "audit:read",
        "verifyAudit": "audit:read",
        "exportAudit": "audit:read",
        "tellEvents": "events:write",
        "listDeadLetters": "webhooks:write",
        "retryDeadLetter": "webhooks:write",
        "discardDeadLetter": "webhooks:write",
        "readMetrics": "traffic:read",
        "listTraffic": "traffic:read",
        "streamTraffic": "traffic:read",
        "getTrace": "traffic:read",
        "getOverview": "traffic:read",
        "listHosts": "traffic:read",
        "listCalls": "traffic:read",
        "listEdges": "traffic:read",
        "listProviderStates": "traffic:read",
        "listCertificates": "traffic:read",
        "listCredentials": "credentials:read",
        "revealCredential": "credentials:reveal",
        "getConfiguration": "configuration:read",
        "getConfigurationDifference": "configuration:read",
        "reloadConfiguration": "configuration:write",
        "upgradeProgram": "configuration:write",
        "renewCertificate": "configuration:write",
        "getLogLevels": "configuration:read",
        "updateLogLevels": "log:write",
    }
)
"""Which scope an operation of the API asks for, by its `operationId`; others are for tokens without scopes."""


WITHIN_ORG: Final = frozenset(
    {
        "getOrg",
        "updateOrg",
        "addOrgDomain",
        "listOrgDomains",
        "verifyOrgDomain",
        "removeOrgDomain",
        "listOrgMembers",
        "putOrgMember",
        "getOrgMember",
        "removeOrgMember",
        "createOrgGroup",
        "listOrgGroups",
        "deleteOrgGroup",
        "listOrgGroupMembers",
        "putOrgGroupMember",
        "removeOrgGroupMember",
        "createOrgProvider",
        "listOrgProviders",
        "getOrgProvider",
        "updateOrgProvider",
        "deleteOrgProvider",
        "getDirectory",
        "putDirectory",
        "createDirectoryToken",
        "listDirectoryTokens",
        "revokeDirectoryToken",
    }
)
"""What who runs an organisation may do, in that one alone."""


class ScopeMissing(ClientError):
    """The token may not do this. Spec: RFC 6750 section 3.1 (insufficient_scope)."""

    code = "scope_missing"
    status = 403

    def __init__(self, message: str, scope: str) -> None:
        super().__init__(message)
        self.scope = scope
        """What it would take; empty where a token without scopes is needed."""


def check(scopes: tuple[str, ...], operation: str) -> None:
    """Nothing, where a token with these scopes may do the operation. Raises ScopeMissing."""
    needed = NEEDED.get(operation, "")
    if not scopes or needed in scopes:
        return
    if not needed:
        raise ScopeMissing("this needs a token without scopes", "")
    raise ScopeMissing(f"this token lacks the scope {needed}", needed)


def check_within_org(own: str, operation: str, slug: str) -> None:
    """Nothing, where who runs the organisation *own* may do this to that of *slug*. Raises NotFound.

    Threat: two organisations; that there is another is none of one's business.
    """
    if slug != own or operation not in WITHIN_ORG:
        raise NotFound("There is no such thing here.")


def check_within(scopes: tuple[str, ...], wanted: Iterable[str]) -> None:
    """Nothing, where a token with the scopes may have to do with one that has those wanted. Raises ScopeMissing.

    Threat: a token that makes itself, or takes away, one that may do more; no scopes at all is everything.
    """
    asked = tuple(wanted)
    if not scopes:
        return
    if not asked:
        raise ScopeMissing("a token with scopes has to do with tokens with scopes alone", "")
    for scope in asked:
        if scope not in scopes:
            raise ScopeMissing(f"this token lacks the scope {scope} itself", scope)


def in_order(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes, each once, in the order of the table. Raises ValueError, which names one that there isn't."""
    given = set(scopes)
    for unknown in sorted(given - SCOPES.keys()):
        raise ValueError(f"there is no scope {unknown!r}: {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in given)
