"""Access tokens for machines: who proves to be one is given a token for minutes, at one host.

Nothing is stored of it. It ends by itself, or with the machine, which must be in the configuration still; one that was
given for a key ends with the key, too.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from vestibule.core import access
from vestibule.core import event as names
from vestibule.core.access import Access, token_name
from vestibule.core.app import App
from vestibule.core.event import Event
from vestibule.core.limit import Limit
from vestibule.core.machine import Machine, Machines, Proven
from vestibule.core.route import Host
from vestibule.core.seal import NONCE_BYTES, KeyRing
from vestibule.model import Secret
from vestibule.protocol import base64url
from vestibule.protocol.authorization_server import OAuthError
from vestibule.service.ended_tokens import EndedTokens
from vestibule.service.events import Events
from vestibule.service.machine_keys import MachineKeys

JWT: Final = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN: Final = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105 - a name
AWS_REQUEST: Final = "urn:ietf:params:aws:token-type:aws4_request"
"""Types of what is shown. Spec: RFC 8693 section 3; the last is Google Cloud's workload identity federation's."""


REFUSED_MAX: Final = 60
"""Proofs that are none which one network may send in a window."""
WINDOW_S: Final = 60.0
_NETWORKS_MAX: Final = 10_000
_ID_BYTES: Final = 16


class Prover(Protocol):
    """Says which machine shows something (`service.workloads`, `service.sts`)."""

    async def prove(self, text: str, machines: Iterable[Machine], now: float, *, here: str) -> Proven:
        """Which of these (by name), of those of its own kinds; `here` is the host where tokens are given out.

        Raises OAuthError, StoreError.
        """


class Server(msgspec.Struct, frozen=True):
    """Where tokens are given out."""

    name: str
    url: str
    hosts: tuple[str, ...]
    """For which."""


class Wish(msgspec.Struct, frozen=True):
    """What a machine asks for."""

    resource: str = ""
    """A host, by its name or as a URL (RFC 8707); empty: the machine's first."""
    scopes: tuple[str, ...] = ()
    """Empty: all it may have."""
    name: str = ""
    """The machine it says it is; empty: whichever it proves to be."""


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What a machine is given."""

    access_token: Secret
    expires_in_s: float
    scopes: tuple[str, ...]


class MachineTokens:
    """Gives access tokens to machines, and to apps that stand for themselves. Every method may raise StoreError."""

    def __init__(
        self,
        machines: Machines,
        provers: Mapping[str, Prover],
        keys: MachineKeys,
        ring: KeyRing,
        events: Events,
        *,
        ended: EndedTokens,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`provers`: by the type of what is shown."""
        self._ended = ended
        self.machines = machines
        self._provers = provers
        self._keys = keys
        self._ring = ring
        self._events = events
        self._random = random
        self.tries = Limit(REFUSED_MAX, WINDOW_S, keys=_NETWORKS_MAX)
        """What came to nothing, by the network that it came from."""

    async def by_proof(self, kind: str, text: str, wish: Wish, server: Server, now: float) -> Given:
        """A token for who shows this. Raises OAuthError.

        Threat: a name in `client_id` proves nothing; it only says which machine is tried.
        """
        prover = self._provers.get(kind)
        if prover is None:
            raise OAuthError("invalid_request", "subject_token_type is missing, or not supported")
        if not text:
            raise OAuthError("invalid_request", "there is nothing that proves who asks")
        tried = [
            replace(one, audience=one.audience or (server.url,))
            for one in self.machines.by_name.values()
            if wish.name in ("", one.name) and not set(one.hosts).isdisjoint(server.hosts)
        ]
        proven = await prover.prove(text, tried, now, here=server.name)
        return await self.given(self.machines.by_name[proven.machine], proven, wish, server, now)

    async def by_key(self, secret: Secret | None, wish: Wish, server: Server, now: float) -> Given:
        """A token for who shows a key of the machine that they name. Raises OAuthError. Spec: RFC 6749 section 4.4."""
        machine = self.machines.by_name.get(wish.name)
        if machine is None or machine.kind != "key":
            raise OAuthError("unauthorized_client", "this machine has no keys")
        proven, key = await self._keys.prove(machine.name, secret, now)
        return await self.given(machine, proven, wish, server, now, key=key)

    async def given(
        self, machine: Machine, proven: Proven, wish: Wish, server: Server, now: float, *, key: str = ""
    ) -> Given:
        """A token for a machine that has proven to be this one. Raises OAuthError."""
        return await self._given(
            proven,
            hosts=machine.hosts,
            may=machine.scopes,
            wish=wish,
            server=server,
            life_s=min(machine.token_s, proven.expires_at - now),
            now=now,
            kind=machine.kind,
            key=key,
        )

    async def by_app(self, app: App, wish: Wish, server: Server, now: float) -> Given:
        """A token for an app that stands for itself; its secret was looked at. Spec: RFC 6749 section 4.4."""
        proven = Proven(machine=app.id, subject=app.id)
        return await self._given(
            proven,
            hosts=app.hosts,
            may=app.scopes,
            wish=wish,
            server=server,
            life_s=app.access_s,
            now=now,
            kind="app",
        )

    async def _given(
        self,
        proven: Proven,
        *,
        hosts: Collection[str],
        may: tuple[str, ...],
        wish: Wish,
        server: Server,
        life_s: float,
        now: float,
        kind: str,
        key: str = "",
    ) -> Given:
        # 1. For which host.
        host = _audience(wish.resource, [one for one in hosts if one in server.hosts])
        # 2. For what.
        if not set(wish.scopes) <= set(may):
            raise OAuthError("invalid_scope", "this machine may not ask for that scope")
        scopes = wish.scopes or may
        # 3. Until when: never longer than what proved it.
        if life_s < 1:
            raise OAuthError("invalid_grant", "what proves it has ended")
        token = access.seal(
            self._ring,
            Access(
                host=host,
                app=proven.machine,
                machine=proven.machine,
                subject=proven.subject,
                claims=dict(proven.claims),
                key=key,
                scopes=scopes,
                issued_at=now,
                expires_at=now + life_s,
                id=base64url.encode(self._random(_ID_BYTES)),
            ),
            nonce=self._random(NONCE_BYTES),
        )
        if len(token) > access.LENGTH_MAX_CHARS:
            raise OAuthError("invalid_request", "its claims are too long for a token")
        detail = {"machine": proven.machine, "kind": kind, "subject": proven.subject, "scopes": list(scopes)}
        await self._events.tell(
            Event(
                id="",
                at=0.0,
                action=names.MACHINE_TOKEN_ISSUED,
                outcome=names.OK,
                host=host,
                detail={**detail, **({"key": key} if key else {})},
            )
        )
        return Given(access_token=Secret(token), expires_in_s=life_s, scopes=scopes)

    def read(self, text: str, now: float) -> Access | None:
        """What a machine's token says; None for any other text. Does NOT look whether it was revoked."""
        found = access.read(self._ring, text.encode("utf-8"), now)
        return found if not isinstance(found, str) and found.machine else None

    def is_over(self, text: str, now: float) -> bool:
        """True for an access token that this gateway gave and that is good no more, whoever's it was."""
        return access.read(self._ring, text.encode("utf-8"), now) == access.EXPIRED

    async def revoke(self, token: Access) -> None:
        """It is good nowhere any more, at once; durable on return. Spec: RFC 7009 section 2."""
        await self._ended.end(token)

    async def described(self, token: Access, host: Host, now: float) -> dict[str, Any]:
        """What introspection says of a machine's token for this host. Spec: RFC 7662 section 2.2."""
        may = host.machines.get(token.machine)
        is_good = may is not None and not (token.id and await self._ended.is_ended(token_name(token.id), now))
        if may is None or not is_good or (token.key and not await self._keys.is_live(token.key, now)):
            return {"active": False}
        return {
            "active": True,
            "client_id": token.app,
            "sub": token.subject,
            "aud": token.host,
            "scope": " ".join(one for one in token.scopes if one in may),
            "iat": int(token.issued_at),
            "exp": int(token.expires_at),
            "token_type": "Bearer",
        }


def _audience(resource: str, hosts: list[str]) -> str:
    """The host that a token is asked for. Raises OAuthError `invalid_target`. Spec: RFC 8707 section 2."""
    try:
        name = (urlsplit(resource).hostname or "") if "://" in resource else resource
    except ValueError:
        name = ""
    found = next((one for one in hosts if name in ("", one)), None) if name or not resource else None
    if found is None:
        raise OAuthError("invalid_target", "this machine has no tokens for that host")
    return found
