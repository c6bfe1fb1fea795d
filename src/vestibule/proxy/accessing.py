"""Access tokens of the gateway's own as they come with requests: for which session, and what they are good for here."""

from __future__ import annotations

import msgspec

from vestibule.core import access
from vestibule.core.access import Access
from vestibule.core.app import is_registered_id
from vestibule.core.route import Host
from vestibule.core.seal import KeyRing
from vestibule.errors import CredentialRefused
from vestibule.model import Caller, Session
from vestibule.protocol.h1 import RequestHead

MACHINE = "machine"
"""Kind of a `Caller`."""
REFUSED = "this access token is not good, or not any more"
_EXPIRED = "this access token has expired"
_ELSEWHERE = "this access token is not for this host"
_READ = frozenset((b"GET", b"HEAD"))
_OWN = frozenset((b"/@/session", b"/@/account"))
"""The gateway's own paths that tell an app of the person it has signed in. None of them changes anything."""
_OWN_LESS = frozenset((b"/@/session",))
"""And an app that registered itself, or one with a token that was exchanged for another.

Addresses, links and devices are not what somebody let these in for.
"""


class Shown(msgspec.Struct, frozen=True, gc=False):
    """A token that is good here, as long as its session is."""

    access: Access
    scopes: frozenset[str]
    """Those of it that the app may have, by the configuration."""
    caller: Caller | None = None
    """The machine that it is; None: it is a session's."""

    def is_of(self, session: Session, host: Host) -> bool:
        """True where this session is the one that it stands for, and is good at this host."""
        token = self.access
        return (
            session.id == token.session_id
            and session.app == token.owner
            and bool(session.app) is not token.of_browser
            and session.host in (host.realm or token.host, token.host)
        )

    def scopes_in(self, session: Session) -> frozenset[str]:
        """Those for which rules take it: what an app's session hasn't, it hasn't either; a browser's has no bounds."""
        return self.scopes if self.access.of_browser else self.scopes.intersection(session.scopes)


def opened(ring: KeyRing, host: Host, token: bytes, now: float) -> Shown:
    """What this token says at this host. Raises CredentialRefused.

    Does NOT look at the session. Threat: a token for one host that is shown to another (RFC 8707 section 3), or that
    outlives its app in the configuration.
    """
    # 1. Whether this host takes any.
    if not host.takes_access:
        raise CredentialRefused(_ELSEWHERE)
    # 2. Sealed here, and not too long ago.
    found = access.read(ring, token, now)
    if isinstance(found, str):
        raise CredentialRefused(_EXPIRED if found == access.EXPIRED else REFUSED)
    # 3. For this host.
    if found.host != host.name.decode("ascii"):
        raise CredentialRefused(_ELSEWHERE)
    # 4. Of a machine that has tokens for it still.
    if found.machine:
        return _of_machine(host, found)
    # 5. Of an app that has tokens for it still: one of the configuration's, or one that may register itself.
    scopes = host.apps.get(found.app)
    if scopes is None and host.registers and is_registered_id(found.app):
        scopes = frozenset(host.registered_scopes)
    if scopes is None or not found.session_id:
        raise CredentialRefused(REFUSED)
    return Shown(found, scopes.intersection(found.scopes))


def _of_machine(host: Host, found: Access) -> Shown:
    """Threat: a machine that was taken out of the configuration, or has fewer scopes there than it had."""
    known = host.machines.get(found.machine)
    if known is None or found.session_id:
        raise CredentialRefused(REFUSED)
    scopes = known.intersection(found.scopes)
    caller = Caller(
        id=found.key or f"{found.machine}:{found.subject}",
        kind=MACHINE,
        scopes=scopes,
        expires_at=found.expires_at,
        signed_in_at=found.issued_at,
        machine=found.machine,
        subject=found.subject,
    )
    return Shown(found, scopes, caller)


def checked_age(shown: Shown, now: float) -> Shown:
    """The same, later. Raises CredentialRefused."""
    if now >= shown.access.expires_at:
        raise CredentialRefused(_EXPIRED)
    return shown


def takes_none(head: RequestHead, token: Access | None = None) -> bool:
    """True for a path of the gateway's own where a token says nothing: who shows one is nobody there.

    `token`: what it says, once that is known.
    Threat: an app that changes how the person signs in (links, devices, app tokens, deletion), or lets another in;
    one that nobody knows, or a service that saw a token or an assertion pass, and that reads the whole account.
    """
    own = _OWN
    if token is not None and (token.exchanged or is_registered_id(token.app)):
        own = _OWN_LESS
    return head.target.path not in own or head.method not in _READ
