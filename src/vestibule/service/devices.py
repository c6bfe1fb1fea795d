"""By which devices people sign in: remembered by a cookie of their own, so that a sign-in by another one is told.

The cookie is the host's own, says nothing but which browser this is, and outlives the session. What is kept of it is
a digest, another one for every person. Nothing here lets anybody in or keeps them out: a sign-in goes its way whatever
becomes of it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

from vestibule.core import event as names
from vestibule.core.device import (
    ID_BYTES,
    KnownDevice,
    Novelty,
    digest_of,
    family_of,
    network_of,
    novelty,
    remembered,
)
from vestibule.core.event import Event
from vestibule.core.route import Site
from vestibule.core.seal import KeyRing
from vestibule.errors import StoreError
from vestibule.model import Device, Session
from vestibule.observe.log import Log
from vestibule.protocol import base64url, cookie
from vestibule.service.events import Events
from vestibule.service.visit import Visit
from vestibule.store import base_events as base

COOKIE_S: Final = 400 * 86400
"""As long as browsers keep one (RFC 6265bis section 5.5)."""
FORGET_S: Final = 366 * 86400.0
DEVICES_MAX: Final = 50
"""How many are remembered of a person."""
WAIT_S: Final = 1.0
_PURPOSE: Final = "device"
_FORM_PURPOSE: Final = "device form"
_KEY_BYTES: Final = 16
_MAC_CHARS: Final = 43


class Devices:
    """Remembers them, and tells of new ones."""

    def __init__(
        self,
        store: base.Devices,
        events: Events,
        keys: KeyRing,
        log: Log,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._store = store
        self.events = events
        self._keys = keys
        self._log = log.of("sessions")
        self._random = random

    async def arrived(self, visit: Visit, session: Session) -> tuple[str, ...]:
        """Note that somebody has signed in from here; the Set-Cookie values that go along. Raises nothing."""
        if not session.user_id:
            return ()
        device_id = self._id_of(visit) or base64url.encode(self._random(ID_BYTES))
        try:
            async with asyncio.timeout(WAIT_S):
                await self._note(visit, session, device_id)
        except (StoreError, TimeoutError) as error:
            detail = getattr(error, "detail", "") or "it took too long"
            self._log.warning("device_not_noted", id=visit.request_id, user=session.user_id, detail=detail)
        return (self._cookie(visit.site, device_id),)

    async def of_user(self, user_id: str) -> tuple[KnownDevice, ...]:
        """Those by which a person has signed in. Raises StoreError."""
        return await self._store.of_user(user_id)

    def key_of(self, session: Session) -> str:
        """What names a person's session in a form of theirs: no id of it, and none of use to anybody else."""
        named = f"{session.user_id}\0{session.id}".encode()
        return base64url.encode(self._keys.mac(_FORM_PURPOSE, named)[:_KEY_BYTES])

    async def sweep(self, now: float, limit: int) -> int:
        """Forget those that nobody has signed in by for a year; how many went."""
        return await self._store.sweep(now - FORGET_S, limit)

    async def _note(self, visit: Visit, session: Session, device_id: str) -> None:
        device = Device(user_agent=visit.user_agent, address=visit.address)
        digest = digest_of(device_id, session.user_id)
        known = await self._store.of_user(session.user_id)
        new = novelty(known, digest, device)
        before: KnownDevice | None = next((one for one in known if one.digest == digest), None)
        after = remembered(before, user_id=session.user_id, digest=digest, device=device, now=visit.now)
        try:
            await self._store.keep(after, at_most=DEVICES_MAX)
        finally:
            # Threat: a store that is slow just then has kept it, and who waited in vain tells of it never.
            await self._tell(visit, session, new)

    async def _tell(self, visit: Visit, session: Session, new: Novelty) -> None:
        action = {Novelty.DEVICE: names.SESSION_NEW_DEVICE, Novelty.PLACE: names.SESSION_NEW_PLACE}.get(new)
        if action is not None:
            await self.events.tell(
                Event(
                    id="",
                    at=visit.now,
                    action=action,
                    user_id=session.user_id,
                    session_id=session.id,
                    host=session.host,
                    address=visit.address,
                    device=family_of(visit.user_agent).words,
                    detail={"network": network_of(visit.address)},
                )
            )

    def _id_of(self, visit: Visit) -> str:
        """The device's, where the browser sent one of ours; else empty.

        Threat: an id of somebody's own choosing, or one made for another site's cookie, by which two browsers
        would be taken for one.
        """
        value = visit.cookies.get(name_of(visit.site), "")
        device_id, _, mark = value.partition(".")
        mac = base64url.decode(mark) if len(mark) == _MAC_CHARS else None
        if mac is None or not self._keys.check_mac(_PURPOSE, _marked(visit.site, device_id), mac):
            return ""
        return device_id

    def _cookie(self, site: Site, device_id: str) -> str:
        mac = base64url.encode(self._keys.mac(_PURPOSE, _marked(site, device_id)))
        return cookie.build(name_of(site), f"{device_id}.{mac}", secure=site.secure, max_age_s=COOKIE_S)


def name_of(site: Site) -> str:
    """Of the cookie; begins as the session's does, so that no backend sees it (`protocol.cookie.is_ours`)."""
    return f"{site.prefix}-device"


def _marked(site: Site, device_id: str) -> bytes:
    return f"{site.base_url}\0{name_of(site)}\0{device_id}".encode()
