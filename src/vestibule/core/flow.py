"""A sign-in under way: what stands in `state`, what in the cookie, and when it may end.

Nothing of it is stored before it ends. `state` is opaque: flow id, time of issue, and a mac that binds both
to client and host. Beside it the browser holds one cookie per flow, named after the flow's id and signed,
with destination and client. PKCE verifier and nonce never leave: they follow from the key ring and the flow's
id.

A callback may end its flow when the state is ours, young, not used before, and its cookie came along. The
mark that makes it single use is `store.base.Marks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from vestibule.core.lifetimes import USUAL
from vestibule.core.seal import KeyRing
from vestibule.model import Secret
from vestibule.protocol import base64url

LIFE_S: Final = USUAL.flow_s
"""How long a sign-in may take, unless the configuration says otherwise."""
ID_BYTES: Final = 16
FLOWS_MAX: Final = 16
#: All flow cookies of a browser together: well inside the 32 KiB a request's head may have.
COOKIES_MAX_BYTES: Final = 12 * 1024

_MAC_BYTES: Final = 32
_TIME_BYTES: Final = 5
_STATE_CHARS: Final = 71
_COOKIE_MAX_CHARS: Final = 4096
_STATE: Final = "flow-state"
_COOKIE: Final = "flow-cookie"
_VERIFIER: Final = "flow-verifier"
_NONCE: Final = "flow-nonce"


class Flow(msgspec.Struct, frozen=True, array_like=True):
    """One sign-in under way."""

    id: str
    """22 characters of base64url: 128 random bits."""
    key_id: str
    """The key of the ring that verifier and nonce follow from."""
    client: str
    """Full name."""
    host: str
    rd: str
    """Where to afterwards; checked when the flow began, and to be checked again."""
    issued_at: int
    purpose: str = ""
    """What it is for: empty for signing in, `link` for adding an account to the person who is signed in."""
    kept: str = ""
    """The hint the provider wants to see again at the callback (`providers.base.RedirectLogin.keeps`)."""
    bound: str = ""
    """Of a `link`: what ties it to the session and person it was begun for."""
    remembers: bool = False
    """The person asked to be kept signed in."""
    max_age_s: int | None = None
    """How long ago they may have signed in at the provider, as it was told (OpenID Connect Core section 3.1.2.1)."""


class State(NamedTuple):
    """What a state of ours says."""

    flow_id: str
    issued_at: int


def begun(
    ring: KeyRing,
    *,
    random: bytes,
    client: str,
    host: str,
    rd: str,
    now: float,
    purpose: str = "",
    kept: str = "",
    bound: str = "",
    remembers: bool = False,
    max_age_s: int | None = None,
) -> Flow:
    """A new flow; `random`: 16 fresh random bytes."""
    if len(random) != ID_BYTES:
        raise ValueError(f"a flow id has {ID_BYTES} bytes")
    return Flow(
        id=base64url.encode(random),
        key_id=ring.active_id,
        client=client,
        host=host,
        rd=rd,
        issued_at=int(now),
        purpose=purpose,
        kept=kept,
        bound=bound,
        remembers=remembers,
        max_age_s=max_age_s,
    )


def redirect_uri(base_url: str, client: str, registered: str = "") -> str:
    """Where the provider sends people back to: `BASE/@CLIENT/callback`, or the URL that was registered instead.

    `registered` may lack its scheme; one of another host is another site's and counts for nothing here.
    """
    own_scheme, _, own_authority = base_url.partition("://")
    scheme, authority, path = split_redirect(registered)
    if path and authority == own_authority:
        return f"{scheme or own_scheme}://{authority}{path}"
    return f"{base_url}/@{quote(client, safe='')}/callback"


def split_redirect(registered: str) -> tuple[str, str, str]:
    """Scheme, host with port, and path of a registered redirect URL; what it doesn't have is empty."""
    scheme, mark, rest = registered.partition("://")
    authority, slash, path = (rest if mark else registered).partition("/")
    return (scheme.lower() if mark else ""), authority.lower(), slash + path


def state_of(ring: KeyRing, flow: Flow) -> str:
    """The `state` parameter."""
    head = _id_bytes(flow) + flow.issued_at.to_bytes(_TIME_BYTES, "big")
    return base64url.encode(head + ring.mac(_STATE, _bound(head, flow.client, flow.host)))


def is_state(raw: str) -> bool:
    """True for what has the form of a state, whoever made it."""
    return len(raw) == _STATE_CHARS and base64url.decode(raw) is not None


def parse_state(ring: KeyRing, raw: str, *, client: str, host: str) -> State | None:
    """What the state says; None when it isn't one this gateway issued for this client and host.

    Threat: mix-up (RFC 9700 section 4.4): a state issued for one provider is nothing at another's callback.
    """
    if len(raw) != _STATE_CHARS or (decoded := base64url.decode(raw)) is None:
        return None
    head, mac = decoded[:-_MAC_BYTES], decoded[-_MAC_BYTES:]
    if len(head) != ID_BYTES + _TIME_BYTES or not ring.check_mac(_STATE, _bound(head, client, host), mac):
        return None
    return State(base64url.encode(head[:ID_BYTES]), int.from_bytes(head[ID_BYTES:], "big"))


def verifier_of(ring: KeyRing, flow: Flow) -> Secret:
    """The PKCE code verifier, 43 characters (RFC 7636 section 4.1)."""
    return Secret(_derived(ring, _VERIFIER, flow))


def nonce_of(ring: KeyRing, flow: Flow) -> str:
    """The nonce (OpenID Connect Core section 3.1.2.1), 43 characters."""
    return _derived(ring, _NONCE, flow)


def cookie_name(site_cookie: str, flow_id: str) -> str:
    """The name of a flow's cookie."""
    return f"{site_cookie}-flow-{flow_id}"


def cookie_value(ring: KeyRing, name: str, flow: Flow) -> str:
    """The signed value; good under this name only."""
    payload = msgspec.json.encode(flow)
    mac = ring.mac(_COOKIE, name.encode() + b"\0" + payload)
    return f"{base64url.encode(payload)}.{base64url.encode(mac)}"


def parse_cookie(ring: KeyRing, name: str, value: str) -> Flow | None:
    """The flow of a cookie; None when this gateway didn't make it, or its key has gone from the ring."""
    raw_payload, _, raw_mac = value[:_COOKIE_MAX_CHARS].partition(".")
    payload, mac = base64url.decode(raw_payload), base64url.decode(raw_mac)
    if payload is None or mac is None or not ring.check_mac(_COOKIE, name.encode() + b"\0" + payload, mac):
        return None
    try:
        flow = msgspec.json.decode(payload, type=Flow)
    except msgspec.MsgspecError:
        return None
    return flow if flow.key_id in ring and name.endswith(f"-flow-{flow.id}") else None


def under_way(ring: KeyRing, site_cookie: str, cookies: Mapping[str, str], host: str) -> tuple[Flow, ...]:
    """The flows this browser has begun on this host, the oldest first; expired ones too."""
    prefix = cookie_name(site_cookie, "")
    found = (parse_cookie(ring, name, value) for name, value in cookies.items() if name.startswith(prefix))
    return tuple(sorted((flow for flow in found if flow and flow.host == host), key=lambda f: f.issued_at))


def surplus(
    site_cookie: str, cookies: Mapping[str, str], keep: Iterable[Flow], new_value: str
) -> tuple[str, ...]:
    """Names of flow cookies to delete so that a new one fits: not ours any more, expired, or the oldest.

    `keep` are the flows still alive, the oldest first.
    """
    prefix = cookie_name(site_cookie, "")
    alive = [cookie_name(site_cookie, flow.id) for flow in keep]
    size = len(new_value) + sum(len(name) + len(cookies[name]) for name in alive)
    gone = [name for name in cookies if name.startswith(prefix) and name not in set(alive)]
    while alive and (len(alive) >= FLOWS_MAX or size > COOKIES_MAX_BYTES):
        oldest = alive.pop(0)
        size -= len(oldest) + len(cookies[oldest])
        gone.append(oldest)
    return tuple(gone)


def is_alive(issued_at: int, now: float, life_s: float = LIFE_S) -> bool:
    """True while the flow is young enough, and not from a future a minute away."""
    return -60.0 < now - issued_at < life_s


def fault_of(
    state: State | None, flow: Flow | None, *, is_finished: bool, now: float, life_s: float = LIFE_S
) -> str | None:
    """Why a callback can't end its flow, as a code of FlowError; None when it may.

    Threat: login CSRF and session swap (RFC 6749 section 10.12), replay.
    """
    # 1. Made up, another gateway's, another client's or host's, or signed by a key that is gone.
    if state is None:
        return "flow_unknown"
    # 2. Its one use is over, whoever comes.
    if is_finished:
        return "flow_replayed"
    # 3. Too late; the browser has dropped the cookie by then, so this comes before its absence.
    if not is_alive(state.issued_at, now, life_s):
        return "flow_expired"
    # 4. Began elsewhere: without the cookie of the browser that began it, nobody ends it.
    if flow is None or flow.id != state.flow_id or flow.issued_at != state.issued_at:
        return "flow_other_browser"
    return None


def _bound(head: bytes, client: str, host: str) -> bytes:
    return b"\0".join((head, client.encode(), host.encode()))


def _derived(ring: KeyRing, purpose: str, flow: Flow) -> str:
    bound = _bound(_id_bytes(flow), flow.client, flow.host)
    return base64url.encode(ring.derive(purpose, bound, flow.key_id))


def _id_bytes(flow: Flow) -> bytes:
    raw = base64url.decode(flow.id)
    if raw is None:
        raise ValueError("the id of a flow is base64url")
    return raw
