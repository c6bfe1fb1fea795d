"""Text to read: lines of pieces, each with how it looks; wrapped, and moved through where it is too long."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from vestibule.tui.text import plain
from vestibule.tui.theme import DARK, PALETTES

Piece = tuple[str, str]
"""A text and its role."""
Line = Sequence[Piece]


def facts(pairs: Iterable[tuple[str, str | Piece]], *, least: int = 0) -> list[Line]:
    """Names and values, a line a pair; what is empty is left out."""
    shown = [(name, value if isinstance(value, tuple) else (value, "")) for name, value in pairs if value]
    longest = max([least, *(len(name) for name, _ in shown)])
    return [((f"{name:<{longest}}  ", "dim"), value) for name, value in shown if value[0]]


def heading(text: str) -> list[Line]:
    """A heading, with a blank line before it."""
    return [(), ((text, "head"),)]


class Lines(Widget):
    """Lines of text."""

    DEFAULT_CSS = """
    Lines { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll(-1)", "up", show=False),
        Binding("down,j", "scroll(1)", "down", show=False),
        Binding("pageup", "scroll(-10)", "page up", show=False),
        Binding("pagedown", "scroll(10)", "page down", show=False),
    ]

    def __init__(self, lines: Iterable[Line] = (), *, id: str = "", can_focus: bool = False) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id or None)
        self.can_focus = can_focus
        self._lines: tuple[Line, ...] = tuple(lines)
        self._wrapped: list[list[Piece]] = []
        self._width = -1
        self._top = 0

    @property
    def text(self) -> str:
        """All of it, without how it looks."""
        return "\n".join("".join(text for text, _ in line) for line in self._lines)

    def show(self, lines: Iterable[Line]) -> None:
        """Show these."""
        self._lines = tuple(lines)
        self._width = -1
        self.refresh(layout=self.styles.height is not None and self.styles.height.is_auto)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:  # noqa: ARG002 - Textual's signature
        """As many lines as there are, wrapped."""
        self._wrap(width)
        return len(self._wrapped)

    def render_line(self, y: int) -> Strip:
        """One line."""
        width = self.size.width
        self._wrap(width)
        palette = PALETTES.get(self.app.theme, PALETTES[DARK])
        at = self._top + y
        pieces = self._wrapped[at] if at < len(self._wrapped) else []
        segments = [Segment(text, palette[role]) for text, role in pieces]
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def action_scroll(self, by: int) -> None:
        """Up or down."""
        last = max(len(self._wrapped) - self.size.height, 0)
        self._top = max(min(self._top + by, last), 0)
        self.refresh()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three up."""
        event.stop()
        self.action_scroll(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three down."""
        event.stop()
        self.action_scroll(3)

    def _wrap(self, width: int) -> None:
        if width == self._width:
            return
        self._width = width
        self._wrapped = [part for line in self._lines for part in _broken(line, max(width, 8))]
        self._top = max(min(self._top, len(self._wrapped) - self.size.height), 0)


def _broken(line: Line, width: int) -> list[list[Piece]]:
    """A line as so many as it takes; those that follow begin where the last piece of the first began."""
    pieces = [(plain(text), role) for text, role in line]
    indent = sum(len(text) for text, _ in pieces[:-1])
    if indent > width // 2:
        indent = 2
    broken: list[list[Piece]] = [[]]
    used = 0
    for given, role in pieces:
        text = given
        while len(text) > width - used:
            cut = text.rfind(" ", 0, width - used + 1)
            if cut <= 0:
                cut = 0 if used > indent and len(text) <= width - indent else width - used
            broken[-1].append((text[:cut].rstrip(), role))
            broken.append([(" " * indent, "")])
            text, used = text[cut:].lstrip(), indent
        broken[-1].append((text, role))
        used += len(text)
    return broken
