"""The body of a call comes once; what comes then is what is waited for."""

from __future__ import annotations

import asyncio

import pytest

from vestibule.service.asgi import Message, receiving


async def _left() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("body", [b"", b"hello"])
async def test_the_whole_body_comes_once_and_then_that_who_asked_has_left(body: bytes):
    receive = receiving(body, _left)
    assert await receive() == {"type": "http.request", "body": body, "more_body": False}
    assert [await receive() for _ in range(3)] == [{"type": "http.disconnect"}] * 3


async def test_who_asks_on_waits_as_long_as_nobody_leaves():
    left = asyncio.Event()

    async def leaves() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    receive = receiving(b"", leaves)
    await receive()
    waiting = asyncio.ensure_future(receive())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    left.set()
    assert (await waiting)["type"] == "http.disconnect"


async def test_each_call_has_its_own_body():
    one, other = receiving(b"1", _left), receiving(b"2", _left)
    assert [(await each())["body"] for each in (one, other)] == [b"1", b"2"]
