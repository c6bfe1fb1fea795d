"""A sign-in under way: state, cookie, and when it may end."""

from __future__ import annotations

import base64

import msgspec
import pytest

from vestibule.core import flow as flows
from vestibule.core.flow import COOKIES_MAX_BYTES, FLOWS_MAX, Flow, State
from vestibule.core.seal import Key, KeyRing

NOW = 1_800_000_000.0
OLD = Key("old", b"o" * 32)
NEW = Key("new", b"n" * 32)
RING = KeyRing((NEW, OLD))
SITE = "__Host-vestibule"


def begun(
    number: int = 1, *, client: str = "op", host: str = "app.example", rd: str = "/", now: float = NOW
) -> Flow:
    return flows.begun(RING, random=bytes([number]) * 16, client=client, host=host, rd=rd, now=now)


def cookie_of(flow: Flow, ring: KeyRing = RING) -> tuple[str, str]:
    name = flows.cookie_name(SITE, flow.id)
    return name, flows.cookie_value(ring, name, flow)


def test_a_state_says_which_flow_it_is_and_when_it_began() -> None:
    flow = begun()
    state = flows.parse_state(RING, flows.state_of(RING, flow), client="op", host="app.example")
    assert state == State(flow.id, int(NOW))


def test_a_state_says_nothing_to_who_reads_it() -> None:
    state = flows.state_of(RING, begun(client="op", rd="/secret"))
    raw = base64.urlsafe_b64decode(state + "=")
    for text in (b"op", b"app.example", b"secret", b"new"):
        assert text not in raw


@pytest.mark.parametrize(("client", "host"), [("evil", "app.example"), ("op", "other.example"), ("", "")])
def test_a_state_of_one_client_is_nothing_at_another(client: str, host: str) -> None:
    assert flows.parse_state(RING, flows.state_of(RING, begun()), client=client, host=host) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda s: "",
        lambda s: s[:-1],
        lambda s: s + "A",
        lambda s: s + "=",
        lambda s: "B" + s[1:],
        lambda s: s[:20] + ("A" if s[20] != "A" else "B") + s[21:],
        lambda s: s[:-3] + "AAA",
        lambda s: s[:-1] + "\u00e9",
        lambda s: s[:-1] + " ",
        lambda s: "x" * 10_000,
    ],
)
def test_an_altered_state_is_unknown(change) -> None:  # type: ignore[no-untyped-def]
    state = flows.state_of(RING, begun())
    assert flows.parse_state(RING, change(state), client="op", host="app.example") is None


def test_every_altered_character_of_a_state_is_noticed() -> None:
    state = flows.state_of(RING, begun())
    for at, old in enumerate(state):
        altered = state[:at] + ("A" if old != "A" else "B") + state[at + 1 :]
        assert flows.parse_state(RING, altered, client="op", host="app.example") is None, at


def test_a_flow_begun_under_an_older_key_ends_well() -> None:
    before = KeyRing((OLD,))
    flow = flows.begun(before, random=b"x" * 16, client="op", host="h", rd="/", now=NOW)
    name, value = cookie_of(flow, before)
    assert flows.parse_cookie(RING, name, value) == flow
    assert flows.parse_state(RING, flows.state_of(before, flow), client="op", host="h") is not None
    assert flows.verifier_of(RING, flow) == flows.verifier_of(before, flow)
    assert flows.nonce_of(RING, flow) == flows.nonce_of(before, flow)


def test_a_flow_whose_key_has_gone_is_nobodys() -> None:
    gone = KeyRing((Key("gone", b"g" * 32),))
    flow = flows.begun(gone, random=b"x" * 16, client="op", host="h", rd="/", now=NOW)
    name, value = cookie_of(flow, gone)
    assert flows.parse_cookie(RING, name, value) is None


def test_verifier_and_nonce_are_each_flows_own_and_are_not_in_what_the_browser_holds() -> None:
    one, two = begun(1), begun(2)
    secrets = {
        flows.verifier_of(RING, one).reveal(),
        flows.nonce_of(RING, one),
        flows.verifier_of(RING, two).reveal(),
        flows.nonce_of(RING, two),
    }
    assert len(secrets) == 4
    assert all(len(secret) == 43 for secret in secrets)
    name, value = cookie_of(one)
    held = flows.state_of(RING, one) + name + value
    assert not any(secret in held for secret in secrets)


def test_a_cookie_is_good_under_its_own_name_only() -> None:
    one, two = begun(1), begun(2)
    (name, value), (other_name, _) = cookie_of(one), cookie_of(two)
    assert flows.parse_cookie(RING, name, value) == one
    assert flows.parse_cookie(RING, other_name, value) is None


@pytest.mark.parametrize("value", ["", ".", "a.b", "e30.e30", "\u00e9.x", "x" * 5000, "..."])
def test_a_made_up_cookie_is_none(value: str) -> None:
    assert flows.parse_cookie(RING, flows.cookie_name(SITE, begun().id), value) is None


def test_a_cookie_with_another_destination_is_none() -> None:
    flow = begun(rd="/")
    name, value = cookie_of(flow)
    forged = msgspec.json.encode(msgspec.structs.replace(flow, rd="//evil.example"))
    payload = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
    assert flows.parse_cookie(RING, name, f"{payload}.{value.partition('.')[2]}") is None


def test_the_flows_of_a_browser_come_oldest_first_and_only_this_hosts() -> None:
    mine = [begun(n, now=NOW - n) for n in (1, 2, 3)]
    elsewhere = begun(9, host="other.example")
    cookies = dict(map(cookie_of, [*mine, elsewhere])) | {"session": "x", f"{SITE}-flow-junk": "junk"}
    assert flows.under_way(RING, SITE, cookies, "app.example") == (mine[2], mine[1], mine[0])


def test_at_most_sixteen_flows_the_oldest_goes() -> None:
    old = [begun(n, now=NOW - 100 + n) for n in range(FLOWS_MAX)]
    cookies = dict(map(cookie_of, old))
    assert flows.surplus(SITE, cookies, old, "v") == (flows.cookie_name(SITE, old[0].id),)
    assert flows.surplus(SITE, dict(map(cookie_of, old[1:])), old[1:], "v") == ()


def test_cookies_that_are_expired_or_not_ours_are_deleted() -> None:
    alive, dead = begun(1), begun(2, now=NOW - 700)
    junk = f"{SITE}-flow-junk"
    cookies = dict(map(cookie_of, [alive, dead])) | {junk: "x", "other": "y"}
    assert set(flows.surplus(SITE, cookies, [alive], "v")) == {flows.cookie_name(SITE, dead.id), junk}


def test_flow_cookies_together_stay_far_below_the_limit_of_a_request() -> None:
    long = [begun(n, rd="/" + "a" * 2000, now=NOW - 100 + n) for n in range(8)]
    cookies = dict(map(cookie_of, long))
    new = next(iter(cookies.values()))
    gone = flows.surplus(SITE, cookies, long, new)
    left = {name: value for name, value in cookies.items() if name not in gone}
    assert sum(map(len, left.values())) + len(new) <= COOKIES_MAX_BYTES
    assert gone == tuple(flows.cookie_name(SITE, flow.id) for flow in long[: len(gone)])


FLOW = begun()
STATE = State(FLOW.id, FLOW.issued_at)
FAULTS = {
    "good": (STATE, FLOW, False, NOW + 5, None),
    "state not ours": (None, FLOW, False, NOW, "flow_unknown"),
    "used": (STATE, FLOW, True, NOW, "flow_replayed"),
    "used, without its cookie": (STATE, None, True, NOW, "flow_replayed"),
    "too late": (STATE, FLOW, False, NOW + 600, "flow_expired"),
    "too late, without its cookie": (STATE, None, False, NOW + 601, "flow_expired"),
    "just in time": (STATE, FLOW, False, NOW + 599, None),
    "from the future": (STATE, FLOW, False, NOW - 100, "flow_expired"),
    "clocks a little apart": (STATE, FLOW, False, NOW - 30, None),
    "no cookie": (STATE, None, False, NOW, "flow_other_browser"),
    "another flow's cookie": (STATE, begun(7), False, NOW, "flow_other_browser"),
    "a cookie of another age": (STATE, begun(1, now=NOW - 50), False, NOW, "flow_other_browser"),
}


@pytest.mark.parametrize(("state", "flow", "finished", "now", "code"), FAULTS.values(), ids=FAULTS.keys())
def test_why_a_callback_cannot_end_its_flow(
    *, state: State | None, flow: Flow | None, finished: bool, now: float, code: str | None
) -> None:
    assert flows.fault_of(state, flow, is_finished=finished, now=now) == code


@pytest.mark.parametrize(
    ("base_url", "registered", "expected"),
    [
        ("https://a.example", "", "https://a.example/@okta/callback"),
        ("https://a.example", "a.example/auth", "https://a.example/auth"),
        ("https://a.example", "https://a.example/auth", "https://a.example/auth"),
        # As it is registered, to the letter: the provider compares texts.
        ("https://a.example", "http://a.example/auth", "http://a.example/auth"),
        ("https://a.example", "https://A.Example/auth/x", "https://a.example/auth/x"),
        ("http://localhost:8000", "localhost:8000/auth", "http://localhost:8000/auth"),
        ("http://localhost:8000", "localhost:9000/auth", "http://localhost:8000/@okta/callback"),
        ("https://b.example", "a.example/auth", "https://b.example/@okta/callback"),
        ("https://a.example", "a.example", "https://a.example/@okta/callback"),
        ("https://a.example", "a.example.evil.example/auth", "https://a.example/@okta/callback"),
    ],
)
def test_people_come_back_to_the_registered_url_on_its_host(
    base_url: str, registered: str, expected: str
) -> None:
    assert flows.redirect_uri(base_url, "okta", registered) == expected
