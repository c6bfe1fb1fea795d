"""Messages for webhooks, delivered: whatever the outbox holds arrives at least once, or is given up after a day.

What was given up is kept aside for a while, a bounded number of messages: somebody may have them tried again.

A message is claimed before it is sent, for longer than sending can take: of several processes one sends it, and when
that one dies another does. Receivers tell by `webhook-id` what they have had already.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Final

from yarl import URL

from vestibule.core.outgoing import shown
from vestibule.core.webhook import LIFE_S, Webhook, action_of, headers_of, next_at
from vestibule.errors import Conflict, ProviderError, StoreError
from vestibule.fetch import Fetcher
from vestibule.observe import clock
from vestibule.observe.log import Log
from vestibule.observe.meter import Meter
from vestibule.observe.metrics import WEBHOOK_MESSAGES
from vestibule.store.base_events import DeadLetter, DeadLetters, Letter, Outbox

TIMEOUT_S: Final = 10.0
CLAIM_S: Final = 30.0
AT_ONCE: Final = 8
LOOK_EVERY_S: Final = 5.0
DEAD_MAX: Final = 1000
"""Messages that were given up, of which so many are kept."""
DEAD_S: Final = 30 * 86_400.0
"""How long they are."""
GONE: Final = 410


class Webhooks:
    """Delivers to all receivers at the same time; to each, a few messages at a time."""

    def __init__(
        self,
        outbox: Outbox,
        dead: DeadLetters,
        webhooks: Iterable[Webhook],
        fetcher: Fetcher,
        log: Log,
        *,
        now: Callable[[], float] = clock.now,
        meter: Meter | None = None,
    ) -> None:
        self._outbox = outbox
        self._dead = dead
        self._webhooks = tuple(webhooks)
        self._fetcher = fetcher
        self._log = log.of("webhooks")
        self._now = now
        self._meter = meter or Meter()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Deliver from now on, where anybody is to be told."""
        if self._webhooks and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="webhooks")

    def wake(self) -> None:
        """There may be something to deliver."""
        self._woken.set()

    async def close(self) -> None:
        """Stop; what is being sent is sent again by whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def deliver(self) -> int:
        """Send what is due; how many arrived."""
        return sum(await asyncio.gather(*map(self._deliver_to, self._webhooks)))

    async def sweep(self, now: float, limit: int) -> int:
        """Delete what nobody delivers any more: that of webhooks that were taken out."""
        gone = await self._outbox.sweep(now - 2 * LIFE_S, limit)
        if gone:
            self._log.warning(
                "webhook_given_up", count=gone, detail="no process has had this webhook for a day"
            )
        return max(gone, await self._dead.sweep(now - DEAD_S, limit))

    async def dead(self) -> tuple[DeadLetter, ...]:
        """What was given up, the latest first. Raises StoreError."""
        return await self._dead.list(DEAD_MAX)

    async def retry(self, webhook: str, letter_id: str) -> bool:
        """Try one again, for another day; False where there is none. Raises Conflict, StoreError."""
        if all(one.id != webhook for one in self._webhooks):
            raise Conflict(
                f"There is no webhook {webhook!r} in the configuration any more.", code="no_webhook"
            )
        is_owed = await self._dead.retry(webhook, letter_id, self._now())
        self.wake()
        return is_owed

    async def discard(self, webhook: str, letter_id: str) -> bool:
        """Throw one away; False where there is none. Raises StoreError."""
        return await self._dead.discard(webhook, letter_id)

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self.deliver()
            except Exception as error:  # noqa: BLE001 - unforeseen, it must not end all deliveries
                self._log.error("webhooks_failed", error=repr(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._woken.wait()

    async def _deliver_to(self, webhook: Webhook) -> int:
        """Batch by batch, until one fails: who is away is asked by one batch at a time."""
        arrived = 0
        try:
            while letters := await self._outbox.due(webhook.id, self._now(), AT_ONCE):
                done = await asyncio.gather(*(self._send(webhook, letter) for letter in letters))
                arrived += sum(done)
                if not all(done):
                    break
        except StoreError as error:
            self._log.warning("webhook_unread", webhook=webhook.id, detail=error.detail or error.message)
        return arrived

    async def _send(self, webhook: Webhook, letter: Letter) -> bool:
        """False when it did not arrive, or is somebody else's."""
        if not await self._outbox.claim(letter, self._now() + CLAIM_S):
            return False
        fault, is_final = await self._fault(webhook, letter)
        if not fault:
            self._meter.add(WEBHOOK_MESSAGES, (webhook.id, "delivered"))
            await self._outbox.delete(letter)
            return True
        tries, now = letter.tries + 1, self._now()
        again = None if is_final else next_at(letter.created_at, tries, now)
        about = {"webhook": webhook.id, "event_id": letter.id, "tries": tries, "detail": fault}
        self._meter.add(WEBHOOK_MESSAGES, (webhook.id, "failed" if again else "dead"))
        if again is None:
            self._log.error("webhook_dead", **about)
            await self._bury(letter, tries, now, fault)
        else:
            self._log.warning("webhook_failed", **about, again_in_s=round(again - now))
            await self._outbox.put_off(letter, again)
        return False

    async def _bury(self, letter: Letter, tries: int, now: float, fault: str) -> None:
        dead = DeadLetter(
            webhook=letter.webhook,
            id=letter.id,
            action=action_of(letter.body),
            body=letter.body,
            created_at=letter.created_at,
            died_at=now,
            tries=tries,
            detail=fault,
        )
        await self._dead.bury(letter, dead, at_most=DEAD_MAX)

    async def _fault(self, webhook: Webhook, letter: Letter) -> tuple[str, bool]:
        """What went wrong, and whether it is no use to try again (410 Gone).

        Empty: any 2xx, and so it has arrived. A redirect is no 2xx, and is not followed.

        Threat: receivers that believe whoever knows the path of their URL, and a log that says it.
        """
        where = str(URL(webhook.url).origin())
        headers = headers_of(webhook, letter.id, letter.body, self._now())
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._fetcher.send("POST", webhook.url, letter.body, headers=headers)
        except ProviderError as error:
            said = error.detail.replace(shown(URL(webhook.url)), where).replace(shown(webhook.url), where)
            return f"{error.code}: {said}", False
        except TimeoutError:
            return f"{where}: not within {TIMEOUT_S:g} s", False
        fault = "" if 200 <= answer.status < 300 else f"{where} answered {answer.status}"
        return fault, answer.status == GONE
