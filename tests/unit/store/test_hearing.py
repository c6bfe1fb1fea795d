"""What makes a process current and what doesn't; who is taken for silent; what is forgotten when.

Each case is a story: what enters the channel, in its order, and when. `Ear` is the process it is told of.
"""

from __future__ import annotations

import math

import pytest

from vestibule.store.frame import Ack, Beat, Change, Frame, Goodbye, Message, Sync
from vestibule.store.hearing import STATEMENT_DONE_S, Heard, Hearing

ME, BOB, EVE = "me", "bob", "eve"


class Ear:
    """A process; time passes by hand."""

    def __init__(self) -> None:
        self.hearing = Hearing(ME)
        self.at = 100.0
        self._numbers: dict[str, int] = {}
        self.hearing.connected()

    def move(self, seconds: float) -> Ear:
        self.at += seconds
        return self

    def sends(self, *messages: Message) -> Frame:
        """One's own frame, on its way."""
        return self.hearing.frame(messages)

    def sends_beat(self) -> Frame:
        return self.sends(self.hearing.beat(self.at))

    def takes(self, frame: Frame) -> Heard:
        return self.hearing.take(frame, self.at)

    def beats(self) -> Heard:
        """One beat, there and back."""
        return self.takes(self.sends_beat())

    def hears(self, node: str, *messages: Message, number: int | None = None) -> Heard:
        """Another's next frame, or that of this number."""
        number = self._numbers.get(node, 0) if number is None else number
        self._numbers[node] = number + 1
        return self.takes(Frame(1, node, number, messages or (Beat(0),)))

    @property
    def age_s(self) -> float:
        """How old the beat is that was proven last."""
        return self.at - self.hearing.beat_mono


@pytest.fixture
def ear() -> Ear:
    """A process that is current, with a peer."""
    return listening(Ear())


def listening(ear: Ear) -> Ear:
    """It has heard BOB for long enough to know who is there."""
    ear.at -= 0.25
    for _ in range(6):
        ear.move(0.25).hears(BOB)
        ear.beats()
    return ear


# -- what makes current ----------------------------------------------------------------------------


def test_nobody_is_current_before_a_beat_came_back():
    ear = Ear()
    assert ear.age_s == math.inf
    ear.sends_beat()
    ear.hears(BOB)
    assert ear.age_s == math.inf


def test_a_beat_makes_current_by_when_it_was_sent_not_by_when_it_came_back(ear):
    beat = ear.move(0.25).sends_beat()
    ear.move(0.7).takes(beat)
    assert ear.age_s == pytest.approx(0.7)


def test_a_process_that_was_stopped_is_not_made_current_by_what_waited_for_it(ear):
    """SIGSTOP for 10 s: its own beats of before, then what others said, then its first beat of after."""
    before = ear.move(0.1).sends_beat()
    ear.move(10)
    ear.takes(before)
    assert ear.age_s == pytest.approx(10)
    assert ear.hears(BOB, Change("session", "s1")).changes == [Change("session", "s1")]
    assert ear.age_s == pytest.approx(10)
    assert ear.beats().missed == "stood_still"
    assert ear.age_s == 0


def replayed(ear):
    ear.takes(Frame(1, ME, 999, (Beat(1),)))


def replayed_before_the_next(ear):
    ear.sends_beat()
    ear.takes(Frame(1, ME, 999, (Beat(1),)))


def made_up(ear):
    ear.takes(Frame(1, ME, 999, (Beat(77),)))


def anothers(ear):
    ear.hears(BOB, Beat(ear.hearing.beat(ear.at).number))


def of_the_connection_before(ear):
    beat = ear.sends_beat()
    ear.hearing.connected()
    ear.takes(beat)


@pytest.mark.parametrize(
    "trick", [replayed, replayed_before_the_next, made_up, anothers, of_the_connection_before]
)
def test_no_other_beat_makes_current(ear, trick):
    ear.move(5)
    trick(ear)
    assert ear.age_s >= 5


def test_a_beat_that_was_overtaken_counts_for_nothing(ear):
    early, late = ear.move(0.1).sends_beat(), ear.move(0.1).sends_beat()
    ear.takes(late)
    ear.move(0.1).takes(early)
    assert ear.age_s == pytest.approx(0.1)


def test_beats_that_do_not_come_back_are_counted(ear):
    for _ in range(5):
        ear.move(0.25).sends_beat()
    assert ear.hearing.unreturned == 5
    ear.hearing.connected()
    assert ear.hearing.unreturned == 0


# -- when everything is forgotten ------------------------------------------------------------------


def test_the_first_beat_of_a_connection_says_that_all_is_forgotten():
    ear = Ear()
    assert ear.beats().missed == "connected"
    assert ear.move(0.25).beats().missed == ""
    ear.hearing.connected()
    assert ear.move(0.1).beats().missed == "connected"


@pytest.mark.parametrize(
    ("number", "missed"),
    [(6, ""), (7, "frame_lost"), (9, "frame_lost")],
    ids=["the next", "one lost", "many lost"],
)
def test_a_gap_in_what_another_says_means_that_something_was_missed(ear, number, missed):
    heard = ear.hears(BOB, Change("session", "s1"), number=number)
    assert heard.missed == missed
    assert heard.changes == [Change("session", "s1")]


@pytest.mark.parametrize("number", [0, 5], ids=["long ago", "the last"])
def test_what_another_said_before_is_not_taken_again(ear, number):
    assert ear.hears(BOB, Change("session", "s1"), Goodbye(), number=number) == Heard()
    assert ear.hearing.peers == {BOB}


def test_who_is_heard_for_the_first_time_in_the_middle_may_have_said_something_before(ear):
    assert ear.hears(EVE, number=5).missed == "heard_late"
    assert ear.hears("fay", number=0).missed == ""


def test_after_a_reconnect_gaps_are_no_news(ear):
    ear.hearing.connected()
    assert ear.hears(BOB, number=50).missed == ""
    assert ear.beats().missed == "connected"
    assert ear.hears(BOB, number=51).missed == ""
    assert ear.hears(BOB, number=53).missed == "frame_lost"


# -- who is silent ---------------------------------------------------------------------------------


def test_who_says_nothing_for_a_second_of_beats_is_no_peer_and_all_is_forgotten(ear):
    for _ in range(3):
        assert ear.move(0.25).beats() == Heard()
    heard = ear.move(0.25).beats()
    assert (heard.vanished, heard.missed) == ([BOB], "vanished")
    assert ear.hearing.peers == frozenset()


def test_anything_said_is_a_sign_of_life(ear):
    for message in (Change("session", "s1"), Sync(1), Ack(EVE, 1), Beat(5)):
        for _ in range(3):
            assert not ear.move(0.25).beats().vanished
        ear.hears(BOB, message)


def test_who_says_goodbye_is_not_missed(ear):
    ear.hears(BOB, Change("session", "s1"), Goodbye())
    for _ in range(20):
        assert ear.move(0.25).beats() == Heard()


def test_who_stood_still_takes_nobody_for_silent_because_of_that(ear):
    heard = ear.move(10).beats()
    assert (heard.vanished, heard.missed) == ([], "stood_still")
    assert ear.hearing.peers == {BOB}


def test_who_died_while_one_stood_still_is_found_silent_a_second_later(ear):
    ear.move(10).beats()
    assert not ear.move(0.75).beats().vanished
    assert ear.move(0.5).beats().vanished == [BOB]


def test_nobody_is_judged_by_a_channel_that_is_late_for_all(ear):
    """A second and a half there and back; what comes back comes in its order."""
    frames = []
    for _ in range(20):
        ear.move(0.25)
        frames.append(ear.sends_beat())
        if len(frames) > 6:
            assert not ear.takes(frames.pop(0)).vanished
            ear.hears(BOB)
    assert ear.age_s >= 1.5


def test_all_is_forgotten_once_more_when_a_statement_of_the_dead_is_surely_done(ear):
    while not ear.move(0.25).beats().vanished:
        pass
    again = [at for at in range(1, 101) if ear.move(0.25).beats().missed]
    assert again == [STATEMENT_DONE_S / 0.25]


def test_who_vanished_and_comes_back_is_a_peer_again_and_may_have_said_something_meanwhile(ear):
    while not ear.move(0.25).beats().vanished:
        pass
    heard = ear.hears(BOB)
    assert (heard.came, heard.missed) == (BOB, "heard_late")
    assert ear.hearing.peers == {BOB}


# -- settling --------------------------------------------------------------------------------------


def test_a_sync_is_settled_when_all_who_were_heard_by_then_have_said_so(ear):
    ear.hears(EVE)
    sync = ear.hearing.sync()
    heard = ear.takes(ear.sends(sync))
    assert (heard.echoed, heard.settled) == ([1], [])
    assert ear.hears(BOB, Ack(ME, 1)).settled == []
    assert ear.hears("late", Beat(0)).settled == []
    assert ear.hears(EVE, Ack(ME, 1)).settled == [1]


def test_without_peers_it_is_settled_once_it_came_back():
    ear = Ear()
    for _ in range(6):
        ear.move(0.25).beats()
    assert ear.takes(ear.sends(ear.hearing.sync())).settled == [1]


def test_who_has_not_listened_for_long_waits_for_those_who_were_not_heard_yet(ear):
    ear.hearing.connected()
    for _ in range(5):
        ear.move(0.25).hears(BOB)
        ear.beats()
        sync = ear.hearing.sync()
        assert ear.takes(ear.sends(sync)).echoed == [sync.number]
        assert ear.hears(BOB, Ack(ME, sync.number)).settled == []
    ear.move(0.25).beats()
    last = ear.hearing.sync()
    ear.takes(ear.sends(last))
    assert ear.hears(BOB, Ack(ME, last.number)).settled == [last.number]


@pytest.mark.parametrize(
    "said",
    [Ack(EVE, 1), Ack(ME, 0), Beat(1), Sync(1)],
    ids=["of another's", "of an earlier one", "a beat", "its own"],
)
def test_nothing_else_settles_it(ear, said):
    ear.takes(ear.sends(ear.hearing.sync()))
    assert ear.hears(BOB, said).settled == []


def test_who_has_taken_a_later_one_has_taken_the_earlier_ones(ear):
    for _ in range(3):
        ear.takes(ear.sends(ear.hearing.sync()))
    assert ear.hears(BOB, Ack(ME, 2)).settled == [1, 2]
    assert ear.hears(BOB, Ack(ME, 3)).settled == [3]


def test_who_leaves_is_waited_for_no_more(ear):
    ear.takes(ear.sends(ear.hearing.sync()))
    assert ear.hears(BOB, Goodbye()).settled == [1]


def test_who_falls_silent_is_still_waited_for(ear):
    """It may only be slow, and current by a beat of less than a second ago."""
    ear.takes(ear.sends(ear.hearing.sync()))
    while not (heard := ear.move(0.25).beats()).vanished:
        assert not heard.settled
    assert not heard.settled
    assert ear.takes(ear.sends(ear.hearing.sync())).settled == []
    assert ear.hears(BOB, Ack(ME, 2)).settled == [1, 2]


def test_who_was_found_silent_a_second_ago_is_not_waited_for(ear):
    while not ear.move(0.25).beats().vanished:
        pass
    for _ in range(5):
        ear.move(0.25).beats()
    assert ear.takes(ear.sends(ear.hearing.sync())).settled == [1]


def test_what_was_given_up_is_not_settled(ear):
    ear.takes(ear.sends(ear.hearing.sync()))
    ear.hearing.give_up(1)
    assert ear.hears(BOB, Ack(ME, 1)).settled == []


def test_another_is_answered_after_its_changes(ear):
    heard = ear.hears(BOB, Change("session", "s1"), Sync(4), Change("session", "s2"))
    assert heard.changes == [Change("session", "s1"), Change("session", "s2")]
    assert heard.acks == [Ack(BOB, 4)]
