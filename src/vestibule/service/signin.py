"""Signing in and out, from the click to the cookie: what the pages of the control plane call."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import Final
from urllib.parse import quote, urlencode

from vestibule.core import flow as flows
from vestibule.core import signin as rules
from vestibule.core.flow import Flow
from vestibule.core.limit import Limit
from vestibule.core.lockout import network_of
from vestibule.core.registration import Filled
from vestibule.core.route import ACCOUNT_PATH, SIGN_IN_PATH, SIGNED_OUT_PATH, Host, RouteTable
from vestibule.core.seal import KeyRing
from vestibule.core.session import owner_of
from vestibule.errors import ClientError, FlowError, ProviderInvalid
from vestibule.model import Session, Tokens
from vestibule.protocol.url import safe_return
from vestibule.providers import kit
from vestibule.providers.base import Answer, Form, Provider, RedirectLogin, SpeaksSaml, Start, WithinDomains
from vestibule.service import freshness, linking
from vestibule.service.arrival import WANTED, Arrivals
from vestibule.service.basic import Passwords
from vestibule.service.confined import meant, realm_of
from vestibule.service.cookies import Cookies, without_flow, without_session
from vestibule.service.grants import Grants
from vestibule.service.handoff import FLOW_TEXTS, Handoffs, leads_away, suffices
from vestibule.service.hints import passed_on, wants_to_be_kept
from vestibule.service.leaving import Leaving, Telling, heard
from vestibule.service.linking import Links
from vestibule.service.locker import Locker
from vestibule.service.logout import Logouts
from vestibule.service.outcome import Begun, Choice, Failed, Finished, SignedOut
from vestibule.service.password_form import PasswordForm
from vestibule.service.people import People
from vestibule.service.posted import ANSWER_MAX_CHARS, ASSERTION_MAX_CHARS, Posted
from vestibule.service.recheck import Rechecks
from vestibule.service.registering import Registrations
from vestibule.service.sessions import Sessions
from vestibule.service.settling import Settling
from vestibule.service.visit import Visit
from vestibule.store import base

STARTS_MAX: Final = 20
"""Sign-ins by a web address of the person's own that one client address (IPv6: one /64) may begin in a window."""
STARTS_WINDOW_S: Final = 60.0
ANSWERED: Final = "answer"
"""Kind of the marks of answers that are good once (`SignedIn.mark`)."""


class SignIn:
    """Everything the paths `/@ID/…`, `/@/signin` and `/@/signout` do. `client` is always the ID in the path.

    Every method may raise ClientError (code `client_unknown`, 404) and StoreError.
    """

    def __init__(
        self,
        *,
        sessions: Sessions,
        grants: Grants,
        rechecks: Rechecks,
        people: People,
        marks: base.Marks,
        parking: base.Parking,
        keys: KeyRing,
        driver: kit.Driver,
        passwords: Passwords,
        providers: Mapping[str, Provider],
        hosts: Container[str] = frozenset(),
        table: RouteTable | None = None,
        flow_life_s: float = flows.LIFE_S,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._sessions = sessions
        self._grants = grants
        self._rechecks = rechecks
        self._marks = marks
        self._keys = keys
        self._driver = driver
        self._random = random
        self._leaving = Leaving(grants, driver)
        self.logouts = Logouts(sessions, self._leaving, parking, people, driver)
        self._arrivals = Arrivals(
            sessions,
            grants,
            people,
            memory_s=flow_life_s,
            is_over=self.logouts.is_over,
            before_end=partial(self._give_up, for_good=False),
        )
        self._life_s = flow_life_s
        self._starts = Limit(STARTS_MAX, STARTS_WINDOW_S)
        self._cookies = Cookies(keys, flow_life_s)
        locker = Locker(parking, keys, random=random)
        self._posted = Posted(locker, keys, flow_life_s)
        self.registrations = Registrations(
            locker, self._arrivals, self._leaving, check_at=rechecks.next_at, clients=self._believed
        )
        self._settling = Settling(
            self._arrivals,
            self.registrations,
            self._cookies,
            check_at=rechecks.next_at,
            clients=self._believed,
            return_to=self.return_to,
        )
        self.form = PasswordForm(passwords, self._settling, keys, random=random)
        self.links = Links(locker, people)
        self.handoffs = Handoffs(
            locker,
            sessions,
            self._cookies,
            keys,
            return_to=self.return_to,
            life_s=flow_life_s,
            random=random,
        )
        people.before_end(self._give_up)
        self.use(providers, hosts, table)

    def use(
        self, providers: Mapping[str, Provider], hosts: Container[str], table: RouteTable | None = None
    ) -> None:
        """Take providers by full name, and the hosts a return address may name, from a new configuration.

        `table`: the hosts that hand people on to each other; None: as they were.
        """
        if table is not None:
            self.handoffs.use(table)
        self._kinds = {name: provider.kind for name, provider in providers.items()}
        self._titles = {name: provider.title for name, provider in providers.items()}
        self._domains = {
            name: p.email_domains for name, p in providers.items() if isinstance(p, WithinDomains)
        }
        self._logins = {name: p for name, p in providers.items() if isinstance(p, RedirectLogin)}
        self.realms = frozenset(name for name, p in self._logins.items() if realm_of(p) is not None)
        self._leaving.use(providers)
        self.logouts.use(providers)
        self._hosts = hosts

    def chooser(
        self,
        visit: Visit,
        *,
        rd: str = "",
        hints: Mapping[str, str] | None = None,
        within: Host | None = None,
    ) -> tuple[Choice, ...]:
        """The host's providers in their order; one choice: go straight to its url.

        A host that signs nobody in, only takes credentials (IO's inline blocks), offers its clients.
        The hint `provider` (an ID or full name) leaves that one only, where the host has it. Those of an organisation
        are offered where it is meant alone (`service.confined.meant`).
        `within`: only what that host of the same domain has, too.
        """
        host = within or visit.host
        named = (hints or {}).get("provider", "")
        offered = host.sign_in or tuple(host.clients.values())
        if within is not None and host.clients.get(named, offered[0]) not in offered:
            offered = (host.clients[named],)
        ids = {full: client for client, full in visit.host.clients.items()}
        names = [name for name in offered if name in self._logins and name in ids]
        chosen = [name for name in names if named in (name, ids[name])]
        chosen = chosen or meant({name: realm_of(self._logins[name]) for name in names}, hints or {})
        passed = passed_on(hints)
        rd = self.return_to(visit, rd)
        return tuple(
            Choice(ids[name], self._titles[name], _signin_path(ids[name], rd, passed), self._kinds[name])
            for name in chosen
        )

    async def begin(
        self, visit: Visit, client: str, *, rd: str = "", hints: Mapping[str, str] | None = None
    ) -> Begun:
        """Start a flow, here or at the auth host. `rd` may be anything a client sent: it is checked here.

        Raises ProviderError.
        """
        rd = self.return_to(visit, rd) or "/"
        if leads_away(visit, self._client(visit, client)):
            return self.lead(visit, rd=rd, hints={**self.wanting(visit, rd, hints or {}), "provider": client})
        purpose = "" if self._is_known(visit, rd) else WANTED
        asked = self.wanting(visit, rd, hints or {})
        if purpose != WANTED and visit.session is not None and visit.session.user_id:
            host = self.handoffs.destination(visit, rd)
            if not freshness.is_fresh(visit.session, host, asked, visit.now):
                asked.setdefault("prompt", "login")
        return await self._begin(visit, client, rd=rd, hints=asked, purpose=purpose)

    def wanting(self, visit: Visit, rd: str, hints: Mapping[str, str]) -> dict[str, str]:
        """The hints with how long ago somebody may have signed in for `rd`, a checked address."""
        return freshness.wanting(self.handoffs.destination(visit, rd), rd, hints)

    def is_fresh(self, visit: Visit, host: Host, hints: Mapping[str, str]) -> bool:
        """True where who is here signed in within what the hints ask, by what counts on that host."""
        return freshness.is_fresh(visit.session, host, hints, visit.now)

    def lead(self, visit: Visit, *, rd: str = "", hints: Mapping[str, str] | None = None) -> Begun:
        """Send somebody to this host's auth host."""
        passed = passed_on(hints)
        provider = (hints or {}).get("provider", "")
        if provider in visit.host.clients:
            passed["provider"] = provider
        return self.handoffs.lead(visit, rd=self.return_to(visit, rd) or "/", hints=passed)

    def _is_known(self, visit: Visit, rd: str) -> bool:
        """False where somebody is signed in who is nobody on the host that this sign-in leads to."""
        session, host = visit.session, self.handoffs.destination(visit, rd)
        is_person = session is not None and bool(session.user_id)
        return not is_person or not host.sign_in or suffices(session, host)

    async def begin_link(self, visit: Visit, client: str, *, hints: Mapping[str, str] | None = None) -> Begun:
        """Start a flow that adds an account to the person of this session, which has been checked to be fresh."""
        session = visit.session
        if session is None or not session.user_id or self._client(visit, client) not in visit.host.sign_in:
            raise ClientError("There is no such sign-in here.", code="client_unknown", status=404)
        return await self._begin(
            visit,
            client,
            rd=ACCOUNT_PATH,
            hints=hints or {},
            purpose=linking.PURPOSE,
            bound=linking.bond(session),
        )

    async def _begin(
        self,
        visit: Visit,
        client: str,
        *,
        rd: str,
        hints: Mapping[str, str],
        purpose: str = "",
        bound: str = "",
    ) -> Begun:
        name, provider = self._login(visit, client)
        self._settling.begin()
        if provider.keeps and hints.get(provider.keeps):
            self._count_start(network_of(visit.address), visit.now)
        usual_s = freshness.ANY_AGE_S if visit.host.asks_when else None
        asked_s = freshness.asked_s(hints)
        max_age_s = int(asked_s) if asked_s < math.inf else usual_s
        flow = flows.begun(
            self._keys,
            random=self._random(flows.ID_BYTES),
            client=name,
            host=_host(visit),
            rd=rd,
            now=visit.now,
            purpose=purpose,
            kept=hints.get(provider.keeps, "") if provider.keeps else "",
            bound=bound,
            remembers=wants_to_be_kept(hints),
            max_age_s=max_age_s,
        )
        start = Start(
            redirect_uri=flows.redirect_uri(visit.site.base_url, client, provider.redirect_url),
            state=flows.state_of(self._keys, flow),
            nonce=flows.nonce_of(self._keys, flow),
            verifier=flows.verifier_of(self._keys, flow),
            hints=passed_on(hints),
            max_age_s=max_age_s,
            now=visit.now,
        )
        away = await self._driver.run(provider.start(start), trusted=provider.is_trusted, about=provider.name)
        set_cookies = self._cookies.of_flow(visit, flow)[1]
        return Begun(away.action, set_cookies, away) if isinstance(away, Form) else Begun(away, set_cookies)

    async def park_answer(self, visit: Visit, client: str, params: Mapping[str, str]) -> str:
        """Where to go on with an answer that came by form: a GET of the callback, which takes it once, soon.

        Nothing else comes of it: the cookie that binds the flow to its browser isn't sent with another site's POST.
        Raises FlowError, and as `Posted.park`.
        """
        name, provider = self._login(visit, client)
        limit_chars = ASSERTION_MAX_CHARS if isinstance(provider, SpeaksSaml) else ANSWER_MAX_CHARS
        return await self._posted.park(visit, client, params, name=name, limit_chars=limit_chars)

    def saml(self, visit: Visit, client: str) -> SpeaksSaml:
        """The client, where it speaks SAML. Raises ClientError (`not_found`, 404) where it doesn't."""
        provider = self._login(visit, client)[1]
        if isinstance(provider, SpeaksSaml):
            return provider
        raise ClientError("this sign-in is none by SAML", code="not_found", status=404)

    def unsolicited(self, visit: Visit, client: str, relay_state: str) -> str:
        """Where an answer that nobody asked for leads: to a sign-in that begins here. Raises ProviderInvalid.

        Nothing of the answer is read. Threat: login CSRF, and an assertion that was stolen: without a request of this
        very browser no answer signs anybody in, and a provider that knows the person answers one at once.
        """
        _, provider = self._login(visit, client)
        if not isinstance(provider, SpeaksSaml) or relay_state not in provider.relay_states:
            raise ProviderInvalid(
                "the provider sent somebody here unasked", detail=relay_state[:200], code="saml_unsolicited"
            )
        return _signin_path(client, self.return_to(visit, relay_state), {})

    async def finish(self, visit: Visit, client: str, params: Mapping[str, str]) -> Finished:
        """End a flow; `params` are the callback's, one sent twice left out. Raises FlowError, ProviderError.

        Refusals (`other_person`, what `People.admit` and `Links.arrived` raise) are ClientErrors with status 403. On
        any error the page gets its way back from `failed()`. A flow that this visitor has finished before leads
        where it led then; a newcomer may be led to the form, and who links an account to the confirmation.
        """
        name, provider = self._login(visit, client)
        state = flows.parse_state(self._keys, params.get("state", ""), client=name, host=_host(visit))
        flow = self._cookies.flow_of(visit, state)
        done = self._arrivals.done(state.flow_id) if state else None
        if done is not None and visit.session is not None and visit.session.id == done.session_id:
            return Finished(self.return_to(visit, done.rd) or "/", without_flow(visit, flow))
        fault = flows.fault_of(state, flow, is_finished=done is not None, now=visit.now, life_s=self._life_s)
        if fault:
            raise FlowError(FLOW_TEXTS[fault], code=fault)
        assert flow is not None, "fault_of says so"
        params = await self._posted.take(flow, params, visit.now)
        if not await self._consume(flow, visit.now):
            if visit.session is None:
                raise FlowError(FLOW_TEXTS["flow_replayed"], code="flow_replayed")
            return Finished(self.return_to(visit, flow.rd) or "/", without_flow(visit, flow))
        self._arrivals.spend(flow, visit.now)
        asking = provider.finish(self._answer(visit, client, flow, params))
        result = await self._driver.run(asking, trusted=provider.is_trusted, about=provider.name)
        if result.mark and not await self._marks.consume(ANSWERED, result.mark, visit.now, result.until):
            raise ProviderInvalid("the provider's answer came before", code="answer_replayed")
        if flow.purpose == linking.PURPOSE:
            location = await self.links.arrived(visit, flow, result.identity, provider.kind)
            return Finished(location, without_flow(visit, flow))
        return await self._settling.finish(visit, flow, result, provider.kind)

    def client_of(self, visit: Visit, clients: tuple[str, ...], state: str) -> str:
        """Which of these clients (IDs), who share a redirect URL, the state was issued for; the first if for none."""
        for client in clients:
            name = visit.host.clients.get(client, "")
            if flows.parse_state(self._keys, state, client=name, host=_host(visit)) is not None:
                return client
        return clients[0]

    def _believed(self, host: Host) -> dict[str, tuple[str, ...]]:
        """The domains within which the host's own providers are believed about addresses, by client."""
        return {name: self._domains.get(name, ()) for name in host.sign_in}

    def failed(self, visit: Visit, client: str, params: Mapping[str, str]) -> Failed:
        """The way back after `finish` raised; raises nothing itself."""
        name = visit.host.clients.get(client)
        if name is None:
            return Failed(SIGN_IN_PATH, ())
        state = flows.parse_state(self._keys, params.get("state", ""), client=name, host=_host(visit))
        flow = self._cookies.flow_of(visit, state)
        rd = self.return_to(visit, flow.rd) if flow else ""
        if flow is not None and flow.purpose == linking.PURPOSE:
            return Failed(ACCOUNT_PATH, without_flow(visit, flow), rd)
        return Failed(_signin_path(client, rd, {}), without_flow(visit, flow), rd)

    async def register(self, visit: Visit, form: Filled) -> Finished:
        """Make the newcomer's account as they filled it in, and the session. Raises as `Registrations.complete`."""
        session, handle, newcomer = await self.registrations.complete(visit, form)
        return Finished(
            self.return_to(visit, newcomer.flow.rd) or "/",
            (self._cookies.of_session(visit, session, handle), *self.registrations.forgotten(visit)),
            session,
        )

    async def cancel_registration(self, visit: Visit) -> tuple[str, ...]:
        """Forget the newcomer of this browser; the Set-Cookie values that go with it."""
        await self.registrations.cancel(visit)
        return self.registrations.forgotten(visit)

    def title_of(self, name: str) -> str:
        """What a client is called on pages, by full name; empty for one there is no longer."""
        return self._titles.get(name, "")

    async def sign_out(self, visit: Visit, client: str | None = None, *, rd: str = "") -> SignedOut:
        """Drop one client's credentials, or (None) end the session everywhere.

        The caller has checked that the request is the person's own (Sec-Fetch-Site, Origin).
        """
        back = self.return_to(visit, rd)
        session = visit.session
        if client is not None and (name := self._client(visit, client)) and session is not None:
            if await self._sign_out_of(session, name, visit.now):
                return SignedOut(back or "/", ())
        elif client is None and session is not None:
            page = await self._end(visit, session)
            if isinstance(page, Form):
                return SignedOut(page.action, without_session(visit.site), page)
            back = page or back
        return SignedOut(back or SIGNED_OUT_PATH, without_session(visit.site))

    async def _end(self, visit: Visit, session: Session) -> str | Form | None:
        """End the session with all that was handed on with it; the provider's own sign-out page."""
        root = session.parent_id or session.id
        family = [
            one for one in await self._sessions.of_user(session.user_id) if root in (one.id, one.parent_id)
        ]
        tokens: dict[str, Tokens | None] = {}
        for one in {one.id: one for one in (*family, session)}.values():
            tokens |= await self._leaving.tokens_of(one)
        await self._arrivals.end(root)
        return_to = f"{visit.site.auth_url or visit.site.base_url + visit.root}{SIGNED_OUT_PATH}"
        begun = self._leaving.revoke(tokens, visit.now)
        page = await self._leaving.sign_out_url(session, tokens, return_to, visit.now)
        if page is not None:
            await self.logouts.along(session, visit.now)
        await heard(begun)
        return page

    def return_to(self, visit: Visit, rd: str) -> str:
        """The checked form of a return address that a client sent; empty where there is none or it leads away."""
        return safe_return(rd, base_url=visit.site.base_url, hosts=self._hosts) or ""

    async def close(self) -> None:
        """Wait for revocations under way; each has the fetcher's deadline."""
        await self._leaving.close()

    def _count_start(self, place: str, now: float) -> None:
        """Raise ClientError (429) for an address that has this gateway fetch too many pages of its choosing.

        Threat: requests to others in this gateway's name, by anybody.
        """
        if self._starts.wait_s(place, now):
            raise ClientError("Please wait a minute.", code="too_many_tries", status=429)
        self._starts.add(place, now)

    # Which client, where to

    def _client(self, visit: Visit, client: str) -> str:
        name = visit.host.clients.get(client)
        if name is None:
            raise ClientError("There is no such sign-in here.", code="client_unknown", status=404)
        return name

    def _login(self, visit: Visit, client: str) -> tuple[str, RedirectLogin]:
        name = self._client(visit, client)
        provider = self._logins.get(name)
        if provider is None:
            raise ClientError("There is no such sign-in here.", code="client_unknown", status=404)
        return name, provider

    async def _consume(self, flow: Flow, now: float) -> bool:
        until = flow.issued_at + 2 * self._life_s + 60.0
        return await self._marks.consume("flow", flow.id.encode(), now, until)

    def _answer(self, visit: Visit, client: str, flow: Flow, params: Mapping[str, str]) -> Answer:
        return Answer(
            params=params,
            redirect_uri=flows.redirect_uri(
                visit.site.base_url, client, self._logins[flow.client].redirect_url
            ),
            nonce=flows.nonce_of(self._keys, flow),
            verifier=flows.verifier_of(self._keys, flow),
            now=visit.now,
            kept=flow.kept,
            max_age_s=flow.max_age_s,
        )

    # Out of the session

    async def _sign_out_of(self, session: Session, name: str, now: float) -> bool:
        """Drop one client; False when that was the last of the session, which has ended.

        What was handed on has its parent's credentials dropped there, for all that share them.
        """
        holder = owner_of(session, name)
        tokens = {name: await self._grants.tokens_of(holder, name)}
        if holder == session.parent_id:
            session = await self._sessions.by_id(holder) or session
        is_left = await self._is_left(session, name)
        await (self._grants.drop(holder, name) if is_left else self._arrivals.end(session.id))
        await heard(self._leaving.revoke(tokens, now))
        return is_left

    async def _is_left(self, session: Session, name: str) -> bool:
        """Take the client out of the session; False where it was the last one."""
        if session.parent_id:
            return await self._sessions.update(session.id, lambda s: rules.without_own(s, name)) is not None
        if rules.signed_out_of(session, name) is None:
            return False
        left = await self._sessions.update(session.id, lambda s: rules.signed_out_of(s, name) or s)
        return left is not None and rules.signed_out_of(left, name) == left

    async def _give_up(self, session: Session, now: float, *, for_good: bool) -> Telling:
        """A session is about to end with its user: no token of it is to stay good. What has been begun."""
        return self._leaving.revoke(await self._leaving.tokens_of(session), now, for_good=for_good)


def _host(visit: Visit) -> str:
    return visit.host.name.decode("ascii")


def _signin_path(client: str, rd: str, hints: Mapping[str, str]) -> str:
    query = urlencode({**({} if rd in {"", "/"} else {"rd": rd}), **hints})
    return f"/@{quote(client, safe='')}/signin" + (f"?{query}" if query else "")
