"""The cookies of sign-ins: the session's, and one for each flow under way."""

from __future__ import annotations

from vestibule.core import flow as flows
from vestibule.core import session_token
from vestibule.core.flow import Flow
from vestibule.core.route import Site
from vestibule.core.seal import KeyRing
from vestibule.model import Session
from vestibule.protocol import cookie
from vestibule.service.visit import Visit


class Cookies:
    """Writes them as Set-Cookie values, and reads flows out of them."""

    def __init__(self, keys: KeyRing, life_s: float) -> None:
        """`life_s`: of a flow."""
        self._keys = keys
        self._life_s = life_s

    def of_session(self, visit: Visit, session: Session, handle: str) -> str:
        """The session's, as long as the session may last; for a domain's one cookie, as the domain wants it.

        Where people are asked whether to keep them signed in, it goes with the browser of who didn't say so.
        """
        site, domain = visit.site, visit.host.domain
        if domain is not None and domain.is_token:
            handle = session_token.write(
                self._keys, handle, domain=domain.name, now=visit.now, expires_at=session.expires_at
            )
        is_kept = session.is_remembered or not visit.host.offers_to_keep
        left_s = max(0, int(session.expires_at - visit.now)) if is_kept else None
        return cookie.build(
            site.cookie, handle, secure=site.secure, max_age_s=left_s, domain=site.cookie_domain
        )

    def of_flow(self, visit: Visit, flow: Flow) -> tuple[str, tuple[str, ...]]:
        """The new flow's cookie, and all to set: that one, and deletions of what is expired or too much."""
        site = visit.site
        name = flows.cookie_name(site.prefix, flow.id)
        value = flows.cookie_value(self._keys, name, flow)
        known = flows.under_way(self._keys, site.prefix, visit.cookies, flow.host)
        alive = [other for other in known if flows.is_alive(other.issued_at, visit.now, self._life_s)]
        gone = flows.surplus(site.prefix, visit.cookies, alive, value)
        return value, (
            cookie.build(name, value, secure=site.secure, max_age_s=int(self._life_s)),
            *(cookie.clear(old, secure=site.secure) for old in gone),
        )

    def flow_of(self, visit: Visit, state: flows.State | None) -> Flow | None:
        """The flow of this state, where its cookie came along."""
        if state is None:
            return None
        name = flows.cookie_name(visit.site.prefix, state.flow_id)
        value = visit.cookies.get(name)
        return flows.parse_cookie(self._keys, name, value) if value else None

    def value_of(self, visit: Visit, flow: Flow) -> str:
        """The cookie by which the flow came, as it came; empty where it didn't."""
        return visit.cookies.get(flows.cookie_name(visit.site.prefix, flow.id), "")

    def siblings(self, visit: Visit, flow: Flow) -> frozenset[str]:
        """The other flows this very browser has under way: their signed cookies came along."""
        known = flows.under_way(self._keys, visit.site.prefix, visit.cookies, flow.host)
        return frozenset(other.id for other in known if other.id != flow.id)


def without_flow(visit: Visit, flow: Flow | None) -> tuple[str, ...]:
    """The deletion of the flow's."""
    if flow is None:
        return ()
    return (cookie.clear(flows.cookie_name(visit.site.prefix, flow.id), secure=visit.site.secure),)


def without_session(site: Site) -> tuple[str, ...]:
    """The deletion of the session's; where it is a domain's, of one that the host was given under its name, too.

    Threat: a cookie that a neighbour set, which would stand beside the next one of ours, so that none counts.
    """
    domains = dict.fromkeys((site.cookie_domain, ""))
    return tuple(cookie.clear(site.cookie, secure=site.secure, domain=domain) for domain in domains)
