"""The registration form: what a newcomer is asked before there is an account, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from starlette.responses import Response

from vestibule.core import registration as rules
from vestibule.core.person import called
from vestibule.core.route import REGISTER_PATH
from vestibule.errors import VestibuleError
from vestibule.service.registering import REGISTER_S, Newcomer
from vestibule.web.answers import Desk, answer, redirect
from vestibule.web.arriving import arrived, refused
from vestibule.web.asking import Ask
from vestibule.web.blocks import Action, Field
from vestibule.web.form import answers_json, told
from vestibule.web.page import iso

CANCEL_PATH: Final = f"{REGISTER_PATH}/cancel"
FAULT_WORDS: Final[Mapping[str, str]] = {
    "missing": "form.missing",
    "too_long": "form.too_long",
    "invalid": "form.invalid",
    "not_accepted": "form.not_accepted",
}
"""The name of the text for each fault of a field."""


async def register(desk: Desk, ask: Ask) -> Response:
    """The form; for programs, its fields and what is known already."""
    newcomer = await desk.signin.registrations.newcomer(ask.visit)
    known = {rules.NAME: newcomer.identity.name, rules.LOGIN: newcomer.identity.login}
    if ask.wants_json:
        return answer(desk.pages.json(200, _described(desk, newcomer, known)))
    return _form(desk, ask, newcomer, known, {})


async def register_by_post(desk: Desk, ask: Ask) -> Response:
    """Makes account and session, once; with faults, 422 and nothing has happened."""
    newcomer = await desk.signin.registrations.newcomer(ask.visit)
    sent = told(ask)
    form, faults = rules.filled(sent, desk.people.rules)
    if faults:
        if answers_json(ask):
            return _refused(desk, ask, faults)
        return _form(desk, ask, newcomer, sent, faults)
    try:
        finished = await desk.signin.register(ask.visit, form)
    except VestibuleError as error:
        await refused(desk, ask, error)
        raise
    assert finished.session is not None, "registering ends in a session"
    known = await arrived(desk, ask, "registered", finished.session)
    if not answers_json(ask):
        return redirect(finished.location, (*finished.set_cookies, *known))
    made = {"user": {"id": finished.session.user_id}, "location": finished.location}
    return answer(desk.pages.json(201, made), (*finished.set_cookies, *known))


async def cancel(desk: Desk, ask: Ask) -> Response:
    """Leaves nothing of the newcomer."""
    set_cookies = await desk.signin.cancel_registration(ask.visit)
    if answers_json(ask):
        return answer(desk.pages.json(200, {"cancelled": True}), set_cookies)
    return redirect("/@/signedout", set_cookies)


def _form(
    desk: Desk, ask: Ask, newcomer: Newcomer, values: Mapping[str, str], faults: Mapping[str, str]
) -> Response:
    links = [
        Action(href=url, label=label, aside=True)
        for url, label in ((_terms(desk), "terms"), (desk.people.rules.privacy_url, "privacy"))
        if url
    ]
    # Whoever is signed in here already is not who registers.
    scene = ask.scene_of_nobody()
    page = desk.pages.form(
        scene,
        "register",
        action=REGISTER_PATH,
        fields=tuple(_fields(desk.people.rules, values, faults)),
        submit="register",
        status=422 if faults else 200,
        actions=[*links, Action(href=CANCEL_PATH, label="cancel", post=True)],
        leads_to=desk.signin.handoffs.origin_of(ask.visit, newcomer.flow.rd),
        provider=desk.signin.title_of(newcomer.flow.client) or ask.visit.host.title,
        who=called(newcomer.identity),
    )
    return answer(page)


def _fields(form: rules.Rules, values: Mapping[str, str], faults: Mapping[str, str]) -> Iterator[Field]:
    def words(name: str) -> str:
        return FAULT_WORDS[faults[name]] if name in faults else ""

    yield Field(
        name=rules.NAME,
        label="register.name",
        value=values.get(rules.NAME, ""),
        fault=words(rules.NAME),
        autocomplete="name",
        limit_chars=rules.NAME_MAX_CHARS,
    )
    yield Field(
        name=rules.LOGIN,
        label="register.login",
        hint="register.login_hint",
        value=values.get(rules.LOGIN, ""),
        fault=words(rules.LOGIN),
        autocomplete="username",
        required=False,
        limit_chars=rules.LOGIN_MAX_CHARS,
    )
    for question in form.questions:
        yield Field(
            name=question.name,
            label="",
            label_text=question.label,
            hint_text=question.hint,
            value=values.get(question.name, ""),
            fault=words(question.name),
            required=question.required,
            limit_chars=rules.ANSWER_MAX_CHARS,
        )
    if form.terms_url:
        checked = values.get(rules.TERMS, "") and "yes"
        yield Field(
            name=rules.TERMS,
            label="register.accept",
            type="checkbox",
            value=checked,
            fault=words(rules.TERMS),
        )


def _described(desk: Desk, newcomer: Newcomer, known: Mapping[str, str]) -> dict[str, Any]:
    """The form for programs: what to ask, what is known, until when."""
    form = desk.people.rules
    return {
        "provider": desk.signin.title_of(newcomer.flow.client),
        "known": {**known, "email": newcomer.identity.email},
        "fields": fields_of(form),
        "terms_url": form.terms_url or None,
        "privacy_url": form.privacy_url or None,
        "expires_at": iso(newcomer.came_at + REGISTER_S),
    }


def fields_of(form: rules.Rules) -> list[dict[str, Any]]:
    """What a newcomer is asked, for programs."""
    fields: list[dict[str, Any]] = [
        {"name": rules.NAME, "required": True, "max_length": rules.NAME_MAX_CHARS},
        {"name": rules.LOGIN, "required": False, "max_length": rules.LOGIN_MAX_CHARS},
        *(
            {
                "name": question.name,
                "label": question.label,
                "hint": question.hint,
                "required": question.required,
                "max_length": rules.ANSWER_MAX_CHARS,
            }
            for question in form.questions
        ),
    ]
    if form.terms_url:
        fields.append({"name": rules.TERMS, "required": True, "type": "boolean"})
    return fields


def _refused(desk: Desk, ask: Ask, faults: Mapping[str, str]) -> Response:
    """422 with every fault. Spec: RFC 9457."""
    page = desk.pages.problem(
        422,
        "invalid",
        request_id=ask.visit.request_id,
        faults={name: FAULT_WORDS[code] for name, code in faults.items()},
    )
    return answer(page)


def _terms(desk: Desk) -> str:
    return desk.people.rules.terms_url
