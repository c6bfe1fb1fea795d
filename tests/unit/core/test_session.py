"""What becomes of a session."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core import session as rules
from vestibule.core.lifetimes import UNBOUNDED, Span
from vestibule.model import Device, Identity, Session
from vestibule.protocol import base64url

NOW = 1_800_000_000.0
SESSION = Session(
    id="s1", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW + 1000, idle_s=600.0, clients=("a", "b")
)
ZOE = Identity(client="a", issuer="i", subject="1", name="Zoë")


def test_a_handle_has_256_bits_in_43_characters():
    handle = base64url.encode(b"\xff" * 32)
    assert len(handle) == rules.HANDLE_CHARS == 43
    assert rules.is_handle(handle)
    assert rules.is_handle(base64url.encode(bytes(32)))


@pytest.mark.parametrize(
    "text", ["", "a" * 42, "a" * 44, "a" * 42 + "=", "a" * 42 + "+", "a" * 42 + "é", "a" * 42 + "\n"]
)
def test_anything_else_is_no_handle(text):
    assert not rules.is_handle(text)


def test_the_hash_is_sha_256():
    assert rules.hash_of("abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_session_begins_seen_and_with_both_its_ends():
    session = rules.begun(
        session_id="s1",
        host="h",
        user_id="u1",
        identities=[ZOE],
        clients=["a"],
        device=Device(user_agent="x"),
        span=Span(idle_s=10.0, absolute_s=100.0),
        now=NOW,
    )
    assert session == Session(
        id="s1",
        host="h",
        user_id="u1",
        created_at=NOW,
        seen_at=NOW,
        signed_in_at=NOW,
        expires_at=NOW + 100,
        idle_s=10.0,
        identities=(ZOE,),
        clients=("a",),
        device=Device(user_agent="x"),
    )


def test_clients_come_and_go_and_keep_their_order():
    assert rules.with_client(SESSION, "c").clients == ("a", "b", "c")
    assert rules.with_client(SESSION, "a") is SESSION
    assert rules.without_client(SESSION, "a").clients == ("b",)
    assert rules.without_client(SESSION, "x") == SESSION


def test_last_seen_never_goes_backwards():
    assert rules.seen(SESSION, NOW + 5).seen_at == NOW + 5
    assert rules.seen(SESSION, NOW - 5).seen_at == NOW


@pytest.mark.parametrize(
    ("idle_s", "unseen_s", "due"),
    [
        pytest.param(86400.0, 59.9, False, id="within the minute"),
        pytest.param(86400.0, 60.0, True, id="after a minute"),
        pytest.param(60.0, 5.9, False, id="short idle time, just seen"),
        pytest.param(60.0, 6.0, True, id="short idle time, a tenth gone"),
    ],
)
def test_last_seen_is_written_once_a_minute_or_in_good_time(idle_s, unseen_s, due):
    session = replace(SESSION, idle_s=idle_s)
    assert rules.is_touch_due(session, session.seen_at + unseen_s) is due


def test_the_old_handle_is_honoured_30_s_but_never_across_a_sign_in():
    zoe = replace(SESSION, user_id="u1")
    assert rules.old_handle_until(SESSION, replace(SESSION, clients=()), NOW) == NOW + 30
    assert rules.old_handle_until(zoe, zoe, NOW) == NOW + 30
    assert rules.old_handle_until(SESSION, zoe, NOW) == 0.0
    assert rules.old_handle_until(zoe, replace(zoe, user_id="u2"), NOW) == 0.0


# -- what is handed on ------------------------------------------------------------------------

BOB = Identity(client="app.example/drive", issuer="j", subject="2")
PARENT = replace(
    SESSION,
    id="p1",
    host="auth.example",
    user_id="u1",
    identities=(ZOE,),
    clients=("a", "b"),
    signed_in_at=NOW,
    check_at=NOW + 50,
)


def handed() -> Session:
    device = Device(user_agent="x")
    return rules.handed_on(PARENT, session_id="c1", host="app.example", device=device, now=NOW + 10)


def test_what_is_handed_on_has_nothing_of_its_own_and_ends_with_its_parent():
    child = handed()
    assert (child.id, child.host, child.parent_id, child.user_id) == ("c1", "app.example", "p1", "u1")
    assert (child.identities, child.clients) == ((), ())
    assert (child.created_at, child.seen_at, child.expires_at) == (NOW + 10, NOW + 10, PARENT.expires_at)


def test_it_is_who_its_parent_is_now():
    child = rules.inherited(handed(), PARENT)
    assert (child.identities, child.clients) == (PARENT.identities, PARENT.clients)
    assert (child.signed_in_at, child.check_at) == (NOW, NOW + 50)
    renamed = replace(PARENT, identities=(replace(ZOE, groups=("admins",)),), clients=("b",), check_at=0.0)
    child = rules.inherited(handed(), renamed)
    assert (child.identities[0].groups, child.clients, child.check_at) == (("admins",), ("b",), 0.0)


def test_it_keeps_what_came_by_the_hosts_own_clients_beside_that():
    own = replace(handed(), identities=(BOB,), clients=("app.example/drive",), check_at=NOW + 20)
    child = rules.inherited(own, PARENT)
    assert child.identities == (ZOE, BOB)
    assert child.clients == ("a", "b", "app.example/drive")
    assert child.check_at == NOW + 20


@pytest.mark.parametrize("user_id", ["", "u2"])
def test_it_is_nobody_once_its_parent_is_somebody_else(user_id):
    """Threat: fixation. A child from before a sign-in is never the person's."""
    assert rules.inherited(handed(), replace(PARENT, user_id=user_id)) is None
    assert rules.inherited(replace(handed(), user_id=user_id), PARENT) is None


def test_a_hosts_own_session_joins_with_what_is_the_hosts_own():
    own = replace(SESSION, identities=(ZOE, BOB), clients=("a", "app.example/drive"), expires_at=NOW + 5000)
    joined = rules.joined_to(own, PARENT, UNBOUNDED, NOW)
    assert (joined.parent_id, joined.user_id, joined.expires_at) == ("p1", "u1", PARENT.expires_at)
    assert (joined.identities, joined.clients) == ((BOB,), ("app.example/drive",))


@pytest.mark.parametrize(
    ("session", "client", "owner"),
    [
        pytest.param(handed(), "a", "p1", id="a child's client at top level"),
        pytest.param(handed(), "app.example/drive", "c1", id="a child's host's own"),
        pytest.param(PARENT, "a", "p1", id="a parent's"),
        pytest.param(PARENT, "auth.example/x", "p1", id="a parent's host's own"),
    ],
)
def test_credentials_are_where_they_were_given(session, client, owner):
    assert rules.owner_of(session, client) == owner


# -- how long it lives ------------------------------------------------------------------------

KEPT = Span(idle_s=10.0, absolute_s=100.0, kept_idle_s=900.0, kept_absolute_s=900.0, keeps=True)


def begun(span: Span, *, is_remembered: bool) -> Session:
    return rules.begun(
        session_id="s1",
        host="h",
        user_id="u1",
        identities=(),
        clients=(),
        device=Device(),
        span=span,
        now=NOW,
        is_remembered=is_remembered,
    )


@pytest.mark.parametrize(
    ("span", "asked", "ends", "is_kept"),
    [
        pytest.param(KEPT, True, (900.0, 900.0), True, id="asked"),
        pytest.param(KEPT, False, (100.0, 10.0), False, id="not asked"),
        pytest.param(
            Span(idle_s=10.0, absolute_s=100.0), True, (100.0, 10.0), False, id="asked where nobody is"
        ),
    ],
)
def test_who_asks_to_be_kept_signed_in_is(span, asked, ends, is_kept):
    session = begun(span, is_remembered=asked)
    assert (session.expires_at - NOW, session.idle_s, session.is_remembered) == (*ends, is_kept)


def test_signing_in_again_makes_no_session_longer_unless_that_is_asked():
    session = begun(KEPT, is_remembered=False)
    again = rules.lived(session, KEPT, NOW + 50)
    assert (again.expires_at, again.idle_s) == (NOW + 100, 10.0)
    kept = rules.lived(session, KEPT, NOW + 50, is_remembered=True)
    assert (kept.expires_at, kept.idle_s, kept.is_remembered) == (NOW + 950, 900.0, True)
    # Nor is one that is kept already, and the wish holds until it ends.
    assert rules.lived(kept, KEPT, NOW + 60) == kept


def test_a_stricter_provider_that_joins_shortens_it():
    strict = Span(idle_s=5.0, absolute_s=20.0, kept_idle_s=5.0, kept_absolute_s=20.0)
    assert rules.lived(begun(KEPT, is_remembered=False), strict, NOW).expires_at == NOW + 20
    assert rules.lived(begun(KEPT, is_remembered=True), strict, NOW).expires_at == NOW + 20


def test_a_hosts_own_bounds_hold_for_what_is_handed_on_to_it():
    def child(parent: Session) -> Session:
        return rules.handed_on(
            parent, session_id="c1", host="a", device=Device(), now=NOW + 10, span=Span(idle_s=5.0, absolute_s=20.0)
        )  # fmt: skip

    handed = child(begun(KEPT, is_remembered=False))
    assert (handed.expires_at, handed.idle_s) == (NOW + 30, 5.0)
    # What the host says of sessions that aren't kept says nothing of one that is.
    handed = child(begun(KEPT, is_remembered=True))
    assert (handed.expires_at, handed.idle_s, handed.is_remembered) == (NOW + 900, 900.0, True)


def test_one_that_is_handed_on_once_more_begins_its_time_anew():
    parent = begun(KEPT, is_remembered=True)
    span = Span(absolute_s=20.0, kept_absolute_s=20.0)
    child = rules.handed_on(parent, session_id="c1", host="a", device=Device(), now=NOW, span=span)
    joined = rules.joined_to(child, parent, span, NOW + 500)
    assert joined.expires_at == NOW + 520
    assert rules.joined_to(joined, parent, span, NOW + 890).expires_at == parent.expires_at


# -- the provider's own session ---------------------------------------------------------------


def of(until: float, client: str = "a") -> Identity:
    """Zoë, as a provider says whose own session ends then."""
    return replace(ZOE, client=client, until=until)


@pytest.mark.parametrize("is_remembered", [False, True])
@pytest.mark.parametrize(
    ("untils", "ends_s"),
    [((0.0,), None), ((NOW + 50,), 50.0), ((NOW + 5000,), None), ((0.0, NOW + 70, NOW + 50), 50.0)],
)
def test_no_session_is_longer_than_the_providers_that_it_came_by(untils, ends_s, is_remembered):
    session = rules.begun(
        session_id="s1",
        host="h",
        user_id="u1",
        identities=(of(until, f"c{number}") for number, until in enumerate(untils)),
        clients=(),
        device=Device(),
        span=KEPT,
        now=NOW,
        is_remembered=is_remembered,
    )
    assert len(session.identities) == len(untils)
    assert session.expires_at - NOW == (ends_s or (900.0 if is_remembered else 100.0))


def test_a_sign_in_elsewhere_or_a_wish_to_be_kept_makes_it_no_longer():
    """Threat: who is let go there, and stays here by signing in at another provider, or by a tick in a box."""
    session = replace(SESSION, identities=(of(NOW + 50),))
    for asked in (False, True):
        assert rules.lived(session, KEPT, NOW + 10, is_remembered=asked).expires_at == NOW + 50
    widened = replace(session, identities=(*session.identities, of(0.0, "b"), of(NOW + 40, "c")))
    for asked in (False, True):
        assert rules.lived(widened, KEPT, NOW + 10, is_remembered=asked).expires_at == NOW + 40


def test_who_signs_in_there_anew_and_is_kept_has_the_new_end():
    session = replace(SESSION, expires_at=NOW + 50, identities=(of(NOW + 500),))
    assert rules.lived(session, KEPT, NOW, is_remembered=True).expires_at == NOW + 500


def test_a_hosts_own_session_that_joins_keeps_the_end_of_its_own():
    own = replace(handed(), identities=(ZOE, replace(BOB, until=NOW + 20)))
    assert rules.joined_to(own, PARENT, UNBOUNDED, NOW).expires_at == NOW + 20
