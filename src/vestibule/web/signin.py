"""The sign-in page, and the start of a client's flow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace
from starlette.responses import Response

from vestibule.core.route import SIGN_IN_PATH, Host
from vestibule.errors import ClientError, CredentialRefused, FlowError, TooManyTries, VestibuleError
from vestibule.model import Secret, Session
from vestibule.protocol import cookie
from vestibule.service import outcome
from vestibule.service.handoff import leads_away, suffices
from vestibule.service.hints import REMEMBER, wants_to_be_kept
from vestibule.service.visit import Visit
from vestibule.web.answers import Desk, answer, failure, redirect, write_refusal
from vestibule.web.arriving import arrived, refused
from vestibule.web.asking import Ask
from vestibule.web.blocks import Choice, password_fields
from vestibule.web.form import answers_json, told
from vestibule.web.onward import away
from vestibule.web.page import Page, with_query

#: parameters of ours; every other one is a hint, of which a provider takes those it knows
_OWN = {"rd", "switch", "for", "state", "bind", "find", REMEMBER}
_LAST_S = 365 * 86400


#: what a provider that needs the person's web address says of it, and what the page that asks for it is told
ADDRESS_WRONG = {
    "address_needed": "",
    "address_invalid": "invalid",
    "address_unreachable": "unreachable",
    "address_unsupported": "unsupported",
}


async def sign_in(desk: Desk, ask: Ask) -> Response:
    """`/@/signin`: one button per provider; straight on where there is one, or where nobody need choose."""
    visit, hints = ask.visit, hints_of(ask)
    if "for" in ask.params:
        return await _sign_in_for_another(desk, ask, hints)
    # 1. Somebody is signed in and did not ask for another account: there is nothing to do here.
    rd = desk.signin.return_to(visit, ask.rd)
    host = desk.signin.handoffs.destination(visit, rd)
    hints = desk.signin.wanting(visit, rd or "/", hints)
    if "prompt" not in hints and is_signed_in(visit.session, host.sign_in):
        if desk.signin.is_fresh(visit, host, hints):
            return redirect(rd or "/")
        hints = _as_who_is_here(visit, host, hints)
    # 2. People of this host sign in at its auth host, but for those by a client of its own.
    within = None if host is visit.host else host
    choices = desk.signin.chooser(visit, rd=ask.rd, hints=hints, within=within)
    ways = [visit.host.clients[choice.client] for choice in choices] or visit.host.sign_in
    if ways and all(leads_away(visit, way) for way in ways):
        begun = desk.signin.lead(visit, rd=ask.rd, hints={**hints, **_kept(ask)})
        return redirect(begun.url, begun.set_cookies)
    return await _choose(desk, ask, choices, hints, within)


async def _sign_in_for_another(desk: Desk, ask: Ask, hints: Mapping[str, str]) -> Response:
    """For another host of the domain: a code for it as soon as somebody is signed in whom it knows."""
    visit = ask.visit
    try:
        asked = desk.signin.handoffs.asked(visit, ask.params)
    except FlowError as error:
        return failure(desk, ask, error, ask.scene(again=SIGN_IN_PATH))
    if asked.is_late:
        return redirect(asked.start_url)
    session = visit.session
    if session is not None and "prompt" not in hints and suffices(session, asked.host, asked.provider):
        if desk.signin.is_fresh(visit, asked.host, hints):
            return redirect(await desk.signin.handoffs.give(visit, asked, session))
        hints = _as_who_is_here(visit, asked.host, hints)
    choices = desk.signin.chooser(visit, rd=asked.again, hints=hints, within=asked.host)
    again = replace(ask, params={**ask.params, "rd": asked.again})
    return await _choose(desk, again, choices, hints, asked.host)


async def choose(desk: Desk, ask: Ask) -> Response:
    """The page of `/@/signin`, also where there is one provider alone, or somebody is signed in."""
    visit = ask.visit
    host = desk.signin.handoffs.destination(visit, desk.signin.return_to(visit, ask.rd))
    within = None if host is visit.host else host
    choices = desk.signin.chooser(visit, rd=ask.rd, hints=hints_of(ask), within=within)
    has_form = desk.signin.form.file(visit, within) is not None
    is_away = any(leads_away(visit, visit.host.clients[choice.client]) for choice in choices)
    if is_away or not (choices or has_form):
        return await sign_in(desk, ask)
    return answer(_page(desk, ask, choices, has_form=has_form))


async def by_password(desk: Desk, ask: Ask) -> Response:
    """`/@/signin`, filled in: signed in, or the same page again, in the same words for unknown people."""
    visit, sent = ask.visit, told(ask)
    rd = desk.signin.return_to(visit, sent.get("rd", ""))
    user, password = sent.get("user", ""), Secret(sent.get("password", ""))
    try:
        remembers = wants_to_be_kept(sent)
        finished = await desk.signin.form.sign_in(visit, user, password, rd=rd, remembers=remembers)
    except (CredentialRefused, TooManyTries) as error:
        await refused(desk, ask, error)
        if answers_json(ask):
            return failure(desk, replace(ask, wants_json=True), error)
        kept = {REMEMBER: sent[REMEMBER]} if remembers else {}
        return _form_again(desk, replace(ask, params={"rd": rd, **kept}), user, error)
    except VestibuleError as error:
        await refused(desk, ask, error)
        again = with_query(SIGN_IN_PATH, rd=rd)
        return failure(desk, ask, error, ask.scene(rd=rd, again=again, other_ways=has_other_ways(ask)))
    known: tuple[str, ...] = ()
    if finished.session is not None:
        known = await arrived(desk, ask, "signed_in", finished.session)
    return redirect(finished.location, (*finished.set_cookies, *known))


def _form_again(desk: Desk, ask: Ask, user: str, error: ClientError) -> Response:
    write_refusal(desk, ask, error)
    host = desk.signin.handoffs.destination(ask.visit, ask.rd)
    choices = desk.signin.chooser(ask.visit, rd=ask.rd, within=None if host is ask.visit.host else host)
    if isinstance(error, TooManyTries):
        page = _page(desk, ask, choices, user=user, fault="signin_form.too_many", status=error.status)
        return answer(page.with_headers(("retry-after", str(error.retry_after_s))))
    return answer(_page(desk, ask, choices, user=user, fault="signin_form.wrong", status=403))


async def _choose(
    desk: Desk,
    ask: Ask,
    choices: Sequence[outcome.Choice],
    hints: Mapping[str, str],
    within: Host | None = None,
) -> Response:
    has_form = desk.signin.form.file(ask.visit, within) is not None
    if has_form and "provider" not in ask.params:
        return answer(_page(desk, ask, choices))
    finds = _finds(desk, ask)
    if not choices and ask.visit.host.takes_more and not finds:
        raise ClientError("nobody has added a provider yet", code="no_sign_in_yet", status=503)
    if not choices and not finds:
        raise ClientError("this site has no sign-in", code="no_choices", status=404)
    # 3. One provider, or one named in the hints: straight on. Not where there are others, of organisations, that nobody
    # named; nor from the form, by which a browser goes to no other site.
    if len(choices) == 1 and "find" not in ask.params and not (finds and _is_open(desk, ask, choices[0])):
        only = choices[0]
        return await _begin(desk, ask, only.client, only.url, hints)
    # 4. The person chooses.
    return answer(_page(desk, ask, choices, has_form=has_form))


def _finds(desk: Desk, ask: Ask) -> bool:
    """Whether there are providers of organisations, which are found by a work address."""
    return not desk.signin.realms.isdisjoint(ask.visit.host.clients.values())


def _is_open(desk: Desk, ask: Ask, choice: outcome.Choice) -> bool:
    """Whether it is for everybody, and was not asked for."""
    return ask.visit.host.clients[choice.client] not in desk.signin.realms and "provider" not in ask.params


def _page(
    desk: Desk,
    ask: Ask,
    choices: Sequence[outcome.Choice],
    *,
    has_form: bool = True,
    user: str = "",
    fault: str = "",
    status: int = 200,
) -> Page:
    last = last_used(ask.visit)
    buttons = [
        Choice(title=c.title, href=c.url, client=c.client, kind=c.kind, is_last_used=c.client == last)
        for c in choices
    ]
    buttons.sort(key=lambda button: not button.is_last_used)
    rd = desk.signin.return_to(ask.visit, ask.rd)
    return desk.pages.signin(
        buttons,
        ask.scene(rd=rd),
        keep=_keep(ask),
        form=password_fields(user) if has_form else (),
        fault=fault,
        leads_to=desk.signin.handoffs.origin_of(ask.visit, rd) if has_form else "",
        address=ask.params.get("login_hint", "")[:320] if _finds(desk, ask) else None,
        status=status,
    )


async def client_sign_in(desk: Desk, ask: Ask) -> Response:
    """`/@CLIENT/signin`: off to the provider."""
    return await _begin(desk, ask, ask.client, with_query(ask.path, rd=ask.rd), hints_of(ask))


async def _begin(desk: Desk, ask: Ask, client: str, again: str, hints: Mapping[str, str]) -> Response:
    try:
        begun = await desk.signin.begin(ask.visit, client, rd=ask.rd, hints={**hints, **_kept(ask)})
    except VestibuleError as error:
        if error.code in ADDRESS_WRONG:
            return answer(_address_page(desk, ask, again, error))
        rd = desk.signin.return_to(ask.visit, ask.rd)
        return failure(desk, ask, error, ask.scene(rd=rd, again=again, other_ways=has_other_ways(ask)))
    return away(desk.pages, ask.scene(), begun)


def _address_page(desk: Desk, ask: Ask, action: str, error: VestibuleError) -> Page:
    """The page that asks for the person's web address, with what was wrong about the one that was sent."""
    wrong = ADDRESS_WRONG[error.code]
    if wrong:
        desk.log.info("refused", id=ask.visit.request_id, code=error.code, detail=error.detail)
    return desk.pages.ask_address(ask.scene(), action=action, value=ask.params.get("me", ""), wrong=wrong)


def hints_of(ask: Ask) -> dict[str, str]:
    """The parameters to pass on to the provider; `switch` is short for asking which account."""
    hints = {name: value for name, value in ask.params.items() if name not in _OWN and value}
    if "switch" in ask.params:
        hints.setdefault("prompt", "select_account")
    return hints


def _kept(ask: Ask) -> dict[str, str]:
    """The hint that the person wants to be kept signed in, where they said so."""
    return {REMEMBER: "1"} if wants_to_be_kept(ask.params) else {}


def _keep(ask: Ask) -> bool | None:
    """Whether the box that keeps people signed in is ticked; None: there is none."""
    return wants_to_be_kept(ask.params) if ask.visit.host.offers_to_keep else None


def _as_who_is_here(visit: Visit, host: Host, hints: Mapping[str, str]) -> dict[str, str]:
    """The hints with the one client that who is here came by: signing in again is for the same person."""
    known = [one.client for one in visit.session.identities] if visit.session is not None else []
    theirs = [name for name in known if name in host.sign_in]
    return {"provider": theirs[0], **hints} if len(theirs) == 1 else dict(hints)


def is_signed_in(session: Session | None, sign_in: tuple[str, ...]) -> bool:
    """True if the session holds a person by one of these clients, which is what a rule of the host looks at.

    Credentials alone, or an identity of a client the host no longer lists, would only come back here: a loop.
    """
    return session is not None and any(identity.client in sign_in for identity in session.identities)


def last_used(visit: Visit) -> str:
    """ID of the client this browser signed in with before, where the host still has it; else empty.

    Anybody can send such a cookie: it decides the order of the buttons, and nothing else.
    """
    client = visit.cookies.get(_last_name(visit), "")
    return client if client in visit.host.clients else ""


def remember(visit: Visit, client: str) -> str:
    """The Set-Cookie value by which the next sign-in page here has this client's button first."""
    return cookie.build(_last_name(visit), client, secure=visit.site.secure, max_age_s=_LAST_S)


def _last_name(visit: Visit) -> str:
    """Begins as the session's does, so that no backend sees it (`protocol.cookie.is_ours`)."""
    return f"{visit.site.prefix}-last"


def has_other_ways(ask: Ask) -> bool:
    """True where the sign-in page has something to choose from."""
    return len(ask.visit.host.sign_in) > 1
