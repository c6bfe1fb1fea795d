"""A list with a cursor, of any length: it draws the lines that are seen, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from vestibule.tui.columns import Column, widths
from vestibule.tui.text import fit, plain
from vestibule.tui.theme import DARK, PALETTES, Palette


class Items(Protocol):
    """What is listed, 0 on top."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int, /) -> Any: ...


class Rows(Widget, can_focus=True):
    """A list in columns; `Opened` where somebody presses Enter, `Edge` where the cursor would leave it."""

    DEFAULT_CSS = """
    Rows { height: 1fr; width: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home,g", "jump(0)", "first", show=False),
        Binding("end,G", "jump(-1)", "last", show=False),
        Binding("enter", "open", "open"),
    ]

    class Opened(Message):
        """Somebody wants to see this."""

        def __init__(self, rows: Rows, item: Any) -> None:
            super().__init__()
            self.rows = rows
            self.item = item

        @property
        def control(self) -> Rows:
            """The list."""
            return self.rows

    class Moved(Message):
        """The cursor is elsewhere, by hand."""

        def __init__(self, rows: Rows, at: int) -> None:
            super().__init__()
            self.rows = rows
            self.at = at

        @property
        def control(self) -> Rows:
            """The list."""
            return self.rows

    class Edge(Message):
        """The cursor would go beyond the first (-1) or last (1)."""

        def __init__(self, rows: Rows, way: int) -> None:
            super().__init__()
            self.rows = rows
            self.way = way

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty: str = "",
        key: Callable[[Any], object] | None = None,
        rests: bool = True,
        opens: bool = True,
        id: str = "",  # noqa: A002 - Textual's name
    ) -> None:
        """`key`: what an item is known by when the list is shown anew; the cursor stays with it.

        `rests`: the cursor is seen where the focus is elsewhere, too. `opens`: there is more to an item than is seen.
        """
        super().__init__(id=id or None)
        self._columns = tuple(columns)
        self._items: Items = ()
        self._key = key
        self._rests = rests
        self._opens = opens
        self._widths: list[int] = []
        self.empty = empty
        """What stands there where nothing does."""
        self.cursor = 0
        self._top = 0

    # -- what is shown ------------------------------------------------------------------------

    @property
    def item(self) -> Any:
        """That under the cursor; None: there is none."""
        return self._items[self.cursor] if 0 <= self.cursor < len(self._items) else None

    @property
    def items(self) -> Items:
        """All of them."""
        return self._items

    def show(self, items: Items) -> None:
        """List these. The cursor stays with its item, where that is still there."""
        before = self.item
        self._items = items
        if before is not None and self._key is not None:
            wanted = self._key(before)
            self.cursor = next(
                (at for at in range(len(items)) if self._key(items[at]) == wanted), self.cursor
            )
        self.changed()

    def changed(self) -> None:
        """The items are others than they were."""
        self.cursor = max(min(self.cursor, len(self._items) - 1), 0)
        self._keep_seen()
        self.refresh()

    def use(self, columns: Sequence[Column]) -> None:
        """Other columns."""
        self._columns = tuple(columns)
        self._widths = []
        self.refresh()

    @property
    def place(self) -> str:
        """Which of them are seen, where that isn't all of them."""
        height, count = self._height, len(self._items)
        if count <= height:
            return ""
        return f"{self._top + 1}-{min(self._top + height, count)} of {count}"

    @property
    def _height(self) -> int:
        return max(self.size.height - 1, 0)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's
        """Enter is a key only where it opens something."""
        return self._opens or action != "open"

    # -- drawing ------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """The head, or an item."""
        width = self.size.width
        palette = PALETTES.get(self.app.theme, PALETTES[DARK])
        if sum(self._widths) + len(self._widths) != width:
            room = max(width - 2, 1)
            self._widths = widths(self._columns, room)
        if y == 0:
            return self._strip(self._head(palette), width)
        at = self._top + y - 1
        if at < len(self._items):
            return self._strip(self._line(at, palette), width)
        if y == 2 and not len(self._items):
            return self._strip([Segment(f"  {plain(self.empty)}", palette["dim"])], width)
        return self._strip([], width)

    def _strip(self, segments: list[Segment], width: int) -> Strip:
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def _head(self, palette: Palette) -> list[Segment]:
        cells = [
            fit(column.head, room, right=column.right)
            for column, room in zip(self._columns, self._widths, strict=True)
            if room
        ]
        return [Segment("  " + " ".join(cells), palette["head"])]

    def _line(self, at: int, palette: Palette) -> list[Segment]:
        item = self._items[at]
        is_here = at == self.cursor and (self._rests or self.has_focus)
        over = palette["cursor" if self.has_focus else "resting"] if is_here else None
        mark = ("▸ " if self.has_focus else "· ") if is_here else "  "
        segments = [Segment(mark, palette["key"])]
        for column, room in zip(self._columns, self._widths, strict=True):
            if room:
                text, role = column.shown(item, room)
                segments.append(Segment(_fitted(text, room, column.right), palette[role]))
                segments.append(_BLANK)
        if over is None:
            return segments
        width = self.size.width
        strip = Strip(segments).adjust_cell_length(width)
        return [Segment(text, (style + over) if style else over) for text, style, _ in strip]

    # -- moving -------------------------------------------------------------------------------

    def action_move(self, by: int) -> None:
        """One up or down."""
        goal = self.cursor + by
        if not 0 <= goal < len(self._items):
            self.post_message(self.Edge(self, by))
            return
        self.go(goal)

    def action_page(self, by: int) -> None:
        """As many as are seen."""
        self.go(self.cursor + by * max(self._height - 1, 1))

    def action_jump(self, at: int) -> None:
        """The first (0), or last (-1)."""
        self.go(at if at >= 0 else len(self._items) - 1)

    def action_open(self) -> None:
        """Open what is under the cursor."""
        if self.item is not None:
            self.post_message(self.Opened(self, self.item))

    def go(self, at: int) -> None:
        """The cursor to this place."""
        self.cursor = max(min(at, len(self._items) - 1), 0)
        self._keep_seen()
        self.refresh()
        self.post_message(self.Moved(self, self.cursor))

    def _keep_seen(self) -> None:
        height = self._height
        if height <= 0:
            return
        self._top = min(self._top, self.cursor)
        self._top = max(self._top, self.cursor - height + 1)
        self._top = max(min(self._top, len(self._items) - height), 0)

    def on_resize(self) -> None:
        """More or fewer lines."""
        self._widths = []
        self._keep_seen()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Three up."""
        event.stop()
        self.go(self.cursor - 3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Three down."""
        event.stop()
        self.go(self.cursor + 3)

    def on_click(self, event: events.Click) -> None:
        """That one; once more opens it."""
        at = self._top + event.y - 1
        if event.y == 0 or not 0 <= at < len(self._items):
            return
        if event.chain > 1:
            self.action_open()
        else:
            self.go(at)


_BLANK = Segment(" ")


@lru_cache(8192)
def _fitted(text: str, room: int, right: bool) -> str:  # noqa: FBT001 - a key of the cache
    return fit(text, room, right=right)
