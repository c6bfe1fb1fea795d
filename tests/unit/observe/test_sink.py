"""The queue in front of a sink: in order, bounded, never waited for, and nothing twice."""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vestibule.observe.sink import WAIT_AHEAD_S, WAIT_S, WAIT_SHARE, Queue, Target

LONG_S = 30.0


class Taker(Target):
    """Takes what is written while its gate is open; raises what it is told to, once each."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()
        self.asked = threading.Event()
        self.taken = b""
        self.errors: list[int] = []
        self.most = 1 << 20

    def write(self, data: memoryview) -> int:
        self.asked.set()
        assert self.gate.wait(LONG_S)
        if self.errors:
            raise OSError(self.errors.pop(), "no")
        self.taken += data[: self.most]
        return min(self.most, len(data))

    @property
    def lines(self) -> list[str]:
        return self.taken.decode().split("\n")[:-1]


def plain() -> Any:
    """Lines of the event's text alone."""
    return lambda event: (
        (event if isinstance(event, str) else f"{event['event']} {event.get('count', '')}")[:200]
        .strip()
        .encode()
        + b"\n"
    )


@pytest.fixture
def taker() -> Taker:
    return Taker()


@pytest.fixture
def queue(taker: Taker) -> Iterator[Queue]:
    queue = Queue(taker, plain, now=lambda: 0.0, lines_max=100, bytes_max=10_000)
    yield queue
    taker.gate.set()
    queue.before_fork()


def test_events_come_out_in_their_order(queue: Queue, taker: Taker):
    told = [str(number) for number in range(90)]
    for number, text in enumerate(told):
        queue.put(text, 10, is_urgent=number % 3 == 0)
    queue.flush(LONG_S)
    assert taker.lines == told


def test_what_is_not_urgent_comes_out_by_itself(queue: Queue, taker: Taker):
    queue.put("a", 10, is_urgent=False)
    assert taker.asked.wait(LONG_S)


@pytest.mark.parametrize(
    ("cost_bytes", "kept"), [pytest.param(10, 100, id="lines"), pytest.param(1000, 10, id="bytes")]
)
def test_more_than_may_wait_is_dropped_and_told(queue: Queue, taker: Taker, cost_bytes: int, kept: int):
    taker.gate.clear()
    for number in range(150):
        queue.put(str(number), cost_bytes, is_urgent=True)
    assert queue.dropped == 150 - kept
    taker.gate.set()
    queue.flush(LONG_S)
    queue.put("after", 10, is_urgent=True)
    queue.flush(LONG_S)
    assert [line for line in taker.lines if "dropped" not in line] == [*map(str, range(kept)), "after"]
    assert [line for line in taker.lines if "dropped" in line] == [f"log_dropped {150 - kept}"]


def test_nobody_waits_for_a_sink_that_takes_nothing(queue: Queue, taker: Taker):
    taker.gate.clear()
    queue.put("a", 10, is_urgent=True)
    assert taker.asked.wait(LONG_S)
    assert queue._is_late  # so the next ones don't wait at all
    taker.gate.set()
    queue.flush(LONG_S)
    assert not queue._is_late


def test_who_is_urgent_is_waited_for_again_once_a_sink_has_caught_up(queue: Queue, taker: Taker):
    taker.gate.clear()
    queue.put("a", 10, is_urgent=True)
    assert taker.asked.wait(LONG_S)
    queue.put("b", 10, is_urgent=True)
    assert queue._is_late  # one that isn't waited for says nothing of how late the sink is
    taker.gate.set()
    queue.flush(LONG_S)
    queue.put("c", 10, is_urgent=True)
    assert taker.lines == ["a", "b", "c"]
    assert not queue._is_late


def test_bytes_that_are_taken_in_pieces_are_all_there(queue: Queue, taker: Taker):
    taker.most = 3
    queue.put("a long line", 10, is_urgent=True)
    queue.put("another", 10, is_urgent=True)
    queue.flush(LONG_S)
    assert taker.lines == ["a long line", "another"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EPIPE, errno.EIO], ids=errno.errorcode.get)
def test_after_an_error_it_is_tried_again(queue: Queue, taker: Taker, number: int, monkeypatch):
    monkeypatch.setattr("vestibule.observe.sink._AGAIN_S", 0.0)
    taker.errors = [number] * 3
    queue.put("a", 10, is_urgent=True)
    queue.flush(LONG_S)
    assert (taker.lines, queue.dropped) == (["a"], 0)


def test_an_event_that_makes_no_line_costs_no_other(taker: Taker):
    def broken() -> Any:
        def render(event: Any) -> bytes:
            if event == "bad":
                raise ValueError(event)
            return plain()(event)

        return render

    queue = Queue(taker, broken, now=lambda: 0.0)
    for text in ("a", "bad", "b"):
        queue.put(text, 10, is_urgent=True)
    queue.before_fork()
    assert taker.lines == ["a", "log_event_broken", "b"]


def test_a_child_writes_nothing_of_its_parents(queue: Queue, taker: Taker):
    taker.gate.clear()
    queue.put("of the parent", 10, is_urgent=True)
    copy = Queue(taker, plain, now=lambda: 0.0)
    copy._waiting.extend(queue._waiting)
    copy.after_fork()
    taker.gate.set()
    copy.put("of the child", 10, is_urgent=True)
    copy.before_fork()
    queue.flush(LONG_S)
    assert sorted(taker.lines) == ["of the child", "of the parent"]


def test_before_a_fork_all_is_written_and_the_thread_is_gone(queue: Queue, taker: Taker):
    queue.put("a", 10, is_urgent=False)
    queue.before_fork()
    assert taker.lines == ["a"]
    assert queue._thread is None
    queue.put("b", 10, is_urgent=True)
    queue.flush(LONG_S)
    assert taker.lines == ["a", "b"]


def test_where_no_thread_can_begin_what_waits_is_written_later(queue: Queue, taker: Taker, monkeypatch):
    """The system has no room for a thread, or for a process: who says so must not fail by saying it."""

    def full(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as without_room:
        without_room.setattr(threading.Thread, "start", full)
        queue.put("a", 10, is_urgent=True)
        queue.flush(LONG_S)
        queue.before_fork()
        assert taker.lines == []
    queue.flush(LONG_S)
    assert taker.lines == ["a"]
    queue.put("b", 10, is_urgent=True)
    queue.flush(LONG_S)
    assert taker.lines == ["a", "b"]


def test_an_event_of_an_object_that_is_collected_meanwhile_stands_in_nobodys_way(queue: Queue, taker: Taker):
    class Talkative:
        def __len__(self) -> int:
            queue.put("within", 10, is_urgent=True)
            return 1

    with queue._lock:  # as if it were in the midst of another
        len(Talkative())
    queue.flush(LONG_S)
    assert taker.lines == ["within"]


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("vestibule.observe.sink._LOOK_S", 0.0)
    path = tmp_path / "gateway.log"
    target = Target(path=path)
    target.write(memoryview(b"a\n"))
    path.rename(tmp_path / "gateway.log.1")
    target.write(memoryview(b"b\n"))
    target.write(memoryview(b"c\n"))
    assert path.read_text() == "b\nc\n"
    assert (tmp_path / "gateway.log.1").read_text() == "a\n"
    assert path.stat().st_mode & 0o007 == 0
    os.close(target._fd)


def test_a_pipe_that_does_not_block_takes_what_it_can(monkeypatch):
    monkeypatch.setattr("vestibule.observe.sink._AGAIN_S", 0.001)
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    target, data = Target(write_end), memoryview(b"x" * 1_000_000)
    sizes = [target.write(data) for _ in range(3)]
    assert sizes[0] > 0
    assert sizes[1:] == [0, 0]
    os.close(read_end)
    os.close(write_end)


def test_a_sink_that_is_always_a_little_slow_is_waited_for_a_small_share_of_the_time(
    taker: Taker, monkeypatch
):
    """Each line would be out a moment later: the moments of many lines add up."""
    now, waits = [0.0], []
    queue = Queue(taker, plain, now=lambda: 0.0, mono=lambda: now[0])

    def wait(_number: int, _within_s: float) -> None:
        waits.append(now[0])
        now[0] += WAIT_S / 2

    monkeypatch.setattr(queue, "_wait", wait)

    def waited(lines: int) -> float:
        waits.clear()
        for _ in range(lines):
            queue._wait_briefly(0)
        return len(waits) * WAIT_S / 2

    assert waited(1000) == pytest.approx(WAIT_AHEAD_S, rel=0.05)
    assert waited(1000) == 0
    now[0] += 1.0
    assert waited(1000) == pytest.approx(WAIT_SHARE, rel=0.1)


def test_who_put_something_there_while_it_ended_has_it_written(queue: Queue, taker: Taker):
    queue.put("a", 10, is_urgent=True)
    thread = queue._thread
    with queue._lock:
        queue._is_ending = True
        queue._ready.notify()
    assert thread is not None
    thread.join(LONG_S)
    queue._is_ending = False
    queue.put("b", 10, is_urgent=True)
    queue.flush(LONG_S)
    assert taker.lines == ["a", "b"]


@pytest.mark.parametrize(
    ("lines", "sizes"),
    [
        pytest.param([1000] * 9, [4000, 4000, 1000], id="lines that fit together"),
        pytest.param([4096, 1], [4096, 1], id="one that just fits"),
        pytest.param([5000, 10], [5000, 10], id="a longer one alone"),
        pytest.param([10, 5000], [10, 5000], id="before a longer one"),
    ],
)
def test_a_pipe_gets_whole_lines_in_pieces_that_no_other_process_can_break(
    lines: list[int], sizes: list[int]
):
    assert select.PIPE_BUF == 4096
    read_end, write_end = os.pipe()
    target, left = Target(write_end), memoryview(b"".join(b"x" * (size - 1) + b"\n" for size in lines))
    written = []
    while left:
        written.append(target.write(left))
        left = left[written[-1] :]
    assert written == sizes
    os.close(read_end)
    os.close(write_end)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path):
    path = tmp_path / "log"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):  # nobody reads it
        Target(path=path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    target = Target(path=path)
    assert target.write(memoryview(b"a\n")) == 2
    os.close(reader)
    os.close(target._fd)
