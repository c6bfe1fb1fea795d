"""The lines at the top and bottom of every screen: what this is, how it does, which keys there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

from rich.cells import cell_len
from rich.segment import Segment
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from vestibule.core.figure import milliseconds
from vestibule.tui.desk import Desk
from vestibule.tui.text import clock, count, plain, rate, span, sparkline, spread
from vestibule.tui.theme import DARK, PALETTES
from vestibule.tui.widgets.lines import Piece

BACK_S: Final = 8.0
"""For how long it is said that the gateway is there again."""
_PLOT: Final = 24
_SHORT: Final = {
    "question_mark": "?",
    "slash": "/",
    "escape": "esc",
    "enter": "⏎",
    "space": "space",
    "ctrl+up": "^↑",
    "ctrl+down": "^↓",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "ctrl+left": "^←",
    "ctrl+right": "^→",
    "plus": "+",
    "minus": "-",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "ctrl+c": "^c",
}


def key_name(key: str) -> str:
    """A key as people write it."""
    return _SHORT.get(key, key)


class OneLine(Widget):
    """One line of pieces, a group at its left and one at its right; what has no room is left out."""

    DEFAULT_CSS = """
    OneLine { height: 1; width: 1fr; background: $panel; }
    """

    def left(self) -> Sequence[Piece]:
        """What stands at the left."""
        return ()

    def right(self) -> Sequence[Piece]:
        """What stands at the right, the most important last."""
        return ()

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - Textual's signature; there is one line
        """The line."""
        width = self.size.width
        palette = PALETTES.get(self.app.theme, PALETTES[DARK])
        left = list(self.left())
        room = width - sum(cell_len(text) for text, _ in left)
        right: list[Piece] = []
        for text, role in reversed(self.right()):
            if cell_len(text) > room:
                break
            room -= cell_len(text)
            right.insert(0, (text, role))
        pieces = [*left, (" " * room, ""), *right]
        segments = [Segment(plain(text), palette[role]) for text, role in pieces]
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)


class Top(OneLine):
    """Which gateway, where in the console, and how the gateway does."""

    def __init__(self, desk: Desk, path: Callable[[], str]) -> None:
        super().__init__()
        self._desk = desk
        self._path = path

    def left(self) -> Sequence[Piece]:
        """The name, how it does, and the way to this screen."""
        sign, word, role = {
            "connecting": ("○", "connecting", "dim"),
            "live": ("●", "live", "ok"),
            "lost": ("✕", "away", "bad"),
            "refused": ("✕", "refused", "bad"),
        }[self._desk.feed.state.how]
        return ((" vestibule ", "strong"), (f"{sign} {word}", role), (f"  {self._path()}", "name"))

    def right(self) -> Sequence[Piece]:
        """Figures; then the time."""
        now = (f" {clock(self._desk.now())} ", "dim")
        seen = self._desk.overview
        if seen is None:
            return (now,)
        p95 = seen.series.p95_ms[-1] if seen.series.p95_ms else 0.0
        people = "" if seen.sessions is None else f"  {count(seen.sessions)} sessions"
        concerns = f"  ! {len(seen.concerns)} to see to" if seen.concerns else ""
        return (
            (" " + sparkline(spread(seen.series.requests, _PLOT), _PLOT), "name"),
            (people, "dim"),
            (f"  p95 {milliseconds(p95)}", "dim"),
            (f"  {rate(seen.requests_per_s)}", ""),
            (concerns, "warn"),
            (" ", ""),
            now,
        )


class Alert(OneLine):
    """That the gateway is away, or there again; nothing where all is well."""

    DEFAULT_CSS = """
    Alert { height: 1; background: $panel; display: none; }
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def look(self) -> None:
        """Be there where there is something to say."""
        self.display = bool(self.left())
        self.refresh()

    def left(self) -> Sequence[Piece]:
        """What there is to say."""
        state = self._desk.feed.state
        now = self._desk.now()
        if state.how == "lost":
            for_s = span(now - state.since) if state.since else ""
            return ((f" ✕ away for {for_s}, trying again: ", "bad"), (state.why, ""))
        if state.how == "refused":
            return ((" ✕ the traffic is not for this token: ", "bad"), (state.why, ""))
        is_new = state.since is not None and now - state.since < timedelta(seconds=BACK_S)
        if state.how == "live" and self._desk.feed.losses and is_new:
            return ((f" ● the gateway is there again, since {clock(state.since)}", "ok"),)
        return ()


class Notice(OneLine):
    """A line of the screen's own, for what was done or could not be."""

    DEFAULT_CSS = """
    Notice { height: 1; display: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._piece: Piece = ("", "")

    @property
    def text(self) -> str:
        """What it says."""
        return self._piece[0].strip()

    def say(self, text: str, role: str = "") -> None:
        """Say this; nothing: say no more."""
        self._piece = (f" {text}", role)
        self.display = bool(text)
        self.refresh()

    def left(self) -> Sequence[Piece]:
        """It."""
        return (self._piece,)


class Keys(OneLine):
    """The keys of this screen, those of what has the focus first."""

    def left(self) -> Sequence[Piece]:
        """As many as there is room for; `?` has all."""
        pieces: list[Piece] = []
        room = self.size.width - 8
        for key, words in shown_keys(self.screen):
            used = cell_len(key) + cell_len(words) + 3
            if used > room:
                continue
            room -= used
            pieces += [(f" {key}", "key"), (f" {words} ", "dim")]
        return pieces

    def right(self) -> Sequence[Piece]:
        """Where the others stand."""
        return (("? ", "key"), ("help ", "dim"))


def shown_keys(screen: Screen[object]) -> Iterator[tuple[str, str]]:
    """Keys and words of what can be done here, each once."""
    told: set[str] = set()
    shown = [one.binding for one in screen.active_bindings.values() if one.enabled and one.binding.show]
    # What works everywhere is known after a while; what this screen has of its own comes first.
    for binding in sorted(
        shown, key=lambda binding: binding.action == "back" or binding.action.startswith("show(")
    ):
        if binding.action not in told:
            told.add(binding.action)
            yield binding.key_display or key_name(binding.key), binding.description
