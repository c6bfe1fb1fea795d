"""A person's own page: who they are here, the accounts they sign in with, their data, the way out.

Everything that changes how somebody signs in needs a sign-in of the last ten minutes: a session that was left open,
or stolen, is not enough to take an account over, or away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response

from vestibule.core.credential import HTPASSWD
from vestibule.core.route import ACCOUNT_PATH, SIGN_IN_PATH, SIGN_OUT_PATH, SIGNED_OUT_PATH
from vestibule.errors import BadRequest, Conflict, VestibuleError
from vestibule.model import Account, Identity, Session, User, Vouched
from vestibule.service.cookies import without_session
from vestibule.service.htpasswd import MARK
from vestibule.service.linking import is_fresh
from vestibule.service.outcome import Choice
from vestibule.web.account_pages import account_page
from vestibule.web.answers import Desk, answer, failure, note, problem, redirect
from vestibule.web.asking import Ask
from vestibule.web.blocks import Action, Fact, Item
from vestibule.web.devices import (
    SIGN_OUT_OTHERS_PATH,
    described_device,
    device_line,
    devices_of,
    happened,
    names_of,
    remembered_device,
)
from vestibule.web.form import answers_json, told
from vestibule.web.onward import away
from vestibule.web.page import iso, with_query
from vestibule.web.person import back, person, sign_in_again
from vestibule.web.signin import ADDRESS_WRONG
from vestibule.web.tokens import TOKENS_PATH, described, line

LINK_PATH: Final = f"{ACCOUNT_PATH}/link"
UNLINK_PATH: Final = f"{ACCOUNT_PATH}/unlink"
EXPORT_PATH: Final = f"{ACCOUNT_PATH}/export"
DELETE_PATH: Final = f"{ACCOUNT_PATH}/delete"
SIGN_OUT_ALL_PATH: Final = f"{ACCOUNT_PATH}/signout"
_OTHERS: Final = Action(href=SIGN_OUT_OTHERS_PATH, label="sign_out_others", post=True)


async def account(desk: Desk, ask: Ask) -> Response:
    """`/@/account`: the page, or the same as JSON."""
    session = ask.visit.session
    if session is None or not session.user_id:
        if ask.wants_json:
            return answer(problem(desk, ask, 401, "sign_in_required"))
        return redirect(with_query(SIGN_IN_PATH, rd=ACCOUNT_PATH))
    user = await desk.people.user(session.user_id)
    accounts = await desk.people.accounts_of(user.id)
    offers = _offers(desk, ask, accounts)
    tokens = await desk.minting.tokens.of_user(user.id)
    devices = await devices_of(desk, session)
    names = await names_of(desk, ask, devices)
    if ask.wants_json:
        found = _described(desk, ask, session, user=user, accounts=accounts, offers=offers)
        found["devices"] = [described_device(desk, held, session, names) for held in devices]
        return answer(desk.pages.json(200, {**found, "app_tokens": [described(token) for token in tokens]}))
    page = account_page(
        desk.pages,
        ask.scene(),
        facts=_facts(user, _own(ask, session)),
        items=[_item(desk, ask, session, known, is_last=len(accounts) == 1) for known in accounts],
        offers=[_offer(offer) for offer in offers],
        actions=_ways(await _site(desk, ask, user)),
        tokens=[line(token, ask.visit.now) for token in tokens],
        new_token=_new_token(desk, ask),
        devices=[device_line(desk, held, session, names) for held in devices],
        sign_out_others=_OTHERS if len(devices) > 1 else None,
    )
    return answer(page)


# -- linking ----------------------------------------------------------------------------------


async def link(desk: Desk, ask: Ask) -> Response:
    """POST `/@/account/link/ID`: off to the provider, to prove an account; nothing is linked by that."""
    session = person(ask)
    if not is_fresh(session, ask.visit.now):
        return sign_in_again(desk, ask, session)
    # The same provider again means another account there.
    same = any(identity.client == ask.visit.host.clients[ask.client] for identity in session.identities)
    sent = told(ask)
    hints = {"prompt": "select_account"} if same else {}
    try:
        begun = await desk.signin.begin_link(ask.visit, ask.client, hints={**sent, **hints})
    except VestibuleError as error:
        if error.code in ADDRESS_WRONG and not answers_json(ask):
            wrong, me = ADDRESS_WRONG[error.code], sent.get("me", "")
            page = desk.pages.ask_address(ask.scene(), action=ask.path, value=me, wrong=wrong, method="post")
            return answer(page)
        return failure(desk, ask, error, ask.scene(again=ACCOUNT_PATH))
    if begun.form is not None:
        return away(desk.pages, ask.scene(), begun)
    if answers_json(ask):
        return answer(desk.pages.json(200, {"location": begun.url}), begun.set_cookies)
    # A form's answer may not redirect to another origin: `form-action` binds redirects, too.
    page = desk.pages.onward(
        ask.scene(),
        "linking",
        location=begun.url,
        provider=desk.signin.title_of(ask.visit.host.clients[ask.client]),
    )
    return answer(page, begun.set_cookies)


async def link_page(desk: Desk, ask: Ask) -> Response:
    """What the provider vouched for, and the question whether to link it."""
    session = person(ask)
    key = ask.params.get("key", "")
    found = await desk.signin.links.found(ask.visit, key)
    title = desk.signin.title_of(found.identity.client)
    shown = _shown(found.identity.login, found.identity.email, found.identity.name, found.identity.subject)
    if ask.wants_json:
        return answer(desk.pages.json(200, {"key": key, "provider": title, "account": shown}))
    user = await desk.people.user(session.user_id)
    page = desk.pages.message(
        ask.scene(),
        "link",
        actions=[
            Action(href=LINK_PATH, label="link", post=True, hidden=(("key", key),)),
            Action(href=ACCOUNT_PATH, label="cancel"),
        ],
        provider=title,
        account=shown,
        who=_shown(user.name, user.login, user.email, user.id),
    )
    return answer(page)


async def confirm_link(desk: Desk, ask: Ask) -> Response:
    """POST of that question's button: links it, once."""
    session = person(ask)
    await desk.signin.links.confirm(ask.visit, told(ask).get("key", ""))
    note(desk, ask, "account_linked", session)
    return back(desk, ask, {"linked": True})


async def unlink(desk: Desk, ask: Ask) -> Response:
    """Takes a linked account away: neither the last one nor the one this session came by."""
    session = person(ask)
    if not is_fresh(session, ask.visit.now):
        return sign_in_again(desk, ask, session)
    sent = told(ask)
    issuer, subject = sent.get("issuer", ""), sent.get("subject", "")
    if not issuer or not subject:
        raise BadRequest("the account to remove isn't named")
    if _is_in_use(session, issuer, subject):
        raise Conflict("This is the account you are signed in with.", code="account_in_use")
    await desk.people.unlink(session.user_id, issuer, subject)
    note(desk, ask, "account_unlinked", session)
    return back(desk, ask, {"unlinked": True})


# -- data -------------------------------------------------------------------------------------


async def export(desk: Desk, ask: Ask) -> Response:
    """Everything that is kept of the person, as a file; tokens and ids of sessions are no data of theirs."""
    session = person(ask)
    user = await desk.people.user(session.user_id)
    whole = {
        "exported_at": iso(ask.visit.now),
        "user": _user(user),
        "accounts": [_account(known) for known in await desk.people.accounts_of(user.id)],
        "told": [_told(one) for one in await desk.people.vouched_of(user.id)],
        "app_tokens": [described(token) for token in await desk.minting.tokens.of_user(user.id)],
        "sessions": [_session(one) for one in await desk.people.sessions_of(user.id)],
        "devices": [remembered_device(one) for one in await desk.devices.of_user(user.id)],
        "events": [happened(one) for one in await desk.devices.events.of_user(user.id)],
        "invitations": [
            {"email": one.email, "issuer": one.issuer, "subject": one.subject, "used_at": iso(one.used_at)}
            for one in await desk.people.invitations_of(user.id)
        ],
    }
    page = desk.pages.json(200, whole)
    return answer(page.with_headers(("content-disposition", 'attachment; filename="account.json"')))


async def delete_page(desk: Desk, ask: Ask) -> Response:
    """Asks once more."""
    session = person(ask)
    if not is_fresh(session, ask.visit.now):
        return sign_in_again(desk, ask, session, rd=DELETE_PATH)
    page = desk.pages.message(
        ask.scene(),
        "delete",
        actions=[
            Action(href=ACCOUNT_PATH, label="cancel"),
            Action(href=DELETE_PATH, label="delete_account", post=True, danger=True),
        ],
    )
    return answer(page)


async def delete(desk: Desk, ask: Ask) -> Response:
    """Deletes the person with all that is kept of them, and signs them out everywhere."""
    session = person(ask)
    if not is_fresh(session, ask.visit.now):
        return sign_in_again(desk, ask, session, rd=DELETE_PATH)
    await desk.people.delete(session.user_id, ask.visit.now)
    note(desk, ask, "user_deleted", session)
    if answers_json(ask):
        return answer(desk.pages.json(200, {"deleted": True}), _gone(ask))
    scene = ask.scene_of_nobody()
    return answer(desk.pages.message(scene, "deleted", actions=[Action(href="/", label="home")]), _gone(ask))


async def sign_out_all(desk: Desk, ask: Ask) -> Response:
    """Ends every session of the person, this one too."""
    session = person(ask)
    await desk.people.end_sessions(session.user_id, ask.visit.now)
    note(desk, ask, "signed_out_everywhere", session)
    if answers_json(ask):
        return answer(desk.pages.json(200, {"signed_out": True}), _gone(ask))
    return redirect(SIGNED_OUT_PATH, _gone(ask))


# -- who may ----------------------------------------------------------------------------------


def _is_in_use(session: Session, issuer: str, subject: str) -> bool:
    return any((known.issuer, known.subject) == (issuer, subject) for known in session.identities)


def _gone(ask: Ask) -> tuple[str, ...]:
    return without_session(ask.visit.site)


# -- what is shown ----------------------------------------------------------------------------


def _own(ask: Ask, session: Session) -> list[Identity]:
    """The identities that count on this host."""
    return [known for known in session.identities if known.client in ask.visit.host.sign_in]


async def _site(desk: Desk, ask: Ask, user: User) -> str:
    """Where the host's app is; at an auth host, which has none, the app that the person was at last."""
    if ask.visit.host.route(b"/").backend.internal != "account":
        return "/"
    origin = desk.signin.handoffs.last_site(ask.visit, await desk.people.sessions_of(user.id))
    return f"{origin}/" if origin else ""


def _ways(site: str) -> list[Action]:
    return [
        *((Action(href=site, label="to_site"),) if site else ()),
        Action(href=SIGN_OUT_PATH, label="sign_out", post=True),
        Action(href=EXPORT_PATH, label="export"),
        Action(href=SIGN_OUT_ALL_PATH, label="sign_out_all", post=True),
        Action(href=DELETE_PATH, label="delete_account", danger=True),
    ]


def _new_token(desk: Desk, ask: Ask) -> Action | None:
    """The way to make an app token, where some host takes them."""
    return Action(href=TOKENS_PATH, label="new_token") if desk.minting.hosts(ask.visit.host) else None


def _offers(desk: Desk, ask: Ask, accounts: Iterable[Account]) -> list[Choice]:
    """The host's providers at which the person has no account linked yet."""
    linked = {known.client for known in accounts}
    ids = ask.visit.host.clients
    return [
        choice
        for choice in desk.signin.chooser(ask.visit)
        if ids[choice.client] in ask.visit.host.sign_in and ids[choice.client] not in linked
    ]


def _facts(user: User, identities: Iterable[Identity]) -> list[Fact]:
    known = list(identities)
    facts = (
        Fact("account.name", user.name),
        Fact("account.email", user.email),
        Fact("account.login", user.login),
        Fact("account.groups", ", ".join(dict.fromkeys(g for one in known for g in one.groups))),
        Fact("account.orgs", ", ".join(dict.fromkeys(o for one in known for o in one.orgs))),
    )
    return [fact for fact in facts if fact.value]


def _item(desk: Desk, ask: Ask, session: Session, known: Account, *, is_last: bool) -> Item:
    remove = Action(
        href=UNLINK_PATH,
        label="unlink",
        post=True,
        hidden=(("issuer", known.issuer), ("subject", known.subject)),
    )
    is_fixed = is_last or _is_in_use(session, known.issuer, known.subject)
    own = ask.visit.host.title if known.kind == HTPASSWD else ""  # the site's own people
    return Item(
        title=desk.signin.title_of(known.client) or own or known.issuer,
        detail=_shown(known.login, known.email, known.name),
        kind=known.kind,
        actions=() if is_fixed else (remove,),
    )


def _offer(choice: Choice) -> Item:
    add = Action(href=f"{LINK_PATH}/{choice.client}", label="link", post=True)
    return Item(title=choice.title, kind=choice.kind, actions=(add,))


def _shown(*names: str) -> str:
    """The first of these names that is one, cut to what a page can hold."""
    return next((name for name in names if name), "")[:200]


def _described(
    desk: Desk,
    ask: Ask,
    session: Session,
    *,
    user: User,
    accounts: Iterable[Account],
    offers: Iterable[Choice],
) -> dict[str, Any]:
    """The page for programs."""
    identities = _own(ask, session)
    if session.affiliated is not None and identities:
        identities.append(session.affiliated)
    known = list(accounts)
    return {
        "user": _user(user),
        "groups": list(dict.fromkeys(g for one in identities for g in one.groups)),
        "orgs": list(dict.fromkeys(o for one in identities for o in one.orgs)),
        "accounts": [
            {
                **_account(one),
                "title": desk.signin.title_of(one.client),
                "is_in_use": _is_in_use(session, one.issuer, one.subject),
                "can_be_removed": len(known) > 1 and not _is_in_use(session, one.issuer, one.subject),
            }
            for one in known
        ],
        "offers": [{"id": one.client, "title": one.title, "kind": one.kind} for one in offers],
        "is_fresh": is_fresh(session, ask.visit.now),
        "signed_in_at": iso(session.signed_in_at),
    }


def _user(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "login": user.login,
        "email": user.email,
        "profile": user.profile,
        "created_at": iso(user.created_at),
        "seen_at": iso(user.seen_at),
    }


def _account(known: Account) -> dict[str, Any]:
    return {
        "issuer": known.issuer,
        "subject": known.subject,
        "kind": known.kind,
        "login": known.login,
        "name": known.name,
        "email": known.email,
        "created_at": iso(known.created_at),
        "seen_at": iso(known.seen_at),
    }


def _told(vouched: Vouched) -> dict[str, Any]:
    """What a provider last said; marks of passwords are none of that."""
    one = vouched.identity
    return {
        "provider": one.client,
        "issuer": one.issuer,
        "subject": one.subject,
        "groups": list(one.groups),
        "orgs": list(one.orgs),
        "teams": list(one.teams),
        "projects": list(one.projects),
        "repos": list(one.repos),
        "roles": list(one.roles),
        "claims": {name: value for name, value in one.claims.items() if name != MARK},
        "told_at": iso(vouched.told_at),
    }


def _session(session: Session) -> dict[str, Any]:
    return {
        "host": session.host,
        "created_at": iso(session.created_at),
        "seen_at": iso(session.seen_at),
        "expires_at": iso(session.expires_at),
        "user_agent": session.device.user_agent,
        "address": session.device.address,
        "providers": list(session.clients),
    }
