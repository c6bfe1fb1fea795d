"""Other products' paths for people: each is one of the gateway's own under their name (`core.compat` says which).

What is theirs here is how a destination is told: `rd` and headers of the edge (oauth2-proxy), or an address that an
nginx configuration pastes into the query as it is (Vouch). Where it may lead, the gateway's own rule decides.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus, urlencode

from msgspec.structs import replace
from starlette.responses import Response

from vestibule.core.compat import CALLBACK, callback_of
from vestibule.core.known import known_of
from vestibule.core.route import ACCOUNT_PATH, SIGN_IN_PATH
from vestibule.errors import BadRequest, ClientError, FlowError
from vestibule.protocol import cookie, user_code
from vestibule.protocol.authorization_server import OAuthError, error_body
from vestibule.web import callback, signin, signout
from vestibule.web.answers import Desk, answer, problem, redirect
from vestibule.web.asking import Ask
from vestibule.web.device import DEVICE_PATH
from vestibule.web.form import form_of
from vestibule.web.page import COMMON_HEADERS, with_query
from vestibule.web.token import NO_STORE, device_of

TRIES_MAX: Final = 6
"""How often a browser is led on for one destination in a window; who comes once more sees a page."""
TRIES_S: Final = 60
_OWN_OF_VOUCH: Final = re.compile(r"(x-)?vouch.*|error|rd", re.IGNORECASE)
_OWN_OF_OTHERS: Final = re.compile(r"provider|rd|login_hint|prompt|switch")
_PASTED: Final = re.compile(r"https?://|/", re.IGNORECASE)


# -- oauth2-proxy -------------------------------------------------------------------------------


async def start(desk: Desk, ask: Ask) -> Response:
    """`/oauth2/start`: straight to the provider, where there is one."""
    return await _begin(desk, _oauth2(desk, ask))


async def sign_in_page(desk: Desk, ask: Ask) -> Response:
    """`/oauth2/sign_in`: a page, also where there is nothing to choose, and where people sign in at another host.

    nginx shows it as a 403 (`error_page 401 =403 /oauth2/sign_in`), and browsers follow no redirect of that status.
    """
    found = await signin.choose(desk, _oauth2(desk, ask))
    location = found.headers.get("location", "")
    if not location or ask.wants_json:
        return found
    page = desk.pages.onward(ask.scene(), "error.sign_in_required", location=location)
    return answer(page, found.headers.getlist("set-cookie"))


async def sign_in_form(desk: Desk, ask: Ask) -> Response:
    """`/oauth2/sign_in`, filled in: its form names the user otherwise."""
    sent = form_of(ask)
    fields = {
        "user": sent.get("username", ""),
        "password": sent.get("password", ""),
        "rd": sent.get("rd", ""),
    }
    return await signin.by_password(desk, replace(ask, body=urlencode(fields).encode()))


async def sign_out(desk: Desk, ask: Ask) -> Response:
    """`/oauth2/sign_out`: as `/@/signout`; nothing is put into the address of `rd`."""
    told = _oauth2(desk, ask)
    return await (signout.sign_out_by_post if ask.method == "POST" else signout.sign_out)(desk, told)


async def userinfo(desk: Desk, ask: Ask) -> Response:
    """`/oauth2/userinfo`: who is signed in, as JSON; 401 for nobody."""
    known = known_of(ask.visit.session, ask.visit.host)
    if not known:
        return answer(problem(desk, ask, 401, "sign_in_required"))
    said = {
        "user": known.subject,
        "email": known.email,
        "groups": known.groups,
        "preferredUsername": known.login,
    }
    return answer(
        desk.pages.json(200, {name: value for name, value in said.items() if value or name != "groups"})
    )


async def ping(_desk: Desk, _ask: Ask) -> Response:
    """`/ping`: this process answers."""
    return Response("OK", media_type="text/plain", headers=dict(COMMON_HEADERS))


async def ready(desk: Desk, ask: Ask) -> Response:
    """`/ready`: and so does its store. Raises StoreError."""
    await desk.people.sessions_of("")
    return await ping(desk, ask)


def _oauth2(desk: Desk, ask: Ask) -> Ask:
    """With the destination: the first of `rd` and what the edge tells that may be gone to."""
    sent, others = pasted(ask.query, "rd", _OWN_OF_OTHERS, folds=None)
    root = ask.visit.host.root.decode()
    for told in (sent, *ask.visit.wanted):
        rd = desk.signin.return_to(ask.visit, told)
        if rd and not rd.startswith(f"{root}/"):
            return replace(ask, params={**others, "rd": rd})
    return replace(ask, params=others)


# -- Vouch, Nuon --------------------------------------------------------------------------------


async def login(desk: Desk, ask: Ask) -> Response:
    """`/login?url=`: signs in for that address. Raises BadRequest where it may not be gone to."""
    is_vouch = _product(ask) == "vouch"
    own = _OWN_OF_VOUCH if is_vouch else _OWN_OF_OTHERS
    url, others = pasted(ask.query, "url", own, folds=True if is_vouch else None)
    if not url and is_vouch:
        raise BadRequest("no destination URL requested")
    rd = desk.signin.return_to(ask.visit, url) if url else "/success"
    if not rd:
        raise BadRequest("nobody is led there from here", detail=f"url {url[:200]!r}")
    others.pop("rd", None)
    return await _begin(desk, replace(ask, params={**others, "rd": rd}))


async def logout(desk: Desk, ask: Ask) -> Response:
    """`/logout?url=`: as `/@/signout`. Raises BadRequest for an address that may not be gone to, as Vouch does."""
    url = ask.params.get("url", "") or ask.rd
    rd = desk.signin.return_to(ask.visit, url)
    if url and not rd and _product(ask) == "vouch":
        raise BadRequest("nobody is led there from here", detail=f"url {url[:200]!r}")
    told = replace(ask, params={"rd": rd})
    return await (signout.sign_out_by_post if ask.method == "POST" else signout.sign_out)(desk, told)


async def healthcheck(desk: Desk, _ask: Ask) -> Response:
    """`/healthcheck`: this process answers."""
    return answer(desk.pages.json(200, {"ok": True}))


async def success(_desk: Desk, ask: Ask) -> Response:
    """`/success`: where somebody lands who wanted to go nowhere else; their own page says who they are."""
    return redirect(ACCOUNT_PATH if ask.visit.session is not None else SIGN_IN_PATH)


async def device_code(_desk: Desk, ask: Ask) -> Response:
    """`/device/code?code=`: the page where a code is answered, with the one that a program chose filled in."""
    code = user_code.chosen(ask.params.get("code", ""))
    if code is None:
        raise BadRequest("a code is XXXX-XXXX, capital letters and digits", code="invalid_code")
    return redirect(with_query(DEVICE_PATH, user_code=code))


async def device_token(desk: Desk, ask: Ask) -> Response:
    """`/device/token?code=`: asked until the person has answered; what is in the way comes with 200, as Nuon has it."""
    body, status = await _device_token(desk, ask)
    return answer(desk.pages.json(status, body).with_headers(*NO_STORE))


async def _device_token(desk: Desk, ask: Ask) -> tuple[dict[str, Any], int]:
    code = ask.params.get("code", "")
    if user_code.chosen(code) is None:
        return {"error": "invalid_code" if code else "missing_code"}, 400
    flow, hosts = desk.device_flow, set(desk.authorizing.hosts(ask.visit.host))
    by_code = [
        app
        for app in desk.authorizing.issuing.apps.by_id.values()
        if "device" in app.grants and app.is_public and hosts.intersection(app.hosts)
    ]
    if len(by_code) != 1:
        # Nothing in Nuon's shape says which app it is.
        return {"error": "access_denied", "error_description": "not one app alone signs in by a code"}, 200
    try:
        issued = await flow.poll_chosen(ask.visit, by_code[0], code, device=device_of(ask))
    except OAuthError as error:
        return error_body(error), 200
    email = next((one.email for one in issued.session.identities if one.email), "")
    return {"access_token": issued.access_token.reveal(), "token_type": "Bearer", "email": email}, 200


def _product(ask: Ask) -> str:
    claim = ask.visit.host.claim(ask.path.encode("ascii"))
    return claim.product if claim is not None else ""


# -- coming back from the provider --------------------------------------------------------------


async def come_back(desk: Desk, ask: Ask) -> Response:
    """`/oauth2/callback`, `/auth`, `/auth/STATE`: the callback of the client whose state comes."""
    return await callback.callback(desk, replace(ask, client=_client_at(desk, ask, ask.params)))


async def come_back_by_form(desk: Desk, ask: Ask) -> Response:
    """The same for an answer by form."""
    return await callback.form_post(desk, replace(ask, client=_client_at(desk, ask, form_of(ask))))


def _client_at(desk: Desk, ask: Ask, params: Mapping[str, str]) -> str:
    host, path = ask.visit.host, ask.path.encode("ascii")
    theirs = callback_of(_product(ask))
    state = params.get("state", "")
    in_path = path[len(theirs) :].strip(b"/").decode()
    candidates = host.callbacks.get(theirs) or tuple(host.clients)
    if not candidates or (in_path and in_path != state):
        raise FlowError("This sign-in isn't known here. Please start again.", code="flow_unknown")
    return desk.signin.client_of(ask.visit, candidates, state)


# -- what they share ----------------------------------------------------------------------------


async def _begin(desk: Desk, ask: Ask) -> Response:
    """Straight on, but not again and again.

    Threat: a loop. A browser whose session counts nowhere (a cookie of another domain) is led here and back for ever.
    """
    tries, name = _tries(ask), f"{ask.visit.site.prefix}-tries"
    if tries[1] >= TRIES_MAX:
        raise ClientError(
            "this destination was asked for again and again",
            code="too_many_tries",
            status=429,
            detail="signing in leads back here: does the destination's host get the session's cookie?",
        )
    response = await signin.sign_in(desk, ask)
    value = f"{tries[0]}.{tries[1] + 1}.{tries[2]}"
    counted = cookie.build(name, value, secure=ask.visit.site.secure, max_age_s=TRIES_S)
    response.headers.append("set-cookie", counted)
    return response


def _tries(ask: Ask) -> tuple[str, int, int]:
    """The destination's mark, how often this browser was led on for it in this window, and since when.

    Anybody can send such a cookie: it counts against whoever does.
    """
    mark = hashlib.sha256(ask.rd.encode()).hexdigest()[:16]
    now = int(ask.visit.now)
    found = re.fullmatch(r"([0-9a-f]{16})\.([0-9]{1,3})\.([0-9]{1,12})", _kept(ask))
    if found is None or found[1] != mark or not 0 <= now - int(found[3]) < TRIES_S:
        return mark, 0, now
    return mark, int(found[2]), int(found[3])


def _kept(ask: Ask) -> str:
    return ask.visit.cookies.get(f"{ask.visit.site.prefix}-tries", "")


def pasted(query: str, name: str, own: re.Pattern[str], *, folds: bool | None) -> tuple[str, dict[str, str]]:
    """The address that a query has under this name, and the query's other parameters.

    An edge pastes the address as it is: what follows, up to a parameter of the product's `own`, belongs to its query
    (`&` and `;` both part it). `folds` None: only where its query begins unescaped. Pasted, it isn't decoded either.
    """
    parts = re.split(r"([&;])", query)
    found: str | None = None
    pieces, others, is_open = "", [], True
    for number in range(0, len(parts), 2):
        key, _, value = parts[number].partition("=")
        mark = parts[number - 1] if number else "&"
        if found is None and key == name:
            found = value
            is_open = folds if folds is not None else "?" in value
        elif found is not None and is_open and not own.fullmatch(unquote_plus(key)):
            pieces += mark + parts[number]
        else:
            is_open = is_open and found is None
            others.append(parts[number])
    params = dict(parse_qsl("&".join(others), keep_blank_values=True, errors="replace"))
    if found is None:
        return "", params
    url = found if _PASTED.match(found) else unquote_plus(found)
    if pieces and "?" not in url:
        pieces = "?" + pieces[1:]
    return url + pieces, params


Handler = Callable[[Desk, Ask], Awaitable[Response]]
#: what a path does → handler by method
HANDLERS: Final[Mapping[str, Mapping[str, Handler]]] = {
    "start": {"GET": start},
    "sign_in": {"GET": sign_in_page, "POST": sign_in_form},
    "sign_out": {"GET": sign_out, "POST": sign_out},
    "userinfo": {"GET": userinfo},
    "ping": {"GET": ping},
    "ready": {"GET": ready},
    "login": {"GET": login},
    "logout": {"GET": logout, "POST": logout},
    "healthcheck": {"GET": healthcheck},
    "success": {"GET": success},
    "device_code": {"GET": device_code},
    "device_token": {"GET": device_token},
    CALLBACK: {"GET": come_back, "POST": come_back_by_form},
}


# -- below a product's root ---------------------------------------------------------------------

_LINK: Final = re.compile(rb'((?:href|src|action|srcset)=")(?=/@)')


def rooted(response: Response, root: str, base_url: str) -> Response:
    """The answer with the gateway's own addresses where this edge hands them on: `/oauth2/@/…`."""
    location = response.headers.get("location", "")
    for start_ in ("/@", f"{base_url}/@"):
        if location.startswith(start_):
            response.headers["location"] = f"{start_[:-2]}{root}{location[len(start_) - 2 :]}"
    if response.headers.get("content-type", "").startswith("text/html"):
        body = _LINK.sub(rb"\1" + root.encode(), bytes(response.body))
        response.body = body
        response.headers["content-length"] = str(len(body))
    return response
