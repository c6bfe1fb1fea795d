"""What services count: who signed in by whom, what became of refreshes, how providers and receivers answered."""

from __future__ import annotations

import asyncio
import io

import pytest
from msgspec.structs import replace

from tests.unit.service.test_events import SESSION
from tests.unit.service.test_flow import Wire, answer, ask
from tests.unit.service.test_grants import RING as KEYS
from tests.unit.service.test_grants import Google, Provider
from vestibule.core.event import REFUSED, SIGN_IN_REFUSED, Event
from vestibule.errors import (
    CredentialGone,
    ProviderError,
    ProviderInvalid,
    ProviderUnavailable,
)
from vestibule.fetch import ConnectionFailed
from vestibule.model import Device, Identity, Secret, Tokens
from vestibule.observe.log import Log
from vestibule.observe.meter import Family, Meter
from vestibule.observe.metrics import (
    AUDIT_EVENTS,
    PROVIDER_REQUESTS,
    PROVIDER_SECONDS,
    REFRESHES,
    SIGN_INS,
)
from vestibule.providers.kit import Discovery, Get, Keys, PostForm
from vestibule.service.events import REFUSALS_MAX, Events
from vestibule.service.flow import Driver
from vestibule.service.grants import Grants
from vestibule.service.sessions import Sessions

URL = "https://op.example/x"
ANN = Identity(client="google", issuer="https://op.example", subject="1")


def counted(meter: Meter, family: Family) -> dict[tuple[str, ...], float]:
    return {labels: values[0] for labels, values in meter.series(family)}


@pytest.mark.parametrize(
    ("session", "labels"),
    [
        pytest.param(replace(SESSION, identities=(ANN,)), ("google", "ok"), id="signed in"),
        pytest.param(replace(SESSION, clients=("files",)), ("files", "ok"), id="credentials alone"),
        pytest.param(
            replace(SESSION, identities=(ANN,), parent_id="s0"), ("google", "handed_on"), id="handed on"
        ),
        pytest.param(replace(SESSION, made_by="shop"), ("", "made"), id="made by a service"),
    ],
)
def test_a_session_is_counted_by_how_it_came(session, labels):
    meter = Meter()
    asyncio.run(Events(Log(io.StringIO()), meter=meter).began(session))
    assert counted(meter, SIGN_INS) == {labels: 1.0}
    assert counted(meter, AUDIT_EVENTS) == {("session.created", "ok"): 1.0}


def test_every_refusal_is_counted_also_those_that_are_too_many_to_be_told_of():
    meter = Meter()
    events = Events(Log(io.StringIO()), meter=meter)
    refused = Event(
        id="", at=1.0, action=SIGN_IN_REFUSED, outcome=REFUSED, target="provider google", address="192.0.2.7"
    )

    async def refuse() -> None:
        for _ in range(REFUSALS_MAX + 5):
            await events.refuse(refused)

    asyncio.run(refuse())
    assert counted(meter, SIGN_INS) == {("google", "refused"): REFUSALS_MAX + 5}
    assert counted(meter, AUDIT_EVENTS) == {(SIGN_IN_REFUSED, REFUSED): REFUSALS_MAX}


def test_what_apps_tell_of_has_no_name_of_its_own_there():
    meter = Meter()
    event = Event(id="", at=1.0, action="order.paid-by-ann@example.com")
    asyncio.run(Events(Log(io.StringIO()), meter=meter).tell(event))
    assert counted(meter, AUDIT_EVENTS) == {("other", "ok"): 1.0}


@pytest.mark.parametrize(
    ("comes", "outcome"),
    [
        pytest.param((answer(),), "ok", id="well"),
        pytest.param((answer(400),), "refused", id="400"),
        pytest.param((answer(503),), "unavailable", id="503"),
        pytest.param((ProviderInvalid("no JSON"),), "invalid", id="nonsense"),
        pytest.param((ProviderUnavailable("away"),), "unavailable", id="away"),
        pytest.param((ConnectionFailed("gone"), ConnectionFailed("gone")), "unavailable", id="no connection"),
        pytest.param((TimeoutError(),), "timeout", id="given up"),
    ],
)
async def test_what_a_provider_was_asked_is_counted_by_what_it_came_to(comes, outcome):
    meter, wire = Meter(), Wire(*comes)
    driver = Driver(wire, wire, meter)
    try:
        await driver.run(ask(Get(url=URL)), about="google")
    except (ProviderError, TimeoutError):
        assert outcome not in {"ok", "refused"}
    assert counted(meter, PROVIDER_REQUESTS) == {("google", outcome): 1.0}
    assert list(dict(meter.series(PROVIDER_SECONDS))) == [("google",)]


async def test_what_is_known_here_already_is_no_request():
    meter, wire = Meter(), Wire(answer())
    driver = Driver(wire, wire, meter)
    for what in (Discovery("https://op.example", ""), Keys(URL, "1"), PostForm(url=URL, form=())):
        await driver.run(ask(what))
    assert counted(meter, PROVIDER_REQUESTS) == {("other", "ok"): 1.0}


@pytest.mark.parametrize(
    ("fault", "error", "outcome"),
    [
        pytest.param(None, "", "ok", id="well"),
        pytest.param(None, "invalid_grant", "refused", id="the person has to sign in anew"),
        pytest.param(None, "server_error", "failed", id="it can't just now"),
        pytest.param(ProviderUnavailable("away"), "", "failed", id="away"),
    ],
)
async def test_a_refresh_is_counted_by_what_it_came_to(  # noqa: PLR0917 - fixtures
    store, changes, clock, fault, error, outcome
):
    meter, provider = Meter(), Provider()
    provider.fault, provider.error = fault, error
    sessions = Sessions(store.sessions, changes, now=clock.now, mono=clock.mono)
    grants = Grants(
        store.grants,
        store.leases,
        sessions,
        changes,
        KEYS,
        refreshers={"google": Google()},
        driver=provider,
        now=clock.now,
        mono=clock.mono,
        meter=meter,
    )
    session, _ = await sessions.start(
        host="h", user_id="", identities=(), clients=("google",), device=Device(), now=clock.now()
    )
    old = Tokens(access_token=Secret("at-0"), refresh_token=Secret("rt-0"), expires_at=clock.now() + 60)
    await grants.keep(session, "google", old, clock.now())
    clock.move(61)
    try:
        await grants.access_token(session, "google")
    except (CredentialGone, ProviderError):
        assert outcome != "ok"
    assert counted(meter, REFRESHES) == {("google", outcome): 1.0}
