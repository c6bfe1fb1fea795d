"""A caller of ASGI applications without sockets, a sign-in service that only remembers, and a reader of pages."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable, Mapping
from html.parser import HTMLParser
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette

from vestibule.core.app import App, Apps
from vestibule.core.machine import Machine, Machines
from vestibule.core.route import Host, RouteTable, Site
from vestibule.core.seal import Key, KeyRing
from vestibule.model import Identity, Session
from vestibule.observe.log import Log
from vestibule.service.app_tokens import AppTokens
from vestibule.service.authorizing import Authorizing
from vestibule.service.device_flow import DeviceFlow
from vestibule.service.devices import Devices
from vestibule.service.ended_tokens import EndedTokens
from vestibule.service.events import Events
from vestibule.service.handoff import Handoffs
from vestibule.service.issuing import Issuing
from vestibule.service.locker import Locker
from vestibule.service.logout import Logouts
from vestibule.service.machine_keys import MachineKeys
from vestibule.service.machines import MachineTokens
from vestibule.service.minting import Minting
from vestibule.service.native import Native
from vestibule.service.outcome import Begun, Choice, Failed, Finished, SignedOut
from vestibule.service.password_form import PasswordForm
from vestibule.service.people import People
from vestibule.service.recheck import Rechecks
from vestibule.service.registered_apps import RegisteredApps
from vestibule.service.sessions import Sessions
from vestibule.service.signin import SignIn
from vestibule.service.tries import SharedTries
from vestibule.service.visit import Visit
from vestibule.store import memory_events
from vestibule.store.changes import Changes
from vestibule.store.memory import Store
from vestibule.web.app import build
from vestibule.web.pages import Pages

PAGES = Pages()
BASE = "https://forum.example"

HOST = Host(
    name=b"forum.example",
    title="forum",
    clients={"google": "google", "github": "github", "drive": "forum.example/drive"},
    sign_in=("google", "github"),
)
ALICE = Identity(
    client="google",
    issuer="https://accounts.google.com",
    subject="a-1",
    name="Alice Liddell",
    login="alice",
    email="alice@example.com",
)


def session_of(
    *identities: Identity, clients: tuple[str, ...] = ("google",), user_id: str = "u-1"
) -> Session:
    return Session(
        id="permanent-session-id",
        host="forum.example",
        created_at=1_000.0,
        seen_at=2_000.0,
        expires_at=600_000.0,
        idle_s=86_400.0,
        user_id=user_id if identities else "",
        identities=identities,
        clients=clients,
    )


SIGNED_IN = session_of(ALICE)


def visit(session: Session | None = None, host: Host = HOST, base_url: str = BASE) -> Visit:
    return Visit(
        host=host,
        site=Site(base_url=base_url, cookie="__Host-vestibule", secure=True),
        session=session,
        address="192.0.2.1",
        user_agent="test",
        request_id="req-0123",
        now=2_000.0,
        cookies={},
    )


class FakeSignIn(SignIn):
    """Answers with fixed values and keeps what it was asked; `raising` makes the acting methods fail."""

    def __init__(self) -> None:
        self.realms: frozenset[str] = frozenset()
        self.calls: list[tuple[Any, ...]] = []
        self.raising: Exception | None = None
        self.sign_out_location = ""
        self._hosts = frozenset({"wiki.example"})
        none: Any = None
        self.handoffs = Handoffs(none, none, none, none, return_to=self.return_to)
        self.form = PasswordForm(none, none, none)

    def chooser(
        self,
        visit: Visit,
        *,
        rd: str = "",
        hints: Mapping[str, str] | None = None,
        within: Host | None = None,
    ) -> tuple[Choice, ...]:
        titles = {"google": "Google", "github": "GitHub"}
        wanted = (hints or {}).get("provider", "")
        chosen = [full for full in visit.host.sign_in if full == wanted] or visit.host.sign_in
        return tuple(
            Choice(client=full, title=titles[full], url=f"/@{full}/signin?rd={quote(rd, safe='')}")
            for full in chosen
        )

    async def begin(
        self, visit: Visit, client: str, *, rd: str = "", hints: Mapping[str, str] | None = None
    ) -> Begun:
        self._called("begin", client, rd, dict(hints or {}))
        return Begun("https://idp.example/authorize?x=1", ("flow=1; Path=/", "old=; Max-Age=0"))

    async def finish(self, visit: Visit, client: str, params: Mapping[str, str]) -> Finished:
        self._called("finish", client, dict(params))
        return Finished("/there?x=1", ("__Host-vestibule=h; Path=/", "flow=; Max-Age=0"))

    async def park_answer(self, visit: Visit, client: str, params: Mapping[str, str]) -> str:
        self._called("park_answer", client, dict(params))
        return f"/@{client}/callback?parked=k&state=s"

    def failed(self, visit: Visit, client: str, params: Mapping[str, str]) -> Failed:
        return Failed(f"/@{client}/signin?rd=%2Fdeep", ("flow=; Max-Age=0",), "/deep")

    async def sign_out(self, visit: Visit, client: str | None = None, *, rd: str = "") -> SignedOut:
        self._called("sign_out", client, rd)
        return SignedOut(self.sign_out_location or rd or "/@/signedout", ("__Host-vestibule=; Max-Age=0",))

    def _called(self, *call: Any) -> None:
        self.calls.append(call)
        if self.raising is not None:
            raise self.raising


class Reply(msgspec.Struct, frozen=True):
    """What the application sent."""

    status: int
    raw_headers: list[tuple[str, str]]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        return dict(self.raw_headers)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def cookies(self) -> list[str]:
        return [value for name, value in self.raw_headers if name == "set-cookie"]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def minting(store: Store, people: People, changes: Changes, *hosts: Host) -> Minting:
    """Forms for app tokens, over a store in memory."""
    tokens = AppTokens(store.app_tokens, people, changes)
    events = Events(Log())
    events.keep_in(store.audit)
    return Minting(Locker(store.parking, KeyRing((Key("k1", b"1" * 32),))), tokens, RouteTable(hosts), events)


def remembered(store: Store) -> Devices:
    """Devices and events, in memory; their lines of the log stand apart."""
    log = Log(io.StringIO())
    events = Events(log)
    events.keep_in(memory_events.Audit(memory_events.Outbox()))
    return Devices(memory_events.Devices(store.people), events, KeyRing((Key("k1", b"1" * 32),)), log)


RING = KeyRing((Key("k1", b"1" * 32),))


class Programs:
    """What apps come to, over a store in memory: the arguments of `build` that are about them."""

    def __init__(  # noqa: PLR0917 - at one place
        self,
        store: Store,
        people: People,
        sessions: Sessions,
        changes: Changes,
        events: Events,
        driver: Any = None,
        providers: Mapping[str, Any] = MappingProxyType({}),
        hosts: Iterable[Host] = (),
        apps: Iterable[App] = (),
        machines: Iterable[Machine] = (),
    ) -> None:
        grants: Any = None
        locker = Locker(store.parking, RING)
        rechecks = Rechecks(sessions, grants, changes, driver, Log(io.StringIO()))
        issuing = Issuing(Apps.of(apps), sessions, rechecks, RING, events)
        table = RouteTable(hosts)
        self.authorizing = Authorizing(issuing, sessions, locker, RING, lambda: table)
        self.device_flow = DeviceFlow(self.authorizing, store.parking, locker, RING, SharedTries(store.tries))
        self.logouts = Logouts(sessions, None, store.parking, people, driver)  # type: ignore[arg-type]
        self.native = Native(
            self.authorizing,
            people,
            store.marks,
            locker,
            driver,
            providers,
            ended_since=self.logouts.ended_since,
        )
        self.machines = MachineTokens(
            Machines.of(machines),
            {},
            MachineKeys(store.machine_keys, changes),
            RING,
            events,
            ended=EndedTokens(store.parking, changes),
        )
        self.registered = RegisteredApps(
            locker,
            SharedTries(store.tries),
            hosts=self.authorizing.hosts,
            host=self.authorizing.host,
            events=events,
        )

    def built(self, *before: Any, log: Log) -> Starlette:
        """The application; `before` are the arguments that are not about apps."""
        return build(
            *before,
            self.authorizing,
            self.device_flow,
            self.machines,
            self.native,
            self.registered,
            PAGES,
            log=log,
        )


class Desk:
    """The application with its fakes around it."""

    def __init__(self) -> None:
        self.signin = FakeSignIn()
        store, changes = Store(), Changes()
        sessions = Sessions(store.sessions, changes)
        self.people = People(store.people, store.invitations, sessions, changes)
        self._log = io.StringIO()
        devices = remembered(store)
        self.app = Programs(store, self.people, sessions, changes, devices.events).built(
            self.signin,
            self.people,
            minting(store, self.people, changes),
            devices,
            log=Log(self._log),
        )

    @property
    def logged(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        return [msgspec.json.decode(line) for line in self._log.getvalue().splitlines()]

    def call(
        self,
        target: str,
        method: str = "GET",
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        visit: Visit | None = None,
        body: bytes = b"",
    ) -> Reply:
        return asyncio.run(self.ask(target, method, headers, visit, body))

    async def ask(
        self, target: str, method: str, headers: Any, the_visit: Visit | None, body: bytes = b""
    ) -> Reply:
        path, _, query = target.partition("?")
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers or ())
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
            "client": ("192.0.2.1", 1),
            "server": ("forum.example", 443),
            "state": {"visit": the_visit or visit()},
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = sent[0]
        return Reply(
            status=start["status"],
            raw_headers=[(name.decode(), value.decode("latin-1")) for name, value in start["headers"]],
            body=b"".join(message.get("body", b"") for message in sent[1:]),
        )


_TAGS = {
    "footer",
    "picture",
    "source",
    "input",
    "label",
    "select",
    "option",
    "html",
    "head",
    "meta",
    "title",
    "link",
    "style",
    "body",
    "main",
    "svg",
    "path",
    "p",
    "h1",
    "h2",
    "dl",
    "dt",
    "dd",
    "div",
    "a",
    "form",
    "button",
    "ul",
    "li",
    "img",
    "span",
    "strong",
    "time",
    "code",
}
_ATTRIBUTES = {
    "srcset",
    "aria-describedby",
    "aria-invalid",
    "autocapitalize",
    "autocomplete",
    "checked",
    "selected",
    "for",
    "id",
    "inputmode",
    "maxlength",
    "required",
    "role",
    "target",
    "spellcheck",
    "value",
    "lang",
    "dir",
    "media",
    "charset",
    "name",
    "content",
    "rel",
    "type",
    "href",
    "class",
    "viewbox",
    "width",
    "height",
    "aria-hidden",
    "focusable",
    "d",
    "src",
    "alt",
    "method",
    "action",
    "form",
}


class Inert(HTMLParser):
    """Reads a page; fails where it holds a tag, attribute or address that no template of ours has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.forms: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _TAGS, tag
        self.tags.append(tag)
        for name, value in attrs:
            assert name in _ATTRIBUTES, (tag, name)
            if name == "form":
                assert (tag, value) == ("input", "by-password")
            if name == "target":
                assert (tag, value, dict(attrs).get("rel")) == ("a", "_blank", "noopener")
            if name in {"href", "src", "srcset", "action"}:
                self._address(tag, name, value or "")

    def _address(self, tag: str, name: str, value: str) -> None:
        own = value == "" or (value.startswith("/") and not value.startswith(("//", "/\\")))
        assert own, value
        if tag == "a":
            self.links.append(value)
        if name == "action":
            self.forms.append(value)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


XSS = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "--><svg/onload=alert(1)>",
    "{{ 7 * 7 }}{% include 'x' %}",
    '${env("PATH")}',
    '//evil.example/"><b>',
    "/\\evil.example",
    "https://evil.example/",
    '/ok" autofocus onfocus=alert(1) x="',
    "&lt;script&gt;",
    "&#60;script&#62;alert(1)",
    "<a href=//evil.example>click",
    "<base href=//evil.example>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><button>",
    "\u202e<\u200bscript>",
    "\r\nSet-Cookie: a=b",
    "\r\n\r\n<script>",
)
