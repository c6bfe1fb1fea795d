"""App tokens on a person's own page: what there is, a form for a new one, its text shown once, the way to end one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from starlette.responses import Response

from vestibule.config.place import Unfit
from vestibule.config.value import prefix
from vestibule.core.app_token import DAY_S, NAME_MAX_CHARS, READS, Wish
from vestibule.core.route import ACCOUNT_PATH
from vestibule.errors import BadRequest, Invalid
from vestibule.model import AppToken, Session
from vestibule.service.linking import is_fresh
from vestibule.web.account_pages import token_page
from vestibule.web.answers import Desk, answer, note
from vestibule.web.asking import Ask
from vestibule.web.blocks import Action, Field, TokenLine
from vestibule.web.form import answers_json, told
from vestibule.web.page import day, iso
from vestibule.web.person import back, person, sign_in_again

TOKENS_PATH: Final = f"{ACCOUNT_PATH}/tokens"
REVOKE_PATH: Final = f"{TOKENS_PATH}/revoke"
DAYS: Final = (7, 30, 90, 365)
"""Lives that the form offers, as far as they may be chosen."""
USUAL_DAYS: Final = 90
_PATH_MAX_CHARS: Final = 500


async def tokens(desk: Desk, ask: Ask) -> Response:
    """`/@/account/tokens`: the form for a new one; for programs, what there is and what can be made."""
    session = person(ask)
    fresh = is_fresh(session, ask.visit.now)
    if ask.wants_json:
        return answer(desk.pages.json(200, await _described(desk, ask, session, is_fresh=fresh)))
    if not fresh:
        return sign_in_again(desk, ask, session, rd=TOKENS_PATH)
    days = str(min(USUAL_DAYS, _max_days(desk)))
    return _form(desk, ask, {"key": await desk.minting.begin(ask.visit), "days": days}, {})


async def make(desk: Desk, ask: Ask) -> Response:
    """POST of the form: the token is made, and shown this once."""
    session = person(ask)
    if not is_fresh(session, ask.visit.now):
        return sign_in_again(desk, ask, session, rd=TOKENS_PATH)
    sent = told(ask)
    try:
        token, text = await desk.minting.make(ask.visit, sent.get("key", ""), _wish(desk, ask, sent))
    except Invalid as error:
        return _faulty(desk, ask, sent, dict(error.faults))
    note(desk, ask, "app_token_made", session)
    if answers_json(ask):
        return answer(desk.pages.json(201, {**described(token), "token": text.reveal()}))
    page = token_page(
        desk.pages,
        ask.scene(),
        line=line(token, ask.visit.now),
        text=text,
        actions=[Action(href=ACCOUNT_PATH, label="account")],
    )
    return answer(page)


async def revoke(desk: Desk, ask: Ask) -> Response:
    """Ends a token at once. Whoever is signed in may: it takes nothing but what the token could do."""
    session = person(ask)
    token_id = told(ask).get("id", "")
    if not token_id:
        raise BadRequest("the token to revoke isn't named")
    await desk.minting.revoke(session, token_id)
    note(desk, ask, "app_token_revoked", session)
    return back(desk, ask, {"revoked": True})


# -- what is shown ----------------------------------------------------------------------------


def line(token: AppToken, now: float) -> TokenLine:
    """The token as a line of the account page."""
    return TokenLine(
        title=token.name,
        where=", ".join(token.host + path for path in token.prefixes) or token.host,
        only_reads=bool(token.methods) and set(token.methods) <= set(READS),
        until=day(token.expires_at),
        is_over=token.expires_at <= now,
        used=day(token.seen_at),
        actions=(Action(href=REVOKE_PATH, label="revoke", post=True, hidden=(("id", token.id),)),),
    )


def described(token: AppToken) -> dict[str, Any]:
    """The token for programs, without itself."""
    return {
        "id": token.id,
        "name": token.name,
        "host": token.host,
        "paths": list(token.prefixes),
        "methods": list(token.methods),
        "created_at": iso(token.created_at),
        "expires_at": iso(token.expires_at),
        "seen_at": iso(token.seen_at),
    }


async def _described(desk: Desk, ask: Ask, session: Session, *, is_fresh: bool) -> dict[str, Any]:
    hosts = desk.minting.hosts(ask.visit.host)
    found = {
        "items": [described(token) for token in await desk.minting.tokens.of_user(session.user_id)],
        "hosts": list(hosts),
        "max_days": _max_days(desk),
        "is_fresh": is_fresh,
    }
    if is_fresh and hosts:
        found["key"] = await desk.minting.begin(ask.visit)
    return found


# -- the form ---------------------------------------------------------------------------------


def _wish(desk: Desk, ask: Ask, sent: dict[str, str]) -> Wish:
    """What was asked for. Raises Invalid for a path or a number that can't be read."""
    hosts = desk.minting.hosts(ask.visit.host)
    return Wish(
        name=sent.get("name", "").strip(),
        host=sent.get("host", hosts[0] if len(hosts) == 1 else ""),
        prefixes=_prefixes(sent.get("path", "").strip()),
        methods=READS if sent.get("reads") else (),
        life_s=_days(sent.get("days", "")) * DAY_S,
    )


def _prefixes(path: str) -> tuple[str, ...]:
    if path in ("", "/"):
        return ()
    try:
        return (prefix(path[:_PATH_MAX_CHARS]).decode("ascii"),)
    except (Unfit, UnicodeError):
        raise Invalid((("path", "invalid"),)) from None


def _days(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _max_days(desk: Desk) -> int:
    return int(desk.minting.tokens.life_max_s // DAY_S)


def _faulty(desk: Desk, ask: Ask, sent: dict[str, str], faults: dict[str, str]) -> Response:
    if answers_json(ask):
        named = {field: f"form.{code}" for field, code in faults.items()}
        page = desk.pages.problem(422, "invalid", request_id=ask.visit.request_id, faults=named)
        return answer(page)
    return _form(desk, ask, sent, faults)


def _form(desk: Desk, ask: Ask, sent: dict[str, str], faults: dict[str, str]) -> Response:
    hosts = desk.minting.hosts(ask.visit.host)
    if not hosts:
        return answer(
            desk.pages.message(ask.scene(), "no_tokens", actions=[Action(href=ACCOUNT_PATH, label="account")])
        )
    page = desk.pages.form(
        ask.scene(),
        "token_form",
        action=TOKENS_PATH,
        fields=_fields(hosts, _lives(desk), sent, faults),
        submit="make_token",
        status=422 if faults else 200,
        actions=[Action(href=ACCOUNT_PATH, label="cancel")],
        hidden=[("key", sent.get("key", ""))],
    )
    return answer(page)


def _lives(desk: Desk) -> list[int]:
    longest = _max_days(desk)
    return [*(days for days in DAYS if days < longest), longest]


def _fields(
    hosts: tuple[str, ...], lives: Iterable[int], sent: dict[str, str], faults: dict[str, str]
) -> list[Field]:
    def field(name: str, label: str, **more: Any) -> Field:
        fault = f"form.{faults[name]}" if name in faults else ""
        return Field(name=name, label=label, value=sent.get(name, ""), fault=fault, **more)

    path = {"required": False, "limit_chars": _PATH_MAX_CHARS, "keyboard": "url"}
    return [
        field("name", "token_form.name", hint="token_form.name_hint", limit_chars=NAME_MAX_CHARS),
        *((field("host", "token_form.host", options=hosts),) if len(hosts) > 1 else ()),
        field("path", "token_form.path", hint="token_form.path_hint", **path),
        field("reads", "token_form.reads", hint="token_form.reads_hint", type="checkbox", required=False),
        field("days", "token_form.days", options=tuple(map(str, lives))),
    ]
