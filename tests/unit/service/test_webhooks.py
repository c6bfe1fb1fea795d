"""`service.webhooks`: messages arrive at least once, or are given up after a day."""

from __future__ import annotations

import asyncio
import io
import json
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from tests.unit.service.conftest import Away, Clock
from vestibule.core.webhook import LIFE_S, WAITS_S, Webhook
from vestibule.errors import Conflict, ProviderUnavailable
from vestibule.fetch import Fetcher
from vestibule.model import Secret
from vestibule.observe.log import Log
from vestibule.service.webhooks import CLAIM_S, DEAD_S, Webhooks
from vestibule.store.base_events import Letter
from vestibule.store.memory_events import Audit, DeadLetters, Outbox

SECRET = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
OPS = Webhook(id="ops", url="https://ops.example/hook?key=1", secrets=(SECRET,))
DEV = Webhook(id="dev", url="http://10.0.0.7:9000/", secrets=(SECRET,))


class Incoming:
    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status = status
        self.headers = headers

    async def chunks(self):
        yield b"thank you"


class Wire:
    """Answers by host; keeps what was sent."""

    def __init__(self) -> None:
        self.status = {"ops.example": 204, "10.0.0.7": 200}
        self.headers: dict[str, str] = {}
        self.sent: list = []

    @asynccontextmanager
    async def send(self, request):
        self.sent.append(request)
        await asyncio.sleep(0)
        status = self.status[request.url.host]
        if not status:
            raise ProviderUnavailable("away", detail="no connection", code="connection_failed")
        yield Incoming(status, self.headers)

    async def close(self) -> None:
        pass


class Post:
    """One process that delivers."""

    def __init__(self, *webhooks: Webhook, of: Post | None = None) -> None:
        self.clock = of.clock if of else Clock()
        self.store = of.store if of else Outbox()
        self.outbox = Away(self.store)
        self.dead = of.dead if of else DeadLetters(self.store)
        self.wire = Wire()
        self.out = io.StringIO()
        self.webhooks = Webhooks(
            self.outbox,
            self.dead,
            webhooks or (OPS,),
            Fetcher(transport=self.wire, resolve=self._resolve),
            Log(self.out),
            now=self.clock.now,
        )

    async def _resolve(self, _host: str, _port: int):
        return (ip_address("203.0.113.5"),)

    async def put(self, *ids: str, webhook: str = "ops") -> None:
        now = self.clock.now()
        letters = [
            Letter(webhook=webhook, id=one, body=b'{"type":"x"}', created_at=now, next_at=now) for one in ids
        ]
        await Audit(self.store).add((), letters)

    def said(self) -> list[dict]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


async def test_a_message_is_posted_with_its_signature_and_is_gone():
    post = Post()
    await post.put("evt_1")
    assert await post.webhooks.deliver() == 1
    (request,) = post.wire.sent
    assert request.method == "POST"
    assert str(request.url) == OPS.url
    assert request.body == b'{"type":"x"}'
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "evt_1"
    assert request.headers["webhook-timestamp"] == str(int(post.clock.now()))
    assert request.headers["webhook-signature"].startswith("v1,")
    assert await post.store.count() == 0
    assert post.said() == []


@pytest.mark.parametrize("status", [301, 404], ids=["by the fetcher", "by the receiver"])
@pytest.mark.parametrize(
    "path", ["/hooks/s3cret", "/hooks/s3cr%C3%A9t", "/s3cr\N{LATIN SMALL LETTER E WITH ACUTE}t"]
)
async def test_the_log_says_where_a_receiver_is_and_not_the_path_that_it_may_go_by(status, path):
    post = Post(Webhook(id="ops", url=f"https://ops.example{path}?key=s3cret", secrets=(SECRET,)))
    post.wire.status["ops.example"] = status
    await post.put("evt_1")
    assert await post.webhooks.deliver() == 0
    (line,) = post.said()
    assert "https://ops.example" in line["detail"]
    assert "s3cr" not in post.out.getvalue()


@pytest.mark.parametrize("status", [0, 301, 307, 400, 404, 429, 500, 503])
async def test_one_that_did_not_arrive_is_tried_again_later(status):
    post = Post()
    post.wire.status["ops.example"] = status
    post.wire.headers = {"location": "https://elsewhere.example/"}
    await post.put("evt_1")
    assert await post.webhooks.deliver() == 0
    assert len(post.wire.sent) == 1
    (line,) = post.said()
    assert (line["event"], line["webhook"], line["tries"]) == ("webhook_failed", "ops", 1)
    assert "key=1" not in post.out.getvalue()
    assert await post.webhooks.deliver() == 0
    assert len(post.wire.sent) == 1
    post.clock.move(WAITS_S[0])
    post.wire.status["ops.example"] = 200
    assert await post.webhooks.deliver() == 1


async def test_it_is_given_up_after_a_day_and_the_log_says_so():
    post = Post()
    post.wire.status["ops.example"] = 500
    await post.put("evt_1")
    for _ in range(200):
        await post.webhooks.deliver()
        post.clock.move(1800.0)
    assert await post.store.count() == 0
    assert post.said()[-1]["event"] == "webhook_dead"
    assert post.said()[-1]["level"] == "error"
    assert len(WAITS_S) < len(post.wire.sent) < 20


async def test_one_that_is_away_does_not_keep_others_from_theirs():
    post = Post(OPS, DEV)
    post.wire.status["ops.example"] = 0
    await post.put("evt_1", "evt_2")
    await post.put("evt_1", "evt_2", webhook="dev")
    assert await post.webhooks.deliver() == 2
    assert await post.store.count() == 2


async def test_of_two_processes_one_sends_it():
    post = Post()
    other = Post(of=post)
    await post.put(*(f"evt_{n}" for n in range(30)))
    await asyncio.gather(post.webhooks.deliver(), other.webhooks.deliver())
    while await post.store.count():
        await post.webhooks.deliver()
    sent = [request.headers["webhook-id"] for request in post.wire.sent + other.wire.sent]
    assert sorted(sent) == sorted(set(sent))
    assert len(sent) == 30


async def test_what_a_process_that_died_had_claimed_another_sends():
    post = Post()
    await post.put("evt_1")
    (letter,) = await post.store.due("ops", post.clock.now(), 9)
    assert await post.store.claim(letter, post.clock.now() + CLAIM_S)
    assert await post.webhooks.deliver() == 0
    post.clock.move(CLAIM_S)
    assert await post.webhooks.deliver() == 1


async def test_messages_of_a_webhook_that_was_taken_out_are_left_and_swept():
    post = Post()
    await post.put("evt_1", webhook="gone")
    assert await post.webhooks.deliver() == 0
    assert await post.webhooks.sweep(post.clock.now() + LIFE_S, 9) == 0
    assert await post.webhooks.sweep(post.clock.now() + 2 * LIFE_S + 1, 9) == 1
    assert post.said()[-1]["event"] == "webhook_given_up"


async def test_while_the_store_is_away_nothing_is_sent():
    post = Post()
    await post.put("evt_1")
    post.outbox.is_away = True
    assert await post.webhooks.deliver() == 0
    post.outbox.is_away = False
    assert await post.webhooks.deliver() == 1


async def test_it_delivers_by_itself_when_it_is_woken():
    post = Post()
    post.webhooks.start()
    await post.put("evt_1")
    post.webhooks.wake()
    while await post.store.count():
        await asyncio.sleep(0)
    await post.webhooks.close()
    assert len(post.wire.sent) == 1


async def test_where_nobody_is_to_be_told_nothing_runs():
    post = Post()
    idle = Webhooks(post.outbox, post.dead, (), Fetcher(transport=post.wire), Log(post.out))
    idle.start()
    await idle.close()
    assert post.outbox.calls == []


async def test_what_was_given_up_is_kept_and_can_be_tried_again():
    post = Post()
    post.wire.status["ops.example"] = 500
    await post.put("evt_1")
    await post.webhooks.deliver()
    post.clock.move(LIFE_S)
    await post.webhooks.deliver()
    (dead,) = await post.webhooks.dead()
    assert (dead.id, dead.action, dead.tries) == ("evt_1", "x", 2)
    assert dead.detail == "https://ops.example answered 500"
    post.wire.status["ops.example"] = 204
    assert await post.webhooks.retry("ops", "evt_1")
    assert await post.webhooks.deliver() == 1
    assert await post.webhooks.dead() == ()
    assert not await post.webhooks.discard("ops", "evt_1")


async def test_a_receiver_that_says_it_is_gone_is_not_asked_for_a_day():
    post = Post()
    post.wire.status["ops.example"] = 410
    await post.put("evt_1")
    await post.webhooks.deliver()
    assert [one.tries for one in await post.webhooks.dead()] == [1]
    assert post.said()[-1]["event"] == "webhook_dead"


async def test_what_was_given_up_is_swept_after_a_month_and_no_webhook_is_made_up():
    post = Post()
    post.wire.status["ops.example"] = 410
    await post.put("evt_1")
    await post.webhooks.deliver()
    with pytest.raises(Conflict):
        await post.webhooks.retry("dev", "evt_1")
    assert await post.webhooks.sweep(post.clock.now() + DEAD_S, 9) == 0
    assert await post.webhooks.sweep(post.clock.now() + DEAD_S + 1, 9) == 1
    assert await post.webhooks.dead() == ()
