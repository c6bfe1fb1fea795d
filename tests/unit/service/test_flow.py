"""The driver: what a flow asks for, what is sent, what comes back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from vestibule.errors import ProviderInvalid, ProviderUnavailable
from vestibule.fetch import Answer, ConnectionFailed
from vestibule.model import Secret
from vestibule.providers.kit import OUTSIDE, Ask, Discovery, Flow, Get, Keys, PostForm, Reply, Send, Work
from vestibule.service.flow import Driver

URL = "https://op.example/x"


class Wire:
    """A fetcher and key sets that answer from a list, and keep what was asked."""

    def __init__(self, *answers: Answer | BaseException) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[Any, ...]] = []

    def _next(self) -> Answer:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def get(self, url: str, *, headers: Mapping[str, str], via: str, follow: bool) -> Answer:
        self.asked.append(("GET", url, dict(headers), via))
        return self._next()

    async def post_form(self, url: str, body: bytes, *, headers: Mapping[str, str], via: str) -> Answer:
        self.asked.append(("POST", url, dict(headers), via, body))
        return self._next()

    async def send(
        self, method: str, url: str, body: bytes, *, headers: Mapping[str, str], via: str
    ) -> Answer:
        self.asked.append((method, url, dict(headers), via, body))
        return self._next()

    async def metadata(self, issuer: str, url: str, *, via: str) -> dict[str, Any]:
        self.asked.append(("metadata", issuer, url, via))
        return {"issuer": issuer}

    async def keys(self, url: str, kid: str | None, *, via: str) -> tuple[dict[str, Any], ...]:
        self.asked.append(("keys", url, kid, via))
        return ({"kid": kid},)


def driver(wire: Wire) -> Driver:
    return Driver(wire, wire)


def answer(status: int = 200, body: bytes = b"{}") -> Answer:
    return Answer(status, {"content-type": "application/json"}, body, URL)


def ask(what: Ask) -> Flow[Any]:
    return (yield what)


def asks(via: str) -> tuple[Ask, ...]:
    """One of each kind."""
    return (
        Get(url=URL, via=via),
        PostForm(url=URL, form=(), via=via),
        Send(method="POST", url=URL, via=via),
        Discovery("https://op.example", "", via),
        Keys(URL, "1", via),
    )


async def test_a_flow_that_asks_nothing_just_ends() -> None:
    def flow() -> Flow[str]:
        yield from ()
        return "done"

    assert await driver(Wire()).run(flow()) == "done"


async def test_each_ask_gets_its_answer() -> None:
    def flow() -> Flow[list[Any]]:
        return [
            (yield Get(url=URL)),
            (yield PostForm(url=URL, form=(("a", "b c"), ("a", "ü&")))),
            (yield Discovery("https://op.example")),
            (yield Keys("https://op.example/jwks", "1", "https://op.example")),
        ]

    wire = Wire(answer(), answer(404))
    got = await driver(wire).run(flow())
    assert got == [
        Reply(200, {"content-type": "application/json"}, b"{}", URL),
        Reply(404, {"content-type": "application/json"}, b"{}", URL),
        {"issuer": "https://op.example"},
        ({"kid": "1"},),
    ]
    assert wire.asked[1][4] == b"a=b+c&a=%C3%BC%26"


async def test_credentials_go_into_the_header_and_nowhere_else() -> None:
    wire = Wire(answer(), answer(), answer())
    await driver(wire).run(ask(Get(url=URL, bearer=Secret("canary"))))
    await driver(wire).run(ask(PostForm(url=URL, form=(), basic=("id:1", Secret("s+ c")))))
    await driver(wire).run(ask(PostForm(url=URL, form=(), bearer=Secret("canary"))))
    assert wire.asked[0] == ("GET", URL, {"authorization": "Bearer canary"}, "")
    assert wire.asked[1][2] == {"authorization": "Basic aWQlM0ExOnMlMkIrYw=="}  # id%3A1:s%2B+c
    assert wire.asked[2][2] == {"authorization": "Bearer canary"}


async def test_who_led_to_a_url_is_passed_on() -> None:
    wire = Wire(*[answer()] * 3)
    for what in asks(via="https://op.example"):
        await driver(wire).run(ask(what))
    assert [asked[3] for asked in wire.asked] == ["https://op.example"] * 5


@pytest.mark.parametrize("via", ["", "https://op.example", OUTSIDE])
async def test_a_flow_that_is_not_trusted_has_no_url_of_the_operators(via: str) -> None:
    """Threat: a provider of the database that calls its own URLs the operator's."""
    wire = Wire(*[answer()] * 3)
    for what in asks(via=via):
        await driver(wire).run(ask(what), trusted=False)
    assert [asked[3] for asked in wire.asked] == [OUTSIDE] * 5


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_body_is_sent_as_it_is(method: Any) -> None:
    wire = Wire(answer(422))
    what = Send(
        method=method,
        url=URL,
        body=b'{"a": 1}',
        basic=("id", Secret("s")),
        headers=(("Accept", "application/vnd.github+json"),),
    )
    assert (await driver(wire).run(ask(what))).status == 422
    assert wire.asked == [
        (
            method,
            URL,
            {
                "content-type": "application/json",
                "accept": "application/vnd.github+json",
                "authorization": "Basic aWQ6cw==",
            },
            "",
            b'{"a": 1}',
        )
    ]


async def test_a_get_whose_connection_failed_is_tried_once_more() -> None:
    wire = Wire(ConnectionFailed("reset"), answer())
    assert (await driver(wire).run(ask(Get(url=URL)))).status == 200
    twice = Wire(ConnectionFailed("reset"), ConnectionFailed("reset"), answer())
    with pytest.raises(ProviderUnavailable):
        await driver(twice).run(ask(Get(url=URL)))
    assert len(twice.asked) == 2


async def test_a_get_that_timed_out_is_not_tried_again() -> None:
    wire = Wire(ProviderUnavailable("too slow"), answer())
    with pytest.raises(ProviderUnavailable):
        await driver(wire).run(ask(Get(url=URL)))
    assert len(wire.asked) == 1


@pytest.mark.parametrize("failure", [ConnectionFailed("reset"), ProviderUnavailable("too slow")])
@pytest.mark.parametrize(
    "what",
    [PostForm(url=URL, form=(("code", "canary"),)), Send(method="DELETE", url=URL)],
    ids=["form", "body"],
)
async def test_what_is_posted_is_sent_once_whatever_happens(what: Ask, failure: Exception) -> None:
    wire = Wire(failure, answer())
    with pytest.raises(ProviderUnavailable):
        await driver(wire).run(ask(what))
    assert len(wire.asked) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_that_a_provider_is_failing_is_no_answer(status: int) -> None:
    with pytest.raises(ProviderUnavailable):
        await driver(Wire(answer(status))).run(ask(Get(url=URL)))


async def test_a_flow_may_go_on_without_what_it_could_not_have() -> None:
    def flow() -> Flow[str]:
        try:
            yield Get(url=URL)
        except ProviderUnavailable:
            return "without"
        return "with"

    assert await driver(Wire(answer(503))).run(flow()) == "without"


async def test_what_a_flow_raises_comes_out_and_the_flow_is_over() -> None:
    ended: list[bool] = []

    def flow() -> Flow[None]:
        try:
            yield Get(url=URL)
            raise ProviderInvalid("nonsense")
        finally:
            ended.append(True)

    with pytest.raises(ProviderInvalid):
        await driver(Wire(answer())).run(flow())
    assert ended == [True]


async def test_a_flow_whose_driver_is_cancelled_is_closed() -> None:
    ended: list[bool] = []

    def flow() -> Flow[None]:
        try:
            yield Get(url=URL)
        finally:
            ended.append(True)

    class Cancelled(BaseException):
        pass

    with pytest.raises(Cancelled):
        await driver(Wire(Cancelled())).run(flow())
    assert ended == [True]


def test_no_secret_of_an_ask_is_in_its_repr() -> None:
    makers: list[Callable[[], Ask]] = [
        lambda: Get(url=URL, bearer=Secret("canary")),
        lambda: PostForm(url=URL, form=(), basic=("id", Secret("canary"))),
        lambda: Send(method="POST", url=URL, body=b"canary", bearer=Secret("canary")),
    ]
    assert not any("canary" in repr(make()) for make in makers)


async def test_how_it_went_is_noted_for_the_client_it_was_about() -> None:
    wire = Wire(answer(), ProviderUnavailable("it can't be reached"))
    one = driver(wire)
    await one.run(ask(Discovery("https://op.example")), about="op")
    seen = one.sightings.of("op")
    assert seen.discovery == ("https://op.example", "", "")
    assert seen.ok_at > 0
    assert not seen.error
    await one.run(ask(Get(url=URL)), about="op")
    with pytest.raises(ProviderUnavailable):
        await one.run(ask(Get(url=URL)), about="op")
    assert one.sightings.of("op").error == "it can't be reached"


async def test_a_flow_that_asked_nothing_says_nothing_of_a_provider() -> None:
    def flow() -> Flow[str]:
        yield from ()
        return "done"

    one = driver(Wire())
    await one.run(flow(), about="op")
    assert one.sightings.of("op").ok_at == 0


async def test_a_flow_that_went_on_without_an_answer_says_that_it_had_none() -> None:
    def flow() -> Flow[str]:
        yield Discovery("https://op.example")
        try:
            yield Get(url=URL)
        except ProviderUnavailable:
            return "without"
        return "with"

    one = driver(Wire(ProviderUnavailable("it can't be reached")))
    assert await one.run(flow(), about="op") == "without"
    seen = one.sightings.of("op")
    assert (seen.ok_at, seen.error) == (0, "it can't be reached")


# -- work -------------------------------------------------------------------------------------


async def test_a_work_is_done_while_the_loop_goes_on() -> None:
    may_end = threading.Event()

    def work() -> str:
        assert may_end.wait(60), "the loop stood still meanwhile"
        return threading.current_thread().name

    running = asyncio.ensure_future(driver(Wire()).run(ask(Work(work))))
    await asyncio.sleep(0)
    may_end.set()
    assert (await running).startswith("flow")


async def test_what_a_work_refuses_is_raised_into_the_flow_and_says_nothing_of_what_was_fetched() -> None:
    def refuse() -> None:
        raise ProviderInvalid("no", code="saml_signature")

    def flow() -> Flow[str]:
        yield Discovery("https://op.example")
        with pytest.raises(ProviderInvalid, match="no"):
            yield Work(refuse)
        return "went on"

    one = driver(Wire())
    assert await one.run(flow(), about="op") == "went on"
    assert one.sightings.of("op").ok_at > 0
    assert not one.sightings.of("op").error
    with pytest.raises(ProviderInvalid, match="no"):
        await one.run(ask(Work(refuse)), about="op")
    assert one.sightings.of("op").error == "no"


async def test_a_flow_that_had_only_work_done_says_nothing_of_a_provider() -> None:
    one = driver(Wire())
    assert await one.run(ask(Work(lambda: 7)), about="op", trusted=False) == 7
    assert one.sightings.of("op").ok_at == 0


def test_a_work_shows_nothing_of_what_it_works_on() -> None:
    assert "canary" not in repr(Work(partial(str, "canary")))
