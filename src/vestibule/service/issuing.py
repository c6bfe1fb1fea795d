"""Tokens of the gateway's own for its apps: a session of the app's begun, its tokens given, refreshed and revoked.

An app's session is a session like a browser's: it stands in the same lists, and ends by the same ways, at once. It
holds no credentials at providers, and is looked at anew by what they last said of the person (`service.recheck`).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from vestibule.core import access, refresh
from vestibule.core import event as names
from vestibule.core import session as rules
from vestibule.core.access import Access
from vestibule.core.app import App, Apps, hash_of
from vestibule.core.event import Event
from vestibule.core.lifetimes import UNBOUNDED
from vestibule.core.refresh import Refresh, Verdict
from vestibule.core.route import Host
from vestibule.core.seal import NONCE_BYTES, KeyRing
from vestibule.model import Device, Identity, Secret, Session
from vestibule.protocol import base64url
from vestibule.protocol.authorization_server import ClientShown, OAuthError
from vestibule.service.events import Events, because
from vestibule.service.recheck import Rechecks
from vestibule.service.sessions import Sessions
from vestibule.service.steward import realm_of

_NOT_GOOD: Final = "it is not good, or no longer: sign in anew"


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """What an app is given."""

    access_token: Secret
    expires_in_s: float
    scopes: tuple[str, ...]
    session: Session
    refresh_token: Secret | None = None


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """For whom an app's session is, as their own session or provider has just said it."""

    user_id: str
    identities: tuple[Identity, ...]
    signed_in_at: float


class Issuing:
    """Gives tokens. Every method may raise StoreError."""

    def __init__(
        self,
        apps: Apps,
        sessions: Sessions,
        rechecks: Rechecks,
        ring: KeyRing,
        events: Events,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.apps = apps
        self._sessions = sessions
        self._rechecks = rechecks
        self._ring = ring
        self._events = events
        self._random = random

    def authenticated(self, shown: ClientShown, apps: Apps | None = None) -> App:
        """The app that this is, of these; None: of the configuration's. Raises OAuthError `invalid_client` (401).

        An app without a secret is whoever says so; what it is given goes to its own redirect URIs alone, and for
        proof of PKCE. Compared in constant time. Spec: OAuth 2.1 section 2.4.
        """
        app = (self.apps if apps is None else apps).by_id.get(shown.id)
        digest = hash_of(shown.secret).digest if shown.secret is not None else b""
        known = app.secrets if app is not None else ()
        is_right = any([hmac.compare_digest(one.digest, digest) for one in known])  # noqa: C419 - all are compared
        if app is None or (known and not is_right) or (not known and digest):
            raise OAuthError("invalid_client", "the app is not known by this", status=401)
        return app

    async def begin(
        self,
        app: App,
        host: Host,
        person: Person,
        *,
        scopes: Iterable[str],
        device: Device,
        now: float,
        session_id: str = "",
    ) -> Issued:
        """A new session of the app's at this host, and its tokens; durable.

        `session_id`: what it is to be; empty: a new one. Raises OAuthError `access_denied` where nobody vouches for
        the person whom the host believes.
        """
        # The provider's session that somebody came by is a browser's: its end is not the app's.
        identities = tuple(replace(one, sid="") for one in person.identities if one.client in host.believed)
        if not identities:
            raise OAuthError("access_denied", "none of this host's providers vouches for the person")
        session = rules.begun(
            session_id=session_id or base64url.encode(self._random(rules.ID_BYTES)),
            host=realm_of(host),
            user_id=person.user_id,
            identities=identities,
            clients=(),
            device=device,
            span=UNBOUNDED,
            now=now,
            check_at=self._rechecks.next_by_word(now),
        )
        session = replace(
            session,
            app=app.id,
            scopes=tuple(scopes),
            signed_in_at=person.signed_in_at,
            expires_at=now + (app.refresh_s if "refresh" in app.grants else app.access_s),
            idle_s=app.idle_s,
            rotated_at=now,
        )
        await self._sessions.add(session)  # its handle is nobody's: it has no cookie
        for surplus in await self._sessions.beyond(person.user_id, session.id):
            with because("too_many_sessions"):
                await self._sessions.end(surplus.id)
        return self._issued(app, host.name.decode("ascii"), session, session.scopes, now)

    async def refresh(
        self,
        app: App,
        text: str,
        *,
        scopes: tuple[str, ...],
        host_of: Callable[[str], Host | None],
        now: float,
    ) -> Issued:
        """New tokens for old: the refresh token shown is good no more. `scopes`: fewer than before; empty: all.

        `host_of`: the host of this name, where it may still have them; it raises for one that wasn't asked for.
        Raises OAuthError `invalid_grant`, `invalid_scope`. A token that was used before ends the session: it was
        stolen, or its successor was. Spec: RFC 6749 section 6, RFC 9700 section 4.14.2.

        Threat: tokens for another host than the person let the app in at, and a mistake that uses the token up.
        """
        # 1. The token, and its session.
        shown = refresh.read(self._ring, text)
        if shown is None or shown.app != app.id or "refresh" not in app.grants:
            raise OAuthError("invalid_grant", _NOT_GOOD)
        known = await self._sessions.by_id(shown.session_id)
        if known is None:
            raise OAuthError("invalid_grant", _NOT_GOOD)
        # 2. For where and for what, while nothing is used up yet. One that is past ends its session all the same.
        host = None
        if refresh.judged(shown, known, leeway_s=app.leeway_s, now=now) in {"rotate", "again"}:
            host = self._refreshed_for(shown, known, scopes, host_of)
            known = await self._rechecks.checked(known) if self._rechecks.is_due(known) else known
            if known is None:
                raise OAuthError("invalid_grant", _NOT_GOOD)
        # 3. The next one is good from here on.
        verdict: Verdict = "invalid"

        def turned(current: Session) -> Session:
            nonlocal verdict
            verdict = refresh.judged(shown, current, leeway_s=app.leeway_s, now=now)
            return refresh.rotated(current, now=now) if verdict == "rotate" and host else current

        session = await self._sessions.update(shown.session_id, turned)
        if session is not None and verdict == "reused":
            await self._end_reused(session)
        if session is None or host is None or verdict not in {"rotate", "again"}:
            raise OAuthError("invalid_grant", _NOT_GOOD)
        self._sessions.touch(session, now)
        return self._issued(app, host.name.decode("ascii"), session, scopes or session.scopes, now)

    def _refreshed_for(
        self,
        shown: Refresh,
        session: Session,
        scopes: tuple[str, ...],
        host_of: Callable[[str], Host | None],
    ) -> Host:
        """The host that new tokens are for: that of the token shown. Raises OAuthError."""
        host = host_of(shown.host or session.host)
        if host is None or realm_of(host) != session.host:
            raise OAuthError("invalid_grant", _NOT_GOOD)
        if not set(scopes) <= set(session.scopes):
            raise OAuthError("invalid_scope", "no more than was given at first")
        return host

    async def narrowed(
        self,
        app: App,
        text: str,
        *,
        scopes: tuple[str, ...],
        host_for: Callable[[str], Host | None],
        now: float,
    ) -> Issued:
        """An access token of the same session for less, for the access token shown; it is over no later than that.

        Its own, an app may exchange; one of another app's only an app that proves who it is, for one of whose hosts
        that token is. `scopes`: what is asked for; empty: all that both may have. `host_for`: finds the host the new
        one is to be for, given that of the old. Raises OAuthError `invalid_request` (the token shown won't do),
        `invalid_target`, `invalid_scope`. Spec: RFC 8693 section 2.

        Threat: a token that says more than the one it was made of, outlives it, or is had by who only heard of it.
        """
        # 1. The token, its session and its app.
        shown = access.read(self._ring, text.encode("utf-8"), now)
        session = await self.session_of(text, now)
        if isinstance(shown, str) or session is None or (holder := self.apps.by_id.get(shown.app)) is None:
            raise OAuthError("invalid_request", "the subject_token is not good, or no longer")
        # 2. Whether this app may have it in hand.
        if holder.id != app.id and (app.is_public or shown.host not in app.hosts):
            raise OAuthError("invalid_request", "the subject_token is not this app's")
        # 3. For where: a host of the app's at which the session is good.
        host = host_for(shown.host)
        if host is None or realm_of(host) != session.host:
            raise OAuthError("invalid_target", "this app has no tokens of that session for that")
        # 4. For what.
        known = [one for one in shown.scopes if one in holder.scopes and one in app.scopes]
        if not set(scopes) <= set(known):
            raise OAuthError("invalid_scope", "no more than the subject_token has, and the app may have")
        name, kept = host.name.decode("ascii"), scopes or tuple(known)
        return self._access(app, name, session, kept, now, until=shown.expires_at, exchanged=True)

    async def for_session(
        self,
        app: App,
        session: Session,
        host: Host,
        *,
        scopes: tuple[str, ...],
        bound: tuple[str, ...] | None,
        now: float,
        until: float,
    ) -> Issued:
        """An access token of a person's session, for who was told of it by that session's assertion.

        `scopes`: what is asked for; empty: all that may be. `bound`: what the session came with; None: it came by its
        cookie. `until`: when the assertion is over. Raises OAuthError `invalid_target`, `invalid_scope`.

        Threat: an assertion as the way to more than who asked could do, or to more than the app may.
        """
        if realm_of(host) != session.host:
            raise OAuthError("invalid_target", "this app has no tokens of that session for that")
        known = [one for one in app.scopes if bound is None or one in bound]
        if session.app:
            known = [one for one in known if one in session.scopes]
        if not set(scopes) <= set(known):
            raise OAuthError("invalid_scope", "no more than who asked has, and the app may have")
        name = host.name.decode("ascii")
        kept = scopes or tuple(known)
        return self._access(app, name, session, kept, now, until=until, exchanged=True)

    async def revoke(self, app: App, text: str, now: float) -> None:
        """End the session that a token is of, where it is this app's; nothing for what is no token (RFC 7009).

        A refresh token that is past will do: it is what an app has whose last answer got lost.
        """
        session = await self.session_of(text, now, is_past_good=True)
        if session is not None and session.app == app.id:
            with because("revoked_by_app"):
                await self._sessions.end(session.id)

    async def session_of(self, text: str, now: float, *, is_past_good: bool = False) -> Session | None:
        """The living session that an access or refresh token of ours is of; None for any other text.

        `is_past_good`: a refresh token that was used before will do.
        """
        shown = refresh.read(self._ring, text)
        if shown is not None:
            session = await self._sessions.by_id(shown.session_id)
            if session is None or session.app != shown.app:
                return None
            return session if is_past_good or session.rotation == shown.number else None
        found = access.read(self._ring, text.encode("utf-8"), now)
        if isinstance(found, str) or not found.session_id:
            return None
        session = await self._sessions.by_id(found.session_id)
        return session if session is not None and session.app == found.owner else None

    async def introspected(self, app: App, text: str, now: float) -> dict[str, Any]:
        """What this app is told of a token: of its own, and of those for one of its hosts (RFC 7662 section 2.2).

        What counts is the host that the token is for, which may be one of many where its session is good.
        """
        session = await self.session_of(text, now)
        if session is None or (session.app != app.id and self._host_of(text, session, now) not in app.hosts):
            return {"active": False}
        return self.described(text, session, now)

    def _host_of(self, text: str, session: Session, now: float) -> str:
        """Name of the host that a token of this session is for; empty for what is none."""
        again = refresh.read(self._ring, text)
        if again is not None:
            return again.host or session.host
        found = access.read(self._ring, text.encode("utf-8"), now)
        return "" if isinstance(found, str) else found.host

    def described(self, text: str, session: Session, now: float) -> dict[str, Any]:
        """What introspection says of a token (RFC 7662 section 2.2) whose session lives."""
        found = access.read(self._ring, text.encode("utf-8"), now)
        told: dict[str, Any] = {
            "active": True,
            "client_id": session.app,
            "sub": session.user_id,
            "scope": " ".join(session.scopes),
            "iat": int(session.created_at),
            "exp": int(min(session.expires_at, session.seen_at + session.idle_s)),
            "token_type": "refresh_token",
        }
        if not isinstance(found, str):
            told |= {
                "client_id": found.app,
                "aud": found.host,
                "scope": " ".join(found.scopes),
                "iat": int(found.issued_at),
                "exp": int(found.expires_at),
                "token_type": "Bearer",
            }
        return told

    def _issued(self, app: App, host: str, session: Session, scopes: tuple[str, ...], now: float) -> Issued:
        issued = self._access(app, host, session, scopes, now, until=session.expires_at)
        if "refresh" not in app.grants:
            return issued
        number = Refresh(session_id=session.id, app=app.id, number=session.rotation, host=host)
        again = Secret(refresh.seal(self._ring, number, nonce=self._random(NONCE_BYTES)))
        return replace(issued, refresh_token=again)

    def _access(
        self,
        app: App,
        host: str,
        session: Session,
        scopes: tuple[str, ...],
        now: float,
        *,
        until: float,
        exchanged: bool = False,
    ) -> Issued:
        expires_at = min(now + app.access_s, session.expires_at, until)
        sealed = access.seal(
            self._ring,
            Access(
                host=host,
                app=app.id,
                session_id=session.id,
                session_app="" if session.app == app.id else session.app,
                of_browser=not session.app,
                scopes=scopes,
                issued_at=now,
                expires_at=expires_at,
                exchanged=exchanged,
            ),
            nonce=self._random(NONCE_BYTES),
        )
        return Issued(
            access_token=Secret(sealed), expires_in_s=expires_at - now, scopes=scopes, session=session
        )

    async def _end_reused(self, session: Session) -> None:
        with because("refresh_token_reused"):
            await self._sessions.end(session.id)
        await self._events.tell(
            Event(
                id="",
                at=0.0,
                action=names.REFRESH_TOKEN_REUSED,
                outcome=names.REFUSED,
                user_id=session.user_id,
                session_id=session.id,
                host=session.host,
                detail={"app": session.app},
            )
        )
