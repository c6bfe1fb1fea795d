"""The control plane's application: the table of the gateway's own paths, and what holds for all of them.

It is called with `scope["state"]["visit"]` set (`service.visit.Visit`); the gateway has read host, cookies
and target before, and nothing here reads them again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from vestibule.core.app import OWN_RESOURCE_PATH, RESOURCE_PATH, SERVER_PATH
from vestibule.errors import BadRequest, ClientError, VestibuleError
from vestibule.observe.log import Log
from vestibule.service.authorizing import Authorizing
from vestibule.service.device_flow import DeviceFlow
from vestibule.service.devices import Devices
from vestibule.service.events import acting
from vestibule.service.machines import MachineTokens
from vestibule.service.minting import Minting
from vestibule.service.native import Native
from vestibule.service.people import People
from vestibule.service.registered_apps import RegisteredApps
from vestibule.service.signin import SignIn
from vestibule.web import (
    account,
    app_registration,
    authorize,
    callback,
    compat,
    cors,
    device,
    devices,
    domain,
    logout,
    metadata,
    registering,
    registration,
    saml,
    session,
    signin,
    signout,
    token,
    tokens,
)
from vestibule.web.answers import Desk, answer, crash, failure, redirect
from vestibule.web.asking import Ask, ask_of, check_post
from vestibule.web.native import REGISTRATION_PATH
from vestibule.web.page import COMMON_HEADERS
from vestibule.web.pages import Pages

Handler: TypeAlias = Callable[[Desk, Ask], Awaitable[Response]]


async def static(desk: Desk, ask: Ask) -> Response:
    """`/@/static/NAME`: a file of the pages, good for ever under this name."""
    page = desk.pages.static(ask.path, ask.scene())
    if page is None:
        raise ClientError("there is no such file", code="not_found", status=404)
    return answer(page)


async def health(_desk: Desk, _ask: Ask) -> Response:
    """`/@/healthz`: the whole program answers, and asks nothing of who asks."""
    return Response("ok\n", media_type="text/plain", headers=dict(COMMON_HEADERS))


#: path → handler by method; HEAD is answered as GET, what stands nowhere is 404 and any other method 405
PATHS: Mapping[str, Mapping[str, Handler]] = MappingProxyType(
    {
        "/@/signin": {"GET": signin.sign_in, "POST": signin.by_password},
        "/@/enter": {"GET": domain.enter},
        "/@/signout": {"GET": signout.sign_out, "POST": signout.sign_out_by_post},
        "/@/signedout": {"GET": signout.signed_out},
        "/@/session": {"GET": session.session},
        "/@/healthz": {"GET": health},
        "/@/account": {"GET": account.account},
        "/@/account/register": {"GET": registration.register, "POST": registration.register_by_post},
        "/@/account/register/cancel": {"POST": registration.cancel},
        "/@/account/link": {"GET": account.link_page, "POST": account.confirm_link},
        "/@/account/link/{client}": {"POST": account.link},
        "/@/account/unlink": {"POST": account.unlink},
        "/@/account/tokens": {"GET": tokens.tokens, "POST": tokens.make},
        "/@/account/tokens/revoke": {"POST": tokens.revoke},
        "/@/account/export": {"GET": account.export},
        "/@/account/delete": {"GET": account.delete_page, "POST": account.delete},
        "/@/account/signout": {"POST": account.sign_out_all},
        "/@/account/devices/signout": {"POST": devices.sign_out_device},
        "/@/account/devices/signout_others": {"POST": devices.sign_out_others},
        "/@/authorize": {"GET": authorize.authorize, "POST": authorize.confirm},
        "/@/token": {"POST": token.token},
        "/@/revoke": {"POST": token.revoke},
        "/@/introspect": {"POST": token.introspect},
        REGISTRATION_PATH: {"POST": registering.register},
        "/@/device": {"GET": device.device, "POST": device.typed},
        "/@/device/code": {"POST": device.code},
        app_registration.REGISTER_PATH: {"POST": app_registration.register},
        SERVER_PATH: {"GET": metadata.server},
        f"{SERVER_PATH}/{{below:path}}": {"GET": metadata.server},
        OWN_RESOURCE_PATH: {"GET": metadata.resource},
        RESOURCE_PATH: {"GET": metadata.resource},
        f"{RESOURCE_PATH}/{{below:path}}": {"GET": metadata.resource},
        "/@/static/{name}": {"GET": static},
        "/@{client}/signin": {"GET": signin.client_sign_in},
        "/@{client}/callback": {"GET": callback.callback, "POST": callback.form_post},
        "/@{client}/signout": {"GET": signout.sign_out, "POST": signout.sign_out_by_post},
        "/@{client}/backchannel": {"POST": logout.back_channel},
        "/@{client}/frontchannel": {"GET": logout.front_channel},
        "/@{client}/metadata": {"GET": saml.metadata},
        "/@{client}/logout": {"GET": saml.logout, "POST": saml.logout},
    }
)
#: the handlers that get POSTs of other origins: providers send them, and they do nothing but park what came; or, a
#: logout token, what it says and no cookie; so do apps
_ANY_ORIGIN = frozenset(
    {
        callback.form_post,
        callback.registered_form_post,
        compat.come_back_by_form,
        logout.back_channel,
        saml.logout,
        token.token,
        token.revoke,
        token.introspect,
        device.code,
        app_registration.register,
        registering.register,
        cors.preflight,
    }
)

#: what browsers may be asked by clients of MCP, whichever site's page those are (`web.cors`)
_OPEN = frozenset(
    {token.token, token.revoke, app_registration.register, metadata.server, metadata.resource, cors.preflight}
)

#: what providers ask for
_PROVIDERS = frozenset({logout.back_channel, logout.front_channel, saml.logout})


def build(  # noqa: PLR0917 - at one place
    signin: SignIn,
    people: People,
    minting: Minting,
    remembered: Devices,
    authorizing: Authorizing,
    device_flow: DeviceFlow,
    machines: MachineTokens,
    native: Native,
    registered: RegisteredApps,
    pages: Pages,
    *,
    log: Log,
) -> Starlette:
    """The ASGI application. `log` gets one line for every error, with the `id` that the page shows."""
    desk = Desk(
        signin=signin,
        people=people,
        minting=minting,
        devices=remembered,
        authorizing=authorizing,
        device_flow=device_flow,
        machines=machines,
        native=native,
        registered=registered,
        pages=pages,
        log=log.of("signin"),
    )
    routes = [
        Route(path, _endpoint(desk, handlers), methods=list(handlers), name=path)
        for path, handlers in PATHS.items()
    ]
    readable = (path for path, handlers in PATHS.items() if _OPEN.intersection(handlers.values()))
    routes[:0] = [_Preflight(path, desk) for path in readable]
    routes += [
        _Products(what, _endpoint(desk, handlers), methods=list(handlers))
        for what, handlers in compat.HANDLERS.items()
    ]
    at_registered = {"GET": callback.registered, "POST": callback.registered_form_post}
    routes.append(
        _Registered("/", _endpoint(desk, at_registered), methods=list(at_registered), name="callbacks")
    )
    app = Starlette(routes=routes, exception_handlers={HTTPException: _unrouted(desk)})
    app.router.redirect_slashes = False
    return app


class _Preflight(Route):
    """What browsers ask first of paths that pages of other sites may read."""

    def __init__(self, path: str, desk: Desk) -> None:
        super().__init__(path, _endpoint(desk, {"OPTIONS": cors.preflight}), methods=["OPTIONS"], name=path)
        self._desk = desk

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is not Match.FULL or not cors.is_open(self._desk, scope["state"]["visit"].host):
            return Match.NONE, {}
        return match, child


class _Products(Route):
    """The paths of other products that do this on the host in question."""

    def __init__(
        self, what: str, endpoint: Callable[[Request], Awaitable[Response]], *, methods: list[str]
    ) -> None:
        super().__init__("/", endpoint, methods=methods, name=what)
        self._what = what

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        claim = scope["state"]["visit"].host.claim(scope["path"].encode("ascii"))
        if claim is None or claim.what != self._what:
            return Match.NONE, {}
        return _matched(self, scope)


class _Registered(Route):
    """The paths that clients of the host in question registered as redirect URLs."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["path"].encode("ascii") not in scope["state"]["visit"].host.callbacks:
            return Match.NONE, {}
        return _matched(self, scope)


def _matched(route: Route, scope: Scope) -> tuple[Match, Scope]:
    """A path of the route's; whether the method is, too."""
    is_method = route.methods is not None and scope["method"] in route.methods
    child: Scope = {"endpoint": route.endpoint, "path_params": {}}
    return (Match.FULL if is_method else Match.PARTIAL), child


def _endpoint(desk: Desk, handlers: Mapping[str, Handler]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        handler = handlers["GET" if request.method == "HEAD" else request.method]
        response = await _guarded(desk, request, handler)
        if handler in _OPEN:
            response = cors.opened(desk, request.scope["state"]["visit"].host, response)
        return _placed(request, response)

    return endpoint


async def _guarded(desk: Desk, request: Request, handler: Handler) -> Response:
    """Run the handler behind the checks all share; whatever is raised becomes a page, never a traceback."""
    try:
        ask = ask_of(request)
    except BadRequest as error:
        return failure(desk, ask_of(_without_query(request)), error)
    try:
        if there := domain.elsewhere(ask):
            return redirect(there)
        if ask.method not in {"GET", "HEAD"}:
            if handler not in _ANY_ORIGIN:
                check_post(ask)
            ask = msgspec.structs.replace(ask, body=await request.body())
        if ask.client and ask.client not in ask.visit.host.clients:
            raise ClientError("this site has no such sign-in", code="client_unknown", status=404)  # noqa: TRY301
        visit = ask.visit
        with acting(_actor(ask, handler), address=visit.address, request_id=visit.request_id):
            return await handler(desk, ask)
    except VestibuleError as error:
        return failure(desk, ask, error)
    except Exception as error:  # noqa: BLE001 - the last line of defence: logged with its id, answered with a page
        return crash(desk, ask, error)


def _actor(ask: Ask, handler: Handler) -> str:
    """Who is taken for the one who does what this request asks for."""
    if handler in _PROVIDERS:
        return f"provider {ask.visit.host.clients[ask.client]}"
    session = ask.visit.session
    return f"user {session.user_id}" if session is not None and session.user_id else ""


def _placed(request: Request, response: Response) -> Response:
    """The answer with its links where the edge in front hands them on."""
    visit = request.scope["state"]["visit"]
    return compat.rooted(response, visit.root, visit.site.base_url) if visit.root else response


def _unrouted(desk: Desk) -> Callable[[Request, Exception], Awaitable[Response]]:
    """The answer where no path or no method matched."""

    async def unrouted(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        code = "method_not_allowed" if status == 405 else "not_found"
        ask = ask_of(_without_query(request))
        response = failure(desk, ask, ClientError(code, code=code, status=status))
        for name, value in (getattr(error, "headers", None) or {}).items():
            response.headers[name] = value
        return _placed(request, response)

    return unrouted


def _without_query(request: Request) -> Request:
    return Request({**request.scope, "query_string": b""})
