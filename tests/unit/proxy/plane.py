"""The whole data plane without sockets: gateway, sessions in memory, backends as bytes.

plane = Plane(loop)
handle = plane.sign_in("ada@app.example")
answer = plane.get(b"/a", cookie=handle)        # what the client gets
plane.backend.requests                          # what the backend got, read by another parser
"""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterable

from tests.helpers.messages import Message, UnreadableError, read_requests
from tests.helpers.transport import FakeLoop, FakeServer, FakeTransport
from tests.unit.proxy.client_h2 import H2Client
from tests.unit.proxy.conftest import Client, PlainListener
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, Route, RouteTable, Server, routes_of
from vestibule.core.rule import Rule
from vestibule.core.seal import Key, KeyRing
from vestibule.errors import ClientError, StoreError
from vestibule.model import Account, Caller, Device, Identity, Session, User
from vestibule.observe.log import Log
from vestibule.observe.traffic import Traffic
from vestibule.protocol.address import Networks
from vestibule.protocol.websocket import accept_of
from vestibule.proxy.forward.edges import Edges
from vestibule.proxy.forward.verdict import Verdicts
from vestibule.proxy.gateway import Gateway
from vestibule.proxy.judge import Judge
from vestibule.proxy.lasting import Lasting
from vestibule.proxy.pool import Pools
from vestibule.proxy.teller import Teller
from vestibule.service.assertion import Assertions
from vestibule.service.sessions import SESSION, Sessions
from vestibule.store.changes import Changes
from vestibule.store.memory import Store

PUBLIC = (Rule(kind="public", text="public"),)
ANYONE = (Rule(kind="anyone", text="anyone"),)
SERVER = Server(host="127.0.0.1", port=9000)
DOWNSTREAMS = {"h1": Client, "h2": H2Client}
RING = KeyRing((Key("k1", b"k" * 32),))
NOW_AT = 1_800_000_000.0


def ok(body: bytes = b"", *lines: bytes) -> bytes:
    """A whole answer of a backend."""
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"Content-Length: %d" % len(body), b"", body))


def switched(request: Message) -> bytes:
    """The answer of a backend that speaks WebSocket to whoever asks for that."""
    accept = accept_of(request.value(b"sec-websocket-key") or b"")
    lines = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Accept: " + accept, b"", b"")
    return b"\r\n".join((b"HTTP/1.1 101 Switching Protocols", *lines))


class FakeBackend(FakeServer):
    """Reads whole requests and answers each by `answers(request)`; None: not yet."""

    def __init__(self, loop: FakeLoop) -> None:
        super().__init__()
        self.loop = loop
        self.answers: Callable[[Message], bytes | None] = lambda request: ok(b"from " + request.target)
        self.requests: list[Message] = []
        self._read: dict[int, int] = {}

    def look(self) -> None:
        """Read what has come, and answer it, as long as there is more."""
        before = -1
        while before != len(self.requests):
            before = len(self.requests)
            self._look_once()

    def _look_once(self) -> None:
        for connection in list(self.connections):
            data = connection.written[self._read.get(id(connection), 0) :]
            try:
                found = read_requests(data)
            except UnreadableError:
                continue
            self._read[id(connection)] = len(connection.written)
            for request in found:
                self.requests.append(request)
                answer = self.answers(request)
                if answer is not None:
                    connection.receive(answer)

    @property
    def request(self) -> Message:
        assert len(self.requests) == 1, self.requests
        return self.requests[0]

    @property
    def got(self) -> bytes:
        """Every byte that ever went out."""
        return b"".join(connection.written + connection.unsent for connection in self.connections)

    @property
    def last(self) -> FakeTransport:
        return self.connections[-1]


class PlainAnswers:
    """The gateway's own answers, in their barest form."""

    def make(
        self,
        head,
        *,
        status,
        code,
        reason="",
        request_id="",
        host=None,
        session=None,
        sign_in="",
        decided_by=(),
        as_json=False,
    ):
        body = json.dumps({"code": code, "reason": reason, "id": request_id, "sign_in": sign_in}).encode()
        kind = b"json" if as_json else b"page"
        return b"HTTP/1.1 %d Plain" % status, [b"Code: " + code.encode(), b"Kind: " + kind], body

    def is_navigation(self, head) -> bool:
        return head.method in {b"GET", b"HEAD"} and head.value(b"sec-fetch-mode") == b"navigate"


class PlainControl:
    """The control plane: notes visits, answers with the path."""

    def __init__(self) -> None:
        self.visits: list = []
        self.error: Exception | None = None

    def begin(self, exchange, visit, faults) -> None:
        self.visits.append(visit)
        if self.error is not None:
            faults(exchange, self.error)
        else:
            exchange.answer(b"HTTP/1.1 200 OK", [b"Own: yes"], exchange.head.target.path)


class PlainInternal:
    def begin(self, exchange, backend, lines, way=None) -> None:
        exchange.answer(b"HTTP/1.1 200 OK", [], b"\n".join(lines))


class AwayStore:
    """The store's sessions; while `is_away`, each call raises StoreError."""

    def __init__(self, part) -> None:
        self._part = part
        self.is_away = False
        self.fault: Exception | None = None
        self.gate: asyncio.Future[None] | None = None
        """While it is not done, every call waits."""

    def __getattr__(self, name: str):
        method = getattr(self._part, name)

        async def call(*args, **kwargs):
            if self.gate is not None:
                await self.gate
            if self.fault is not None:
                raise self.fault
            if self.is_away:
                raise StoreError("the store is away", detail="disk")
            return await method(*args, **kwargs)

        return call


def host(name: bytes, *routes: Route, base_url: str = "", sign_in: tuple[str, ...] = ("google",)) -> Host:
    table, depth = routes_of(routes)
    return Host(
        name=name,
        title=name.decode(),
        clients={client: client for client in sign_in},
        sign_in=sign_in,
        base_url=base_url,
        routes=table,
        depth=depth,
    )


def route(
    prefix: bytes = b"",
    allow: Iterable[Rule] = ANYONE,
    *,
    backend: Backend | None = None,
    sign_in: frozenset[str] = frozenset({"google"}),
    methods: frozenset[bytes] = frozenset(),
    limit: int | None = None,
) -> Route:
    policy = policy_of(allow=tuple(allow), sign_in=sign_in, methods=methods)
    return Route(
        prefix=prefix,
        backend=backend or Backend(servers=(SERVER,)),
        policy=policy,
        body_limit_bytes=limit,
    )


HOSTS = (
    host(
        b"app.example",
        route(),
        route(b"/public", PUBLIC),
        route(b"/admin", (Rule(kind="email", value="root@app.example", text="email:root@app.example"),)),
        route(b"/get", PUBLIC, methods=frozenset({b"GET", b"HEAD"})),
        route(b"/small", PUBLIC, limit=10),
        route(b"/echo", PUBLIC, backend=Backend(internal="echo")),
    ),
    host(b"other.example", route(), sign_in=("google",)),
    host(b"closed.example", route(sign_in=frozenset()), sign_in=()),
)


class NoRechecks:
    """No session is due, unless a test says which: then `answer` is what came of asking."""

    def __init__(self) -> None:
        self.due: set[str] = set()
        self.answer: Session | Exception | None = None
        self.asked = 0

    def is_due(self, session: Session, now: float = 0.0) -> bool:
        """As `service.recheck.Rechecks`."""
        return session.id in self.due

    async def checked(self, session: Session) -> Session | None:
        """As `service.recheck.Rechecks`."""
        if not self.is_due(session):
            return session
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer is not None:
            self.due.discard(session.id)
        return self.answer


class NoCallers:
    """Takes the credentials in `known`; any other is the backend's."""

    def __init__(self) -> None:
        self.known: dict[bytes, Caller | ClientError] = {}
        self.loaded: set[bytes] = set()
        self.live_keys: set[str] = set()
        """Of machines."""
        self.keys_are_away = False

    def peek_key(self, key_id):
        return None

    async def load_key(self, key_id, now):
        if self.keys_are_away:
            raise StoreError("away")
        return key_id in self.live_keys

    def takes(self, host, authorization):
        return authorization in self.known

    def peek(self, host, authorization):
        found = self.known[authorization]
        return found if authorization in self.loaded and isinstance(found, Caller) else None

    async def load(self, host, authorization, address, now):
        found = self.known[authorization]
        if isinstance(found, ClientError):
            raise found
        self.loaded.add(authorization)
        return found


class Plane:
    client_type: type[Client | H2Client] = Client
    """By which protocol clients come."""

    def __init__(self, loop: FakeLoop, *, trusted: Iterable[str] = (), hosts: Iterable[Host] = HOSTS) -> None:
        self.loop = loop
        self.at = NOW_AT
        self.backend = loop.network["127.0.0.1", 9000] = FakeBackend(loop)
        self.store = Store()
        self.away = AwayStore(self.store.sessions)
        self.changes = Changes()
        self.log_text = io.StringIO()
        self.log = Log(self.log_text, now=self.now)
        self.traffic = Traffic()
        self.pools = Pools(loop.time)
        self.control = PlainControl()
        self.answers = PlainAnswers()
        self.rechecks = NoRechecks()
        self.sessions = Sessions(self.away, self.changes, now=self.now, mono=loop.time)
        self.lasting = Lasting(self.sessions, self.rechecks, now=self.now)
        table = RouteTable(hosts)
        self.callers = NoCallers()
        self.assertions = Assertions(self.store.signing_keys, RING, self.log, are_wanted=True, now=self.now)
        self.judge = Judge(
            table=table,
            sessions=self.sessions,
            rechecks=self.rechecks,
            callers=self.callers,
            lasting=self.lasting,
            trusted=Networks.parse(trusted),
            ring=RING,
            log=self.log,
            now=self.now,
        )
        teller = Teller(RING, self.assertions, now=self.now)
        self.edges = Edges(
            Verdicts(self.judge, teller),
            self.judge.trusted,
            self.answers,
            self.traffic,
            self.log,
            now=self.now,
        )
        self.gateway = Gateway(
            table=table,
            judge=self.judge,
            teller=teller,
            pools=self.pools,
            answers=self.answers,
            control=self.control,
            internal=PlainInternal(),
            edges=self.edges,
            traffic=self.traffic,
            log=self.log,
            now=self.now,
        )
        self.changes.subscribe(SESSION, self.lasting.session_changed)
        self.listener = PlainListener(self.gateway, loop)

    def now(self) -> float:
        return self.at

    def sign_in(self, email: str = "ada@app.example", at: str = "app.example", **fields) -> str:
        """A session's handle."""
        identity = Identity(client="google", issuer="https://google", subject="1", email=email, **fields)
        user = User(id="u1", created_at=self.at)
        account = Account(issuer=identity.issuer, subject="1", user_id="u1", client="google")
        self.loop.wait(self.store.people.register(user, account))
        session, handle = self.loop.wait(
            self.sessions.start(
                host=at,
                user_id="u1",
                identities=(identity,),
                clients=("google",),
                device=Device(),
                now=self.at,
            )
        )
        self.session = session
        return handle

    def client(self, peer: tuple[str, int] | str = ("192.0.2.7", 40000)) -> Client | H2Client:
        return self.client_type(self.loop, self.listener, peer)

    def exchange(
        self, data: bytes, *, peer: tuple[str, int] | str = ("192.0.2.7", 40000), method=b"GET"
    ) -> Message:
        """The answer to one request on a connection of its own."""
        client = self.client(peer).send(data)
        self.backend.look()
        answers = client.answers(method)
        assert len(answers) == 1, answers
        return answers[0]

    def get(
        self,
        target: bytes,
        *lines: bytes,
        cookie: str | bytes = b"",
        method: bytes = b"GET",
        host: bytes = b"app.example",
        peer: tuple[str, int] | str = ("192.0.2.7", 40000),
    ) -> Message:
        return self.exchange(
            request(target, *lines, cookie=cookie, method=method, host=host), peer=peer, method=method
        )

    @property
    def log_lines(self) -> list[dict]:
        return [json.loads(line) for line in self.log_text.getvalue().splitlines()]


def request(
    target: bytes,
    *lines: bytes,
    cookie: str | bytes = b"",
    method: bytes = b"GET",
    host: bytes = b"app.example",
    body: bytes | None = None,
) -> bytes:
    """The bytes of a request; `cookie` is a session's handle."""
    if cookie:
        handle = cookie.encode() if isinstance(cookie, str) else cookie
        lines = (*lines, b"Cookie: vestibule-80=" + handle)
    if body is not None:
        lines = (*lines, b"Content-Length: %d" % len(body))
    return b"\r\n".join((method + b" " + target + b" HTTP/1.1", b"Host: " + host, *lines, b"", body or b""))
