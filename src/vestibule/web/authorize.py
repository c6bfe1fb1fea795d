"""`/@/authorize`: an app sends a browser here, and gets it back with a code (RFC 6749 section 4.1, RFC 8252)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from starlette.responses import Response

from vestibule.core.app import App, Apps, goes_unasked, shown_place
from vestibule.core.authorize import Back, Confirm, Give, Refuse, SignIn
from vestibule.core.route import SIGN_IN_PATH
from vestibule.errors import ClientError
from vestibule.protocol.authorization_server import (
    AuthorizationRequest,
    authorization_request,
    code_answer,
    error_answer,
)
from vestibule.service.hints import passed_on
from vestibule.web.answers import Desk, answer, redirect, to_app
from vestibule.web.asking import Ask
from vestibule.web.blocks import Action, Fact
from vestibule.web.form import told
from vestibule.web.page import with_query
from vestibule.web.person import is_stale, person, sign_in_again

AUTHORIZE_PATH: Final = "/@/authorize"
_SINCE: Final = "since"


async def authorize(desk: Desk, ask: Ask) -> Response:
    """Sign in, say yes where that is asked, and go back to the app. It changes something, so HEAD is nobody's."""
    if ask.method != "GET" or ask.is_prefetch:
        raise ClientError("an app asks by GET", code="method_not_allowed", status=405)
    request = authorization_request(ask.params)
    since = desk.authorizing.since_in(request, ask.params.get(_SINCE, ""))
    apps = await _apps(desk, ask, request)
    step = desk.authorizing.step(ask.visit, request, apps=apps, since=since)
    match step:
        case Refuse(code):
            raise ClientError("it is not known here", code=code)
        case Back(code, why):
            location = error_answer(request.redirect_uri, code, why, state=request.state, issuer=issuer(ask))
            app = apps.by_id[request.client_id]
            return to_app(location) if goes_unasked(app, location) else _astray(desk, ask, app, location)
        case SignIn(anew):
            return _sign_in(desk, ask, request, anew=anew)
        case Confirm():
            session = person(ask)
            if is_stale(ask, session):
                return sign_in_again(desk, ask, session, rd=f"{AUTHORIZE_PATH}?{urlencode(ask.params)}")
            return await _ask(desk, ask, request, step)
    return to_app(await _given(desk, ask, request, step))


async def confirm(desk: Desk, ask: Ask) -> Response:
    """POST of the question's buttons: on to the app, with a code or without."""
    sent = told(ask)
    request = await desk.authorizing.answered(ask.visit, sent.get("key", ""))
    if is_stale(ask, person(ask)):
        return sign_in_again(desk, ask, person(ask), rd=_anew(request))
    since = ask.visit.now if request.prompt else 0.0
    apps = await _apps(desk, ask, request)
    step = desk.authorizing.step(
        ask.visit, _without_prompt(request), apps=apps, is_confirmed=True, since=since
    )
    if not isinstance(step, Give):
        raise ClientError("This form is over. Nothing was given by it now.", code="form_expired")
    if sent.get("answer") == "allow":
        location = await _given(desk, ask, request, step)
    else:
        location = error_answer(
            request.redirect_uri, "access_denied", "", state=request.state, issuer=issuer(ask)
        )
    return answer(desk.pages.to_app(ask.scene(), step.app.name or step.app.id, location=location))


def issuer(ask: Ask) -> str:
    """The issuer identifier of the authorization server here. Spec: RFC 8414 section 2."""
    return ask.visit.site.base_url


async def _apps(desk: Desk, ask: Ask, request: AuthorizationRequest) -> Apps:
    """The apps that it can be of: those of the configuration, and the one that registered itself by this ID."""
    known = desk.authorizing.issuing.apps
    return await desk.registered.among(known, request.client_id, ask.visit.host, ask.visit.now)


async def _given(desk: Desk, ask: Ask, request: AuthorizationRequest, step: Give) -> str:
    code = await desk.authorizing.give(ask.visit, request, step)
    return code_answer(request.redirect_uri, code, state=request.state, issuer=issuer(ask))


def _sign_in(desk: Desk, ask: Ask, request: AuthorizationRequest, *, anew: bool) -> Response:
    """To the sign-in page, and back to the same address."""
    again = {name: value for name, value in ask.params.items() if name != _SINCE}
    if anew:
        again[_SINCE] = desk.authorizing.since(request, ask.visit.now)
    hints = passed_on(ask.params)
    hints.pop("prompt", None)
    if request.prompt in {"login", "select_account"}:
        hints["prompt"] = request.prompt
    if request.provider:
        hints["provider"] = request.provider
    return redirect(with_query(SIGN_IN_PATH, rd=f"{AUTHORIZE_PATH}?{urlencode(again)}", **hints))


def _anew(request: AuthorizationRequest) -> str:
    """The address that asks for the same once more, after a sign-in."""
    asked = {
        "client_id": request.client_id,
        "redirect_uri": request.redirect_uri,
        "response_type": request.response_type,
        "scope": " ".join(request.scopes),
        "state": request.state,
        "code_challenge": request.challenge,
        "code_challenge_method": request.challenge_method,
        "resource": request.resource,
        "prompt": request.prompt if request.prompt == "consent" else "",
    }
    return f"{AUTHORIZE_PATH}?{urlencode({name: value for name, value in asked.items() if value})}"


def _astray(desk: Desk, ask: Ask, app: App, location: str) -> Response:
    """What an app asked for that registered itself can't be had; the person sees where it would send them."""
    page = desk.pages.message(
        ask.scene(),
        "app_astray",
        status=400,
        actions=[Action(href=location, label="continue")],
        app=app.name or app.id,
        redirect=shown_place(location),
    )
    return answer(page)


async def _ask(desk: Desk, ask: Ask, request: AuthorizationRequest, step: Confirm) -> Response:
    key = await desk.authorizing.ask(ask.visit, request)
    page = desk.pages.message(
        ask.scene(),
        "app_registered" if step.app.is_registered else "app",
        actions=[
            Action(href=AUTHORIZE_PATH, label=label, post=True, hidden=(("key", key), ("answer", label)))
            for label in ("allow", "refuse")
        ],
        facts=[Fact(label="device_asks.scopes", value=" ".join(step.scopes))],
        app=step.app.name or step.app.id,
        host=step.host,
        redirect=shown_place(request.redirect_uri),
    )
    return answer(page)


def _without_prompt(request: AuthorizationRequest) -> AuthorizationRequest:
    """What was asked for by `prompt` is done: the person signed in, and is saying yes or no."""
    return AuthorizationRequest(
        client_id=request.client_id,
        redirect_uri=request.redirect_uri,
        response_type=request.response_type,
        scopes=request.scopes,
        state=request.state,
        challenge=request.challenge,
        challenge_method=request.challenge_method,
        resource=request.resource,
    )
