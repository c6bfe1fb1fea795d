"""What one process may believe, by the frames that come back to it: pure, with the time as an argument.

A channel repeats every frame to all who listen, its sender too, all in one order. So a beat of one's own that came back
proves that whatever entered the channel before it was heard. A process that isn't heard between two such beats a second
apart is silent: it was killed, or is cut off, perhaps with a change that it wrote to the store and told nobody of.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import msgspec

from vestibule.store.frame import VERSION, Ack, Beat, Change, Frame, Goodbye, Message, Sync

SILENT_S: Final = 1.25
"""Who says nothing for so long, by the beats of whoever listens, is no peer any more: a second, and a beat's time."""
STATEMENT_DONE_S: Final = 10.0
"""Longer than a store goes on with a statement whose sender was killed."""
_BEATS_MAX: Final = 64
_SOMEBODY: Final = ""
"""Who is there and wasn't heard yet: waited for by those who haven't listened for long."""


class Heard(msgspec.Struct):
    """What is to be done about a frame."""

    changes: list[Change] = []
    missed: str = ""
    """Why changes may have been missed, so that everything is to be forgotten; empty: none were."""
    acks: list[Ack] = []
    """To be said once everything was forgotten that has to be."""
    echoed: list[int] = []
    """Syncs of one's own that came back."""
    settled: list[int] = []
    """Syncs of one's own that nobody is waited for any more."""
    came: str = ""
    """A process that was not heard of before."""
    vanished: list[str] = []
    """Those that fell silent."""


class _Peer:
    __slots__ = ("mark_mono", "number")

    def __init__(self, number: int, mark_mono: float) -> None:
        self.number: int | None = number
        """Of the last frame; None where some may have gone by unheard, which is known."""
        self.mark_mono = mark_mono
        """When the beat of one's own was sent that came back last before it."""


class Hearing:
    """Numbers what is said, and judges what is heard."""

    def __init__(self, node: str) -> None:
        """`node`: a name nobody else ever had."""
        self.node = node
        self.beat_mono = -math.inf
        """When the latest beat that came back on this connection was sent; whatever was said before, is known."""
        self.unreturned = 0
        """Beats that were sent on this connection since one came back."""
        self.heard_number = -1
        """The last frame of one's own that came back."""
        self._number = 0
        self._beat_number = 0
        self._sync_number = 0
        self._beats: deque[tuple[int, float]] = deque(maxlen=_BEATS_MAX)
        self._peers: dict[str, _Peer] = {}
        self._gone: dict[str, float] = {}
        self._forget_mono = math.inf
        self._since_mono = math.inf
        """When the first beat was sent that came back on this connection."""
        self._waiting: dict[int, set[str] | None] = {}

    @property
    def peers(self) -> frozenset[str]:
        """The others that are heard."""
        return frozenset(self._peers)

    # What is said

    def frame(self, messages: tuple[Message, ...]) -> Frame:
        """The next frame."""
        frame = Frame(VERSION, self.node, self._number, messages)
        self._number += 1
        return frame

    def beat(self, now_mono: float) -> Beat:
        """The next beat; it goes out at once."""
        self._beat_number += 1
        self._beats.append((self._beat_number, now_mono))
        self.unreturned += 1
        return Beat(self._beat_number)

    def sync(self) -> Sync:
        """The next sync."""
        self._sync_number += 1
        self._waiting[self._sync_number] = None
        return Sync(self._sync_number)

    def give_up(self, sync: int) -> None:
        """Nobody waits for it any more."""
        self._waiting.pop(sync, None)

    def connected(self) -> None:
        """A connection is being made: nothing is known until a beat comes back on it."""
        self.beat_mono = -math.inf
        self.unreturned = 0
        self._since_mono = math.inf
        self._beats.clear()
        for peer in self._peers.values():
            peer.number = None

    # What is heard

    def take(self, frame: Frame, now_mono: float) -> Heard:
        """What this frame, the next one of this connection, says."""
        heard = Heard()
        if frame.node == self.node:
            self._take_own(frame, now_mono, heard)
        elif self._is_next(frame, heard):
            for message in frame.messages:
                self._take_message(frame.node, message, heard)
        return heard

    def _take_own(self, frame: Frame, now_mono: float, heard: Heard) -> None:
        self.heard_number = max(self.heard_number, frame.number)
        for message in frame.messages:
            match message:
                case Beat(number):
                    self._beat_returned(number, now_mono, heard)
                case Sync(number):
                    self._sync_returned(number, now_mono, heard)
                case _:
                    pass  # taken when it was said

    def _is_next(self, frame: Frame, heard: Heard) -> bool:
        """Whether the frame is to be taken; and whether one before it was missed."""
        peer = self._peers.get(frame.node)
        if peer is None:
            self._peers[frame.node] = _Peer(frame.number, self.beat_mono)
            self._gone.pop(frame.node, None)
            heard.came = frame.node
            # Before a beat came back everything will be forgotten anyway.
            if frame.number and self.beat_mono > -math.inf:
                heard.missed = "heard_late"
            return True
        if peer.number is not None:
            if frame.number <= peer.number:
                return False  # said again, by somebody who heard it
            if frame.number != peer.number + 1:
                heard.missed = "frame_lost"
        peer.number = frame.number
        peer.mark_mono = self.beat_mono
        return True

    def _take_message(self, node: str, message: Message, heard: Heard) -> None:
        match message:
            case Change():
                heard.changes.append(message)
            case Sync(number):
                heard.acks.append(Ack(node, number))
            case Ack(self.node, number):
                self._acknowledged(node, number, heard)
            case Goodbye():
                self._peers.pop(node, None)
                self._acknowledged(node, self._sync_number, heard)
            case _:
                pass  # that it lives is seen by any frame

    def _beat_returned(self, number: int, now_mono: float, heard: Heard) -> None:
        """Threat: a beat that was not sent, or came back before, and is said by somebody who wants a cache kept."""
        while self._beats and self._beats[0][0] < number:
            self._beats.popleft()
        if not self._beats or self._beats[0][0] != number:
            return
        _, sent_mono = self._beats.popleft()
        self.unreturned = len(self._beats)
        since_s = sent_mono - self.beat_mono
        self.beat_mono = sent_mono
        self._since_mono = min(self._since_mono, sent_mono)
        if since_s >= SILENT_S:
            # The connection is new, or this process stood still: who was silent meanwhile can't be told.
            heard.missed = "connected" if since_s == math.inf else "stood_still"
            for peer in self._peers.values():
                peer.mark_mono = sent_mono
        else:
            self._look_for_silent(now_mono, heard)
        if sent_mono >= self._forget_mono:
            self._forget_mono = math.inf
            heard.missed = heard.missed or "statement_done"

    def _look_for_silent(self, now_mono: float, heard: Heard) -> None:
        for node, peer in list(self._peers.items()):
            if self.beat_mono - peer.mark_mono >= SILENT_S:
                del self._peers[node]
                self._gone[node] = now_mono
                heard.vanished.append(node)
        if heard.vanished:
            heard.missed = "vanished"
            # A statement it sent to the store may be carried out after all was forgotten, and read again.
            self._forget_mono = self.beat_mono + STATEMENT_DONE_S

    def _sync_returned(self, number: int, now_mono: float, heard: Heard) -> None:
        if number not in self._waiting or self._waiting[number] is not None:
            return
        # One that was found silent a moment ago may yet believe itself current.
        self._gone = {node: at for node, at in self._gone.items() if now_mono - at < SILENT_S}
        waiting = self._waiting[number] = self._gone.keys() | self._peers.keys()
        if not self.beat_mono - self._since_mono >= SILENT_S:
            waiting.add(_SOMEBODY)
        heard.echoed.append(number)
        if not waiting:
            heard.settled.append(number)

    def _acknowledged(self, node: str, until: int, heard: Heard) -> None:
        for number, waiting in self._waiting.items():
            if number <= until and waiting is not None and node in waiting:
                waiting.discard(node)
                if not waiting:
                    heard.settled.append(number)
