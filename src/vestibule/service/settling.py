"""What a sign-in brought, settled: the session with its cookie, or the registration form for a newcomer."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Final

from vestibule.core import flow as flows
from vestibule.core.credential import HTPASSWD, PasswordFile
from vestibule.core.flow import Flow
from vestibule.core.route import REGISTER_PATH, Host
from vestibule.core.seal import KeyRing
from vestibule.errors import ClientError
from vestibule.model import Device, Secret
from vestibule.providers.base import SignedIn
from vestibule.service.arrival import Arrival, Arrivals
from vestibule.service.basic import Passwords
from vestibule.service.cookies import Cookies, without_flow
from vestibule.service.handoff import leads_away
from vestibule.service.outcome import Finished
from vestibule.service.registering import Registrations
from vestibule.service.visit import Visit

FORM: Final = HTPASSWD
"""Kind of accounts that come by the form."""


class Settling:
    """Ends sign-ins, however they came."""

    def __init__(
        self,
        arrivals: Arrivals,
        registrations: Registrations,
        cookies: Cookies,
        *,
        check_at: Callable[[str, Host, float], float],
        clients: Callable[[Host], Mapping[str, tuple[str, ...]]],
        return_to: Callable[[Visit, str], str],
    ) -> None:
        """`check_at`: from when on a session by this client on this host must be checked (`service.recheck`).

        `clients`: a host's own, with the domains within which they are believed about addresses. `return_to`: the
        checked form of a return address.
        """
        self._arrivals = arrivals
        self._registrations = registrations
        self._cookies = cookies
        self._check_at = check_at
        self._clients = clients
        self._return_to = return_to

    async def finish(self, visit: Visit, flow: Flow, result: SignedIn, kind: str) -> Finished:
        """Where the browser goes on, with its session. Raises as `Arrivals.settle` does."""
        arrival = Arrival(
            client=flow.client,
            signs_in=flow.client in visit.host.sign_in,
            result=result,
            flow=flow,
            siblings=self._cookies.siblings(visit, flow),
            session_id=visit.session.id if visit.session else "",
            device=Device(user_agent=visit.user_agent, address=visit.address),
            now=visit.now,
            check_at=self._check_at(flow.client, visit.host, visit.now),
            kind=kind,
            clients=self._clients(visit.host),
            realm=visit.host.realm,
        )
        settled = await self._arrivals.settle(arrival)
        if settled is None:
            set_cookies = await self._registrations.wait(visit, arrival)
            return Finished(REGISTER_PATH, (*set_cookies, *without_flow(visit, flow)))
        session, handle = settled
        return Finished(
            self._return_to(visit, flow.rd) or "/",
            (self._cookies.of_session(visit, session, handle), *without_flow(visit, flow)),
            session,
        )


class PasswordForm:
    """Signs in people of a password file, who fill in the form on the sign-in page."""

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

    async def sign_in(self, visit: Visit, user: str, password: Secret, *, rd: str) -> Finished:
        """Who filled it in is signed in; `rd` is a checked return address.

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
        )
        return await self._settling.finish(visit, flow, SignedIn(identity=identity), FORM)
