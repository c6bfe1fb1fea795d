"""Signing in by the form on the sign-in page, for people of a password file."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from vestibule.core import flow as flows
from vestibule.core.credential import HTPASSWD, PasswordFile
from vestibule.core.route import Host
from vestibule.core.seal import KeyRing
from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.providers.base import SignedIn
from vestibule.service.basic import Passwords
from vestibule.service.handoff import leads_away
from vestibule.service.outcome import Finished
from vestibule.service.settling import Settling
from vestibule.service.visit import Visit

FORM: Final = HTPASSWD
"""Kind of accounts that come by the form."""


class PasswordForm:
    """Signs in who fills it in."""

    def __init__(
        self,
        passwords: Passwords,
        settling: Settling,
        keys: KeyRing,
        *,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._passwords = passwords
        self._settling = settling
        self._keys = keys
        self._random = random

    def file(self, visit: Visit, within: Host | None = None) -> PasswordFile | None:
        """The file whose people sign in here by the form; None where there is no form.

        `within`: only where that host of the same domain knows them, too.
        """
        file = visit.host.accepts.passwords
        if file is None or not file.has_form or leads_away(visit, file.name):
            return None
        return file if within is None or file.name in within.sign_in else None

    async def sign_in(
        self, visit: Visit, user: str, password: Secret, *, rd: str, remembers: bool = False
    ) -> Finished:
        """Who filled it in is signed in; `rd` is a checked return address, `remembers`: they want to be kept so.

        Raises CredentialRefused, the same for unknown people; TooManyTries; ClientError `no_choices` (404) where there
        is no form, and what `People.admit` raises (403).
        """
        file = self.file(visit)
        if file is None:
            raise ClientError("this site has no such sign-in", code="no_choices", status=404)
        identity = await self._passwords.check(file, user, password, visit.address)
        flow = flows.begun(
            self._keys,
            random=self._random(flows.ID_BYTES),
            client=file.name,
            host=visit.host.name.decode("ascii"),
            rd=rd or "/",
            now=visit.now,
            remembers=remembers,
        )
        return await self._settling.finish(visit, flow, SignedIn(identity=identity), FORM)
