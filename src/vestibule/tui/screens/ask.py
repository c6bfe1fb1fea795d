"""Small windows above a screen: to be asked whether, or why; to be shown something for a while."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from vestibule.tui.widgets.lines import Line, Lines

REASON_LEAST: Final = 3
"""Characters of a reason; less says nothing to who reads the trail."""
SHOWN_S: Final = 20
"""For how long tokens are seen."""


class Confirm(ModalScreen[bool]):
    """A question; `y` is yes, everything else no."""

    DEFAULT_CSS = """
    Confirm { align: center middle; }
    Confirm Vertical { width: 64; max-width: 96%; height: auto; border: heavy $warning; padding: 1 2;
      background: $surface; }
    Confirm Lines { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,enter,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str, detail: str = "") -> None:
        super().__init__()
        self._lines: list[Line] = [((question, "strong"),)]
        if detail:
            self._lines += [((detail, ""),)]
        self._lines += [(), (("y", "key"), (" yes   ", ""), ("n", "key"), (" no", ""))]

    def compose(self) -> ComposeResult:
        """The question."""
        with Vertical() as window:
            window.border_title = "really?"
            yield Lines(self._lines)

    def action_answer(self, answer: bool) -> None:  # noqa: FBT001 - it is the answer
        """Away."""
        self.dismiss(answer)


class Reason(ModalScreen[str]):
    """Why somebody wants to see a secret; empty: they don't any more."""

    DEFAULT_CSS = """
    Reason { align: center middle; }
    Reason Vertical { width: 70; max-width: 96%; height: auto; border: heavy $warning; padding: 1 2;
      background: $surface; }
    Reason Lines { height: auto; }
    Reason Input { margin: 1 0 0 0; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "no")]

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def compose(self) -> ComposeResult:
        """What will be seen, that it is kept, and the line to write in."""
        with Vertical() as window:
            window.border_title = "reveal"
            yield Lines(
                [
                    ((f"Reveal {self._what}?", "strong"),),
                    (("The audit trail keeps who looked, and why.", ""),),
                ]
            )
            yield Input(placeholder="why: a ticket, a sentence", id="reason", max_length=200)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Good enough, or not yet."""
        reason = event.value.strip()
        if len(reason) < REASON_LEAST:
            self.query_one(Lines).show(
                [
                    ((f"Reveal {self._what}?", "strong"),),
                    (("Say why; Esc leaves it.", "warn"),),
                ]
            )
            return
        self.dismiss(reason)

    def action_leave(self) -> None:
        """Rather not."""
        self.dismiss("")


class Shown(ModalScreen[None]):
    """Something to read; with `for_s`, it is gone after so many seconds."""

    DEFAULT_CSS = """
    Shown { align: center middle; }
    Shown Vertical { width: 96%; max-width: 120; height: auto; max-height: 90%; border: heavy $primary; padding: 1 2;
      background: $surface; }
    Shown Lines { height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,space", "close", "close")]

    def __init__(self, title: str, lines: Iterable[Line], *, for_s: int = 0) -> None:
        super().__init__()
        self._words = title
        self._lines = Lines(lines)
        self._left_s = for_s

    def compose(self) -> ComposeResult:
        """It."""
        with Vertical() as window:
            window.border_title = self._words
            window.border_subtitle = self._ends
            yield self._lines

    def on_mount(self) -> None:
        """The clock runs."""
        if self._left_s:
            self.set_interval(1, self.second)

    def second(self) -> None:
        """One second less."""
        self._left_s -= 1
        if self._left_s <= 0:
            self.action_close()
            return
        self.query_one(Vertical).border_subtitle = self._ends

    def action_close(self) -> None:
        """Away, and with it what it showed."""
        self._lines.show([])
        if self.is_current:
            self.dismiss(None)

    @property
    def _ends(self) -> str:
        return f"masked again in {self._left_s} s · esc" if self._left_s else "esc"
