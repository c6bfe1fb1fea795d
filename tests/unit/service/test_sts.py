"""Machines of AWS: what is sent, to whom, how often, and whom its answer makes of it."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.unit.protocol.test_aws_answer import BOMB, identity, tagged
from tests.unit.protocol.test_sts import CALL, FORM, HOST, NOW, SERVER, posted, presigned, signed, tags
from vestibule.core.machine import ClaimRule, Machine
from vestibule.errors import ProviderUnavailable
from vestibule.fetch import Fetcher, Request
from vestibule.protocol.authorization_server import OAuthError
from vestibule.service.sts import AT_ONCE_MAX, Sts
from vestibule.store.memory import Marks

HERE = "auth.example.com"
A = "123456789012"
RUNNER = Machine(name="runner", kind="aws", hosts=("app.example.com",), accounts=(A,))


class Answered:
    """An answer, whole."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.headers, self._body = status, {"content-type": "text/xml"}, body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


class Aws:
    """Answers to what is sent, by host; keeps all of it."""

    def __init__(self) -> None:
        self.sent: list[Request] = []
        self.status = 200
        self.says: dict[str, bytes] = {"sts": identity(), "ec2": tagged()}
        self.error: Exception | None = None
        self.gate: asyncio.Event | None = None

    @asynccontextmanager
    async def send(self, request: Request) -> AsyncIterator[Answered]:
        self.sent.append(request)
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        named = request.headers.get("host", request.url.host or "")
        yield Answered(self.status, self.says[named.partition(".")[0]])

    async def close(self) -> None:
        """Nothing is open."""


async def resolve(_name: str, _port: int) -> tuple[ipaddress.IPv4Address]:
    return (ipaddress.IPv4Address("203.0.113.7"),)


class World:
    def __init__(self) -> None:
        self.aws = Aws()
        self.sts = Sts(Fetcher(transport=self.aws, resolve=resolve), Marks())

    async def prove(self, shown: Any, *machines: Machine, here: str = HERE, now: float = NOW):
        text = shown if isinstance(shown, str) else json.dumps(shown)
        return await self.sts.prove(text, machines or (RUNNER,), now, here=here)

    async def refused(self, shown: Any, *machines: Machine, **more: Any) -> OAuthError:
        with pytest.raises(OAuthError) as caught:
            await self.prove(shown, *machines, **more)
        return caught.value


@pytest.fixture
def world() -> World:
    return World()


def machine(name: str = "runner", **fields: Any) -> Machine:
    return Machine(name=name, kind="aws", hosts=("app.example.com",), **{"accounts": (A,), **fields})


async def test_who_signed_is_the_machine(world):
    found = await world.prove(signed())
    assert (found.machine, found.subject) == ("runner", f"arn:aws:iam::{A}:role/ci-deploy")
    assert found.claims["role"] == "ci-deploy"
    assert found.claims["session"] == "i-0123456789abcdef0"


async def test_what_is_sent_is_what_was_signed_and_nothing_else(world):
    shown = signed(headers={**SERVER, "User-Agent": "aws-cli/2"})
    await world.prove(shown)
    [request] = world.aws.sent
    assert (request.method, request.url.host, request.body) == ("GET", HOST, None)
    assert request.url.query_string == CALL
    assert request.headers == {
        "accept": "text/xml",
        "authorization": shown["headers"]["Authorization"],
        "x-amz-date": shown["headers"]["X-Amz-Date"],
        "x-amz-security-token": shown["headers"]["X-Amz-Security-Token"],
        "x-vestibule-server-id": HERE,
    }


async def test_a_form_goes_on_as_it_is(world):
    await world.prove(posted())
    [request] = world.aws.sent
    assert (request.method, request.body) == ("POST", CALL.encode())
    assert request.headers["content-type"] == f"{FORM}; charset=utf-8"


async def test_the_operators_endpoint_is_asked_in_place_of_aws(world):
    await world.prove(signed(), machine(endpoint="http://127.0.0.1:9/"))
    [request] = world.aws.sent
    assert str(request.url).startswith("http://127.0.0.1:9/?Action=")
    assert request.headers["host"] == HOST


@pytest.mark.parametrize(
    ("shown", "machines", "here"),
    [
        (signed(url=f"https://{HOST}/?Action=AssumeRole&Version=2011-06-15"), (RUNNER,), HERE),
        (signed(url=f"https://evil.example/?{CALL}"), (RUNNER,), HERE),
        (signed(headers={}), (RUNNER,), HERE),
        (signed(at=NOW - 301), (RUNNER,), HERE),
        (signed(), (RUNNER,), "auth.example.org"),
        (signed(), (machine(server_id="another"),), HERE),
        (signed(), (machine(regions=("us-east-1",)),), HERE),
        (signed(), (machine(partitions=("aws-cn",)),), HERE),
        (signed(), (machine(tags=(ClaimRule("env", ("prod",)),)),), HERE),
        (signed(), (Machine(name="x", kind="github"),), HERE),
        ({"sts": signed(), "tags": signed()}, (RUNNER,), HERE),
        (
            {"sts": signed(), "tags": tags() | {"url": "https://ec2.eu-central-1.amazonaws.com/"}},
            (RUNNER,),
            HERE,
        ),
        ("nonsense", (RUNNER,), HERE),
    ],
    ids=[
        "another call",
        "another place",
        "no header",
        "too old",
        "for another gateway",
        "for another machine",
        "another region",
        "another partition",
        "no tags, where they are asked for",
        "for a machine of another kind",
        "another call for tags",
        "no call for tags",
        "no request",
    ],
)
async def test_what_is_refused_unseen_is_never_sent(world, shown, machines, here):
    error = await world.refused(shown, *machines, here=here)
    assert error.code in {"invalid_request", "invalid_grant"}
    assert world.aws.sent == []


async def test_a_request_is_good_once(world):
    await world.prove(presigned())
    error = await world.refused(presigned())
    assert (error.code, len(world.aws.sent)) == ("invalid_grant", 1)
    assert "before" in error.description


async def test_a_node_whose_clock_is_slow_knows_it_still(world):
    shown = presigned(expires=60)
    await world.prove(shown)
    assert await world.sts._marks.sweep(NOW + 61) == 0
    assert "before" in (await world.refused(shown, now=NOW + 59)).description
    assert await world.sts._marks.sweep(NOW + 121) == 1


async def test_of_many_at_once_one_is_sent(world):
    found = await asyncio.gather(*(world.prove(signed()) for _ in range(5)), return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in found) == 1
    assert len(world.aws.sent) == 1


async def test_the_first_machine_by_name_that_matches_is_it(world):
    found = await world.prove(
        signed(),
        machine("z", accounts=(A,)),
        machine("b", accounts=(A,)),
        machine("a", accounts=("210987654321",)),
    )
    assert found.machine == "b"


async def test_somebody_else_is_no_machine(world):
    error = await world.refused(signed(), machine(roles=(f"arn:aws:iam::{A}:role/other",)))
    assert error.code == "invalid_grant"
    assert f"arn:aws:iam::{A}:role/ci-deploy" in error.description


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>", "invalid_grant", "SignatureDoesNotMatch"),
        (403, b"<Error><Code>ExpiredToken</Code></Error>", "invalid_grant", "ExpiredToken"),
        (400, b"", "invalid_grant", "400"),
        (400, b"<Error><Code>Throttling</Code></Error>", "temporarily_unavailable", "Throttling"),
        (429, b"", "temporarily_unavailable", "429"),
        (500, identity(), "temporarily_unavailable", "500"),
        (302, identity(), "temporarily_unavailable", "302"),
        (200, b"<html>", "invalid_grant", "doesn't say who"),
        (200, identity(start=BOMB), "invalid_grant", "doesn't say who"),
    ],
)
async def test_nobody_is_let_in_by_any_other_answer(world, status, body, code, said):
    world.aws.status, world.aws.says["sts"] = status, body
    error = await world.refused(signed())
    assert (error.code, error.status) == (code, 503 if code == "temporarily_unavailable" else 400)
    assert said in error.description


async def test_nobody_is_let_in_while_aws_is_away(world):
    world.aws.error = ProviderUnavailable("no", code="connection_failed")
    error = await world.refused(signed())
    assert (error.code, error.status) == ("temporarily_unavailable", 503)


async def test_only_so_many_are_under_way(world):
    world.aws.gate = asyncio.Event()
    waiting = [asyncio.ensure_future(world.prove(signed(at=NOW - at))) for at in range(AT_ONCE_MAX)]
    while len(world.aws.sent) < AT_ONCE_MAX:
        await asyncio.sleep(0)
    error = await world.refused(signed(at=NOW - 250))
    assert (error.code, error.status) == ("temporarily_unavailable", 503)
    world.aws.gate.set()
    assert len(await asyncio.gather(*waiting)) == AT_ONCE_MAX
    assert await world.prove(signed(at=NOW - 251))


TAGGED = machine(tags=(ClaimRule("runner.example.com/id", ("r-*",)), ClaimRule("env", ("prod",))))


async def test_tags_of_its_own_instance_make_it_the_machine(world):
    assert (await world.prove({"sts": signed(), "tags": tags()}, TAGGED)).machine == "runner"
    assert len(world.aws.sent) == 2


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ec2", tagged(instance="i-0bad")),
        ("ec2", b"<DescribeTagsResponse/>"),
        ("ec2", tagged().replace(b"prod", b"test")),
        ("sts", identity(arn=f"arn:aws:sts::{A}:assumed-role/ci-deploy/i-0fedcba9876543210")),
        ("sts", identity(arn=f"arn:aws:iam::{A}:user/i-0123456789abcdef0")),
    ],
    ids=["of another", "none", "other tags", "another instance signed", "a user of that name signed"],
)
async def test_other_tags_or_those_of_another_instance_make_nobody_it(world, name, body):
    world.aws.says[name] = body
    error = await world.refused({"sts": signed(), "tags": tags()}, TAGGED)
    assert error.code == "invalid_grant"


async def test_tags_that_somebody_else_signed_for_are_not_asked_for(world):
    another = json.loads(json.dumps(tags()).replace("AKIDEXAMPLE", "AKIDOTHERXX"))
    error = await world.refused({"sts": signed(), "tags": another}, TAGGED)
    assert (error.code, world.aws.sent) == ("invalid_grant", [])


async def test_a_request_for_tags_is_good_once(world):
    await world.prove({"sts": signed(), "tags": tags()}, TAGGED)
    error = await world.refused({"sts": signed(at=NOW - 1), "tags": tags()}, TAGGED)
    assert "before" in error.description
