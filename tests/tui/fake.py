"""A gateway that isn't there: both clients' methods, with figures that are the same every time."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from vestibule import admin_model as model
from vestibule.admin_client import Condition, Explanation, Happened, Held, Identity, User
from vestibule.client import Device, Session
from vestibule.errors import ClientError, VestibuleError
from vestibule.model import Secret

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
SECRET = "canary-ya29.a0AfH6SMBx-never-seen-unasked"
AWAY = VestibuleError(
    "the gateway that made state/admin.sock has ended: start it again", code="unreachable", status=503
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def row(seq: int, **said) -> model.Row:
    given = {
        "at": at(-60 + seq),
        "kind": "host",
        "name": "app.example.com",
        "method": "GET",
        "path": "/",
        "route": "/",
        "status": 200,
        "took_ms": 4.2,
        "backend_ms": 3.1,
        "bytes_out": 5120,
        "address": "203.0.113.7",
        "request_id": f"r{seq:06}",
        "trace_id": f"{seq:032x}",
        "span_id": f"{seq:016x}",
    }
    return model.Row(seq=seq, **(given | said))


ADA = {
    "session_id": "sAda1",
    "user_id": "uAda",
    "person": "ada@example.com",
    "provider": "google",
    "decision": "email:*@example.com",
}
BOB = {"session_id": "sBob1", "user_id": "uBob", "person": "bob@example.org", "provider": "github"}

ROWS = (
    row(1, path="/", status=302, decision="sign_in", took_ms=1.1, backend_ms=0.0),
    row(2, path="/@google/signin", status=303, decision="own", took_ms=2.4, backend_ms=0.0),
    row(3, path="/@google/callback", status=303, decision="own", took_ms=212.0, backend_ms=0.0, **{k: v for k, v in ADA.items() if k != "decision"}),
    row(4, at=at(-55.015), kind="call", name="google", path="/oauth2/v3/userinfo", route="userinfo", took_ms=22.0, backend_ms=21.0, trace_id=TRACE, span_id="b" * 16, parent_id="a" * 16, address="127.0.0.1", **(ADA | {"decision": "session:google"})),
    row(5, path="/profile", took_ms=48.0, backend_ms=41.0, trace_id=TRACE, span_id="a" * 16, **ADA),
    row(6, name="admin.example.com", path="/", status=403, decision="not_allowed", took_ms=0.8, backend_ms=0.0, **BOB),
    row(7, kind="edge", edge="forward 127.0.0.1", address="127.0.0.1", path="/forward", status=200, took_ms=0.6, backend_ms=0.0, **ADA),
    row(8, method="POST", path="/notes", status=502, decision="email:*@example.com", took_ms=1204.0, **{k: v for k, v in ADA.items() if k != "decision"}),
    row(9, method="DELETE", path="/notes/7", status=204, **ADA),
    row(10, path="/export.csv", status=0, took_ms=15321.0, **ADA),
)  # fmt: skip


def counts(requests: int, **said) -> model.Counts:
    return model.Counts(requests=requests, last_at=NOW, **said)


HOSTS = (
    model.HostState(
        name="app.example.com",
        label="The app",
        place="app.hcl:12",
        sign_in=("google", "github"),
        urls=("https://app.example.com",),
        backend="127.0.0.1:3000",
        routes=(
            model.RouteState(prefix="/", methods=(), backend="127.0.0.1:3000", allow=("email:*@example.com",), deny=(), place="app.hcl:12"),
            model.RouteState(prefix="/open/", methods=("GET",), backend="127.0.0.1:3000", allow=("public",), deny=("country:xx",), place="app.hcl:19"),
        ),
        counts=counts(18234, errors=3, denials=41, requests_per_s=12.4, p95_ms=41.0),
    ),
    model.HostState(
        name="admin.example.com",
        label="",
        place="app.hcl:31",
        sign_in=("google",),
        urls=("https://admin.example.com",),
        backend="127.0.0.1:3001",
        routes=(model.RouteState(prefix="/", methods=(), backend="127.0.0.1:3001", allow=("group:admins",), deny=(), place="app.hcl:31"),),
        counts=counts(120, denials=9, requests_per_s=0.1, p95_ms=8.0),
    ),
)  # fmt: skip
CALLS = (
    model.CallState(
        id="google",
        name="Google",
        place="app.hcl:44",
        listen="127.0.0.1:4848",
        endpoint="https://www.googleapis.com",
        hosts=("app.example.com",),
        credentials=("session:google in Authorization",),
        operations=(model.OperationState(id="userinfo", method="GET", path="/oauth2/v3/userinfo"),),
        counts=counts(402, requests_per_s=0.8, p95_ms=188.0),
    ),
)
EDGES = (model.EdgeState(address="127.0.0.1", contract="forward", counts=counts(77, requests_per_s=0.2)),)
PROVIDERS = (
    model.ProviderState(
        id="google",
        type="google",
        source="app.hcl:1",
        hosts=("app.example.com", "admin.example.com"),
        enabled=True,
        issuer="https://accounts.google.com",
        discovery="ok",
        discovery_at=at(-3600),
        keys=2,
        keys_at=at(-3600),
        last_ok_at=at(-57),
        redirect_urls=("https://app.example.com/@google/callback",),
    ),
    model.ProviderState(
        id="okta",
        type="okta",
        source="database",
        hosts=("app.example.com",),
        enabled=True,
        issuer="https://dev-1.okta.com",
        discovery="failed",
        discovery_at=at(-30),
        last_error="can't be reached: no address for dev-1.okta.com",
        last_error_at=at(-30),
    ),
    model.ProviderState(
        id="github", type="github", source="app.hcl:7", hosts=("app.example.com",), enabled=False
    ),
)
CERTIFICATES = (
    model.CertificateState(names=("app.example.com",), issuer="Example CA", expires_at=at(86400 * 61), source="app.hcl:12"),
    model.CertificateState(names=("old.example.com",), issuer="Example CA", expires_at=at(86400 * 3), source="app.hcl:31"),
    model.CertificateState(names=("new.example.com",), issuer="", expires_at=None, source="acme", state="ordering"),
    model.CertificateState(names=("bad.example.com",), issuer="", expires_at=None, source="acme", state="failing", why="Timeout during connect", advice="open port 80", next_at=at(300)),
)  # fmt: skip
USERS = (
    User(id="uAda", name="Ada Lovelace", login="ada", email="ada@example.com", disabled=False, profile={}, created_at=at(-86400 * 30), seen_at=at(-5)),
    User(id="uBob", name="Bob", login="bob", email="bob@example.org", disabled=False, profile={}, created_at=at(-86400 * 3), seen_at=at(-54)),
)  # fmt: skip


def session(session_id: str, user_id: str, **said) -> Session:
    given = {
        "host": "app.example.com",
        "created_at": at(-7200),
        "seen_at": at(-5),
        "expires_at": at(86400 * 7),
        "idle_timeout": 86400,
        "attributes": {},
        "device": Device(user_agent=FIREFOX, address="203.0.113.7"),
        "providers": ("google",),
        "parent_id": "",
        "made_by": "",
        "version": 3,
    }
    return Session(id=session_id, user_id=user_id, **(given | said))


SESSIONS = (
    session("sAda1", "uAda"),
    session(
        "sAda2", "uAda", seen_at=at(-90000), device=Device(user_agent="curl/8.9", address="198.51.100.2")
    ),
    session("sBob1", "uBob", seen_at=at(-54), providers=("github",)),
)
CREDENTIALS = (
    model.CredentialState(
        session_id="sAda1",
        client="google",
        owner="session",
        token_type="Bearer",
        scopes=("openid", "email", "https://www.googleapis.com/auth/calendar.readonly"),
        obtained_at=at(-1800),
        expires_at=at(1800),
        can_refresh=True,
        shown="ya29…",
        curls=("curl -H \"Proxy-Session: $PROXY_SESSION\" 'http://127.0.0.1:4848/oauth2/v3/userinfo'",),
    ),
    model.CredentialState(
        session_id="sAda1",
        client="github",
        owner="person",
        token_type="Bearer",
        scopes=("read:user",),
        obtained_at=at(-90000),
        expires_at=at(-60),
        can_refresh=False,
        shown="gho_…",
    ),
)
AUDIT = (
    Happened(id="e3", at=at(-20), action="session.revoked", outcome="ok", actor="user uBob", target="sAda9", user_id="uAda", session_id="sAda9", host="app.example.com", address="203.0.113.9", device="Firefox on Linux", request_id="r000100", detail={"by": "admin"}),
    Happened(id="e2", at=at(-57), action="session.created", outcome="ok", actor="user uAda", target="sAda1", user_id="uAda", session_id="sAda1", host="app.example.com", address="203.0.113.7", device="Firefox on Linux", request_id="r000003", detail={}),
    Happened(id="e1", at=at(-300), action="sign_in.refused", outcome="refused", actor="", target="", user_id="", session_id="", host="admin.example.com", address="198.51.100.77", device="curl", request_id="r000001", detail={"code": "not_invited"}),
)  # fmt: skip


HELD = (
    Held(kind="admin", id="aDeploy", holder="sessions:read", user_id=None, name="deploy", created_at=at(-86400 * 9), expires_at=at(86400 * 20), seen_at=at(-70)),
    Held(kind="app", id="pLaptop", holder="ada@example.com", user_id="uAda", name="laptop", created_at=at(-86400 * 3), expires_at=at(86400 * 87), seen_at=None),
    Held(kind="machine", id="kNas", holder="backup", user_id=None, name="", created_at=at(-3600), expires_at=None, seen_at=at(-5)),
)  # fmt: skip


def overview() -> model.Overview:
    steps = 90
    return model.Overview(
        version="0.1.0",
        started_at=at(-86400 * 2),
        now=NOW,
        requests_per_s=13.5,
        sessions=3,
        users=2,
        series=model.Series(
            every_s=10.0,
            began_at=at(-900),
            requests=tuple(80 + (step * 37) % 90 + step for step in range(steps)),
            errors=tuple(1 if step % 30 == 7 else 0 for step in range(steps)),
            denials=tuple((step * 7) % 5 for step in range(steps)),
            sign_ins=tuple(1 if step % 11 == 3 else 0 for step in range(steps)),
            p50_ms=tuple(4.0 + step % 3 for step in range(steps)),
            p95_ms=tuple(30.0 + (step * 13) % 20 for step in range(steps)),
            p99_ms=tuple(80.0 + (step * 29) % 60 for step in range(steps)),
        ),
        workers=(
            model.WorkerState(name="control", pid=4101, started_at=at(-86400 * 2), heard_at=at(-1), requests=211, memory_bytes=148_000_000),
            model.WorkerState(name="worker 1", pid=4102, started_at=at(-86400 * 2), heard_at=at(-1), requests=9210, memory_bytes=61_000_000),
            model.WorkerState(name="worker 2", pid=4177, started_at=at(-600), heard_at=at(-9), requests=9024, memory_bytes=60_000_000),
        ),
        stores=(
            model.StoreState(name="records", kind="sqlite", where="state/vestibule.db", ok=True, took_ms=0.2),
            model.StoreState(name="sessions", kind="redis", where="redis.example.com:6379", ok=False, detail="refused the connection"),
        ),
        listeners=(
            model.ListenerState(address="0.0.0.0:443", purpose="hosts"),
            model.ListenerState(address="127.0.0.1:4848", purpose="call", name="google"),
            model.ListenerState(address="state/admin.sock", purpose="admin"),
        ),
        concerns=(model.Concern(what="okta can't be discovered", detail="no address for dev-1.okta.com", advice="check the issuer"),),
        log_dropped=0,
    )  # fmt: skip


DIFF = """--- in force
+++ files
@@ app.hcl:12 host "app.example.com"
-  backend = "127.0.0.1:3000"
+  backend = "127.0.0.1:3001"
"""
CHANGED = model.Difference(is_changed=True, diff=DIFF, faults=(), warnings=("app.hcl:7:3: `github` is used by no host",), restart=(), fingerprint="a" * 24)  # fmt: skip
ALIKE = model.Difference(is_changed=False, diff="", faults=(), warnings=(), restart=(), fingerprint="b" * 24)


class FakeAdmin:
    """`AdminClient`'s methods. `push` lets traffic come, `lose` takes the gateway away, `return_` brings it back."""

    def __init__(self, rows=ROWS) -> None:
        self.where = "unix:state/admin.sock"
        self.rows = list(rows)
        self.tokens = list(HELD)
        self.is_away = False
        self.asked: list[tuple] = []
        self.files = CHANGED
        """What a reload would change."""
        self.refusal: VestibuleError | None = None
        """Of a reload."""
        self.refuses: set[str] = set()
        """Names of methods that a token may not."""
        self._queues: list[queue.Queue] = []

    # -- what tests do with it

    def push(self, *rows: model.Row) -> None:
        self.rows.extend(rows)
        for one in self._queues:
            one.put(tuple(rows))

    def lose(self) -> None:
        self.is_away = True
        for one in self._queues:
            one.put(None)

    def return_(self, rows=()) -> None:
        """A new process: it counts from one again."""
        self.rows = list(rows)
        self.is_away = False

    # -- traffic

    def traffic(self, *, limit: int = 200, after: int = 0, **filters: str) -> model.TrafficPage:
        self._check("traffic")
        rows = tuple(reversed([one for one in self.rows if one.seq > after]))[:limit]
        return model.TrafficPage(items=rows, last_seq=self.rows[-1].seq if self.rows else 0)

    def traffic_stream(self, **filters: str) -> Iterator[tuple[model.Row, ...]]:
        self._check("traffic")
        mine: queue.Queue = queue.Queue()
        self._queues.append(mine)
        yield ()
        while True:
            batch = mine.get()
            if batch is None:
                raise AWAY
            yield batch

    def trace(self, trace_id: str) -> model.Trace:
        self._check("trace", trace_id)
        mine = [one for one in self.rows if one.trace_id == trace_id]

        def node(one: model.Row) -> model.Node:
            return model.Node(row=one, children=tuple(node(c) for c in mine if c.parent_id == one.span_id))

        known = {one.span_id for one in mine}
        roots = tuple(node(one) for one in mine if one.parent_id not in known)
        return model.Trace(trace_id=trace_id, roots=roots)

    # -- state

    def overview(self) -> model.Overview:
        self._check("overview")
        return overview()

    def hosts(self):
        self._check("hosts")
        return HOSTS

    def calls(self):
        self._check("calls")
        return CALLS

    def edges(self):
        self._check("edges")
        return EDGES

    def provider_states(self):
        self._check("provider_states")
        return PROVIDERS

    def certificates(self):
        self._check("certificates")
        return CERTIFICATES

    def difference(self) -> model.Difference:
        self._check("difference")
        return self.files

    def reload(self, fingerprint: str = "") -> model.Reloaded:
        self._check("reload", fingerprint)
        if self.refusal is not None:
            raise self.refusal
        self.files = ALIKE
        return model.Reloaded(added=(), changed=("host app.example.com",), removed=(), warnings=())

    def credentials(self, session_id: str):
        self._check("credentials", session_id)
        return tuple(one for one in CREDENTIALS if one.session_id == session_id)

    def reveal(self, session_id: str, client: str, reason: str) -> model.Revealed:
        self._check("reveal", session_id, client, reason)
        return model.Revealed(
            client=client, access_token=Secret(SECRET), refresh_token=Secret(f"1//{SECRET}"), id_token=None
        )

    def verify_audit(self) -> model.Proof:
        self._check("verify_audit")
        return model.Proof(ok=True, rows=3, first_at=at(-300), last_at=at(-20), head="9f" * 32)

    # -- tokens and keys

    def held(self):
        self._check("held")
        yield from self.tokens

    def revoke_held(self, one: Held) -> None:
        self._check("revoke_held", one.id)
        self.tokens.remove(one)

    # -- people, trail, why

    def users(self, **_):
        self._check("users")
        yield from USERS

    def user(self, user_id: str) -> User:
        self._check("user", user_id)
        found = next((one for one in USERS if one.id == user_id), None)
        if found is None:
            raise ClientError("there is no such user", code="not_found", status=404)
        identity = Identity(id="i1", user_id=user_id, issuer="https://accounts.google.com", subject="1", client="google", kind="oidc", login="ada", name="Ada", email=found.email, created_at=NOW, seen_at=NOW)  # fmt: skip
        return replace(found, identities=(identity,))

    def audit(self, **filters):
        self._check("audit", filters)
        yield from (
            one for one in AUDIT
            if not filters.get("session_id") or one.session_id == filters["session_id"]
        )  # fmt: skip

    def explain(self, url: str, *, who: str = "", method: str = "GET", address: str = "") -> Explanation:
        self._check("explain", url, who, method, address)
        return Explanation(
            host="admin.example.com",
            host_place="app.hcl:31",
            route="/",
            route_place="app.hcl:31",
            path="/",
            method=method,
            address=address,
            user_id=who,
            who="bob@example.org",
            known_by="their session",
            answer="not_allowed",
            status=403,
            reason="no rule allows it: group:admins",
            conditions=(
                Condition(list="allow", rule="group:admins", place="app.hcl:34", saw="no groups", verdict="fails", decides=True, change="have admins among one's groups"),
            ),
            change="have admins among one's groups",
        )  # fmt: skip

    def _check(self, name: str, *said) -> None:
        self.asked.append((name, *said))
        if self.is_away:
            raise AWAY
        if name in self.refuses:
            raise ClientError(f"the scope for {name} is missing", code="scope_missing", status=403)


class FakeSessions:
    """`SessionClient`'s methods."""

    def __init__(self, admin: FakeAdmin) -> None:
        self.admin = admin
        self.sessions = list(SESSIONS)

    def get(self, session_id: str) -> Session:
        self.admin._check("get", session_id)
        found = next((one for one in self.sessions if one.id == session_id), None)
        if found is None:
            raise ClientError("there is no such session", code="not_found", status=404)
        return found

    def list(self, user_id: str = "", *, host: str = "") -> Iterator[Session]:
        self.admin._check("list", user_id or host)
        yield from [one for one in self.sessions if user_id in ("", one.user_id) and host in ("", one.host)]

    def end(self, session_id: str) -> None:
        self.get(session_id)
        self.admin._check("end", session_id)
        self.sessions = [one for one in self.sessions if one.id != session_id]

    def end_all(self, user_id: str) -> int:
        self.admin._check("end_all", user_id)
        ended = sum(one.user_id == user_id for one in self.sessions)
        self.sessions = [one for one in self.sessions if one.user_id != user_id]
        return ended

    def close(self) -> None:
        pass
