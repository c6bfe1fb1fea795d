"""The API over a store in memory: real services, no socket, a caller that says what it got."""

from __future__ import annotations

import asyncio
import io
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from tests.unit.web.api.shown import shown_by
from tests.unit.web.asgi import Reply
from vestibule.config.compile import Compiled
from vestibule.core.lifetimes import USUAL
from vestibule.core.machine import Machine, Machines
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, routes_of
from vestibule.core.seal import Key, KeyRing
from vestibule.core.vouched import Standing
from vestibule.core.webhook import Webhook
from vestibule.errors import ProviderUnavailable
from vestibule.fetch import Fetcher
from vestibule.model import Identity, User
from vestibule.observe.log import Log
from vestibule.observe.metrics import Metrics
from vestibule.observe.rates import Rates
from vestibule.observe.traffic import Traffic
from vestibule.service.admin import AdminTokens, Asker
from vestibule.service.app_tokens import AppTokens
from vestibule.service.directory_tokens import DirectoryTokens
from vestibule.service.events import Events, told_limit
from vestibule.service.grants import Grants
from vestibule.service.log_levels import LogLevels
from vestibule.service.machine_keys import MachineKeys
from vestibule.service.org_providers import OrgProviders
from vestibule.service.organisations import Organisations
from vestibule.service.people import People
from vestibule.service.recheck import Rechecks
from vestibule.service.registry import Registry
from vestibule.service.reload import Reloading
from vestibule.service.sessions import Sessions
from vestibule.service.steward import Steward
from vestibule.service.trail import Trail
from vestibule.service.webhooks import Webhooks
from vestibule.store.changes import Changes
from vestibule.store.memory import Store
from vestibule.web.api.app import build
from vestibule.web.api.office import Office

NOW = 1_800_000_000.0
RING = KeyRing((Key("k1", b"0123456789abcdef0123456789abcdef"),))
ROUTES, _ = routes_of([Route(prefix=b"", backend=Backend(internal="echo"), policy=policy_of(allow=()))])
HOST = Host(
    name=b"app.example.com", title="app", clients={}, routes=ROUTES, sign_in=("google",), takes_more=True
)
OTHER = Host(name=b"other.example.com", title="other", clients={}, routes=ROUTES, sign_in=("github",))
OKTA: dict[str, Any] = {
    "id": "okta",
    "provider_type": "oidc",
    "email_domains": ["example.com"],
    "openid_config": {
        "client_id": "0oa1",
        "client_secret": "s3cret-of-okta",
        "issuer_url": "https://example.okta.com",
    },
}


class NoNetwork:
    """A driver whose providers are all away."""

    async def run(self, flow: Any, *, trusted: bool = True, about: str = "") -> Any:
        flow.close()
        raise ProviderUnavailable("it can't be reached")


class ApiDesk:
    """The API and what stands behind it."""

    def __init__(self, random: Callable[[int], bytes] = secrets.token_bytes) -> None:
        self.now = NOW
        self.store = store = Store(ring=RING)
        self.written = io.StringIO()
        log = Log(self.written)
        changes = Changes()
        self.sessions = Sessions(store.sessions, changes, now=lambda: self.now, mono=lambda: self.now)
        self.people = People(store.people, store.invitations, self.sessions, changes, random=random)
        self.people.judge_by(Standing(words={"google": "as it was set up"}))
        self.registry = Registry(
            rows=store.identity_providers,
            keys=RING,
            driver=NoNetwork(),
            table=RouteTable((HOST,)),
            configs={},
            providers={},
            use=lambda offer: None,
            end_sessions=self.sessions.end_by,
            log=log,
            base_urls=lambda host: ("https://app.example.com",),
            now=lambda: self.now,
            organisations=store.organisations,
            random=random,
        )
        self.tokens = AdminTokens(store.admin_tokens, random=random)
        self.app_tokens = AppTokens(store.app_tokens, self.people, changes, random=random)
        self.steward = self._steward(log, changes, random)
        self.events = Events(log, now=lambda: self.now)
        self.events.keep_in(store.audit)
        hook = Webhook(id="ops", url="https://ops.example/hook", secrets=())
        self.webhooks = Webhooks(store.outbox, store.dead_letters, (hook,), Fetcher(transport=None), log)
        self.traffic = Traffic()
        self.rates = Rates()
        self.closing = asyncio.Event()
        self.upgrade_faults: tuple[str, ...] = ()
        self.traffic.subscribe(self.rates.add)
        self.metrics = Metrics(self.traffic, now=lambda: self.now)
        self.texts: dict[str, tuple[str, ...]] = {}
        self.organisations = Organisations(
            store.organisations, changes, sources=(store.organisations,), texts=self._texts, random=random
        )
        self.org_providers = OrgProviders(
            store.identity_providers, self.registry, self.sessions.end_by, now=lambda: self.now
        )
        self.organisations.tell(self.org_providers)
        self.people.tell_arrivals(self.organisations.arrived)
        shown = shown_by(self, RING)
        self.app = build(
            Office(
                people=self.people,
                registry=self.registry,
                tokens=self.tokens,
                app_tokens=self.app_tokens,
                machine_keys=MachineKeys(store.machine_keys, changes, random=random),
                organisations=self.organisations,
                directory_tokens=DirectoryTokens(store.directory, random=random),
                org_providers=self.org_providers,
                machines=Machines.of([Machine(name="backup", kind="key", hosts=(HOST.name.decode(),))]),
                audit=store.audit,
                trail=Trail(store.audit, RING),
                events=self.events,
                webhooks=self.webhooks,
                told=told_limit(),
                steward=self.steward,
                ring=RING,
                metrics=self.metrics,
                traffic=self.traffic,
                rates=self.rates,
                levels=LogLevels(log.levels, changes, later=lambda told: told()),
                closing=self.closing,
                upgrade=self.upgrade,
                reloading=Reloading(shown["in_force"], self._applied, self.events, self.metrics),
                log=log,
                **shown,
            )
        )

    async def upgrade(self) -> tuple[str, ...]:
        return self.upgrade_faults

    async def _applied(self, _compiled: Compiled) -> None:
        """Nothing at this desk goes by a configuration."""

    async def _texts(self, name: str) -> tuple[str, ...]:
        """What the DNS says at this name."""
        return self.texts.get(name, ())

    def _steward(self, log: Log, changes: Changes, random: Callable[[int], bytes]) -> Steward:
        self.grants = grants = Grants(
            self.store.grants,
            self.store.leases,
            self.sessions,
            changes,
            RING,
            refreshers={},
            driver=NoNetwork(),
        )
        rechecks = Rechecks(self.sessions, grants, changes, NoNetwork(), log, now=lambda: self.now)
        rechecks.tell(self.people)
        return Steward(
            sessions=self.sessions,
            people=self.people,
            rechecks=rechecks,
            ring=RING,
            table=lambda: RouteTable((HOST, OTHER)),
            span=USUAL.span,
            random=random,
        )

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of the log."""
        return [msgspec.json.decode(line) for line in self.written.getvalue().splitlines()]

    @property
    def changes(self) -> list[tuple[str, str, str]]:
        """(who, what, target) of each change that was logged."""
        return [
            (one["who"], one["what"], one["target"]) for one in self.log if one["event"] == "admin_change"
        ]

    def person(self, number: int = 1, **fields: Any) -> User:
        """A user, come by Google."""
        fields = {
            "name": f"Person {number}",
            "login": f"p{number}",
            "email": f"p{number}@example.com",
        } | fields
        identity = Identity(client="google", issuer="https://a.example", subject=str(number), **fields)
        self.now += 1
        user = self.do(self.people.admit(identity, self.now, kind="google"))
        assert user is not None
        return user

    def do(self, work: Any) -> Any:
        return asyncio.run(work)

    def call(self, method: str, path: str, value: Any = None, **options: Any) -> Reply:
        """Ask `/api/v1` + path over the socket, or as the options say: `body`, `headers`, `is_owner`, `address`, `prefix`."""
        body = options.pop("body", b"" if value is None else msgspec.json.encode(value))
        return asyncio.run(self._call(self.scope(method, path, body, **options), body))

    async def ask(self, method: str, path: str, **options: Any) -> Reply:
        """The same in a story that goes on."""
        return await self._call(self.scope(method, path, **options), b"")

    def scope(self, method: str, path: str, body: bytes = b"", **options: Any) -> dict[str, Any]:
        """The ASGI scope of such a call."""
        headers = {"content-type": "application/json"} if body else {}
        headers |= options.get("headers", {})
        pairs = [(name.encode(), text.encode("latin-1")) for name, text in headers.items()]
        pairs += options.get("more", [])
        target, _, query = path.partition("?")
        prefix = options.get("prefix", "/api/v1")
        asker = Asker(
            is_owner=options.get("is_owner", True),
            address=options.get("address", ""),
            request_id="req-0123",
            now=self.now,
        )
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": f"{prefix}{target}",
            "raw_path": f"{prefix}{target}".encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": pairs,
            "client": (asker.address, 1),
            "server": ("localhost", 80),
            "state": {"asker": asker},
        }

    async def _call(self, scope: dict[str, Any], body: bytes) -> Reply:
        sent: list[Any] = []

        got: list[bool] = []

        async def receive() -> dict[str, Any]:
            if got:
                await asyncio.Event().wait()  # who asked stays
            got.append(True)
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        assert [message["type"] for message in sent[:1]] == ["http.response.start"]
        headers = [(name.decode(), text.decode("latin-1")) for name, text in sent[0]["headers"]]
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Reply(status=sent[0]["status"], raw_headers=headers, body=content)
