"""The stamp, on every store: what one process raises, all see, whatever their clocks say."""

from __future__ import annotations

import pytest

from vestibule.store.stamp import Stamp

NOW = 1_800_000_000.0
DAY_S = 86_400.0


async def test_nobody_has_raised_it_at_first(store):
    assert await Stamp(store.tries).read() == 0


@pytest.mark.parametrize(
    "apart_s", [0.0, -3600.0, DAY_S, -400 * DAY_S], ids=["none", "an hour back", "a day", "a year back"]
)
async def test_each_raise_is_seen_by_clocks_that_are_apart(store, apart_s):
    here = Stamp(store.tries, now=lambda: NOW)
    there = Stamp(store.tries, now=lambda: NOW + apart_s)
    seen = {await there.read()}
    for stamp in (here, there, here):
        await stamp.raise_()
        seen.add(await there.read())
        assert await here.read() == await there.read()
    assert len(seen) == 4


async def test_nothing_sweeps_it(store):
    stamp = Stamp(store.tries, now=lambda: NOW)
    await stamp.raise_()
    await store.tries.sweep(NOW + 10 * 365 * DAY_S)
    assert await stamp.read() == 1
