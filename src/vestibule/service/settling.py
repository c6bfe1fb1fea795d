"""What a sign-in brought, settled: the session with its cookie, or the registration form for a newcomer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vestibule.core.flow import Flow
from vestibule.core.route import REGISTER_PATH, Host
from vestibule.model import Device
from vestibule.providers.base import SignedIn
from vestibule.service.arrival import Arrival, Arrivals
from vestibule.service.cookies import Cookies, without_flow
from vestibule.service.outcome import Finished
from vestibule.service.registering import Registrations
from vestibule.service.visit import Visit


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

    def begin(self) -> None:
        """Nothing, where one more sign-in may begin. Raises Crowded."""
        self._arrivals.crowd.begin()

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
            span_by=visit.host.span_by,
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
