"""All keys of a screen, told from its bindings; and what this program is."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen

from vestibule import __version__
from vestibule.tui.desk import Desk
from vestibule.tui.text import moment, plain, span
from vestibule.tui.widgets.bar import key_name
from vestibule.tui.widgets.lines import Line, Lines, facts

_FILTER: Final[tuple[tuple[str, str], ...]] = (
    ("app", "in method, path, host, person, provider, decision, address, ids"),
    ("host:app", "in the name of the host, calling interface or edge"),
    ("person:ada", "in the person's address or name"),
    ("status:4xx", "also 404, >=500, left"),
    ("decision:denied", "in what decided"),
    ("path:/api", "also method: provider: kind: session: address:"),
)
_NOT_OURS: Final = frozenset({"screen.copy_text", "help_quit"})
"""What Textual brings along, and who sees a terminal doesn't look for here."""
_SIGNS: Final[tuple[tuple[str, str], ...]] = (
    (">", "led elsewhere (3xx)"),
    ("x", "refused (4xx)"),
    ("!", "failed (5xx)"),
    ("-", "left before the answer"),
)


class _Window(ModalScreen[None]):
    """Text above a screen."""

    DEFAULT_CSS = """
    _Window { align: center middle; }
    _Window Vertical { width: 74; max-width: 96%; height: auto; max-height: 92%; border: heavy $primary; padding: 0 2;
      background: $surface; }
    _Window Lines { height: auto; max-height: 100%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark,a", "close", "close"),
        Binding("up,k", "scroll(-1)", "up"),
        Binding("down,j", "scroll(1)", "down"),
        Binding("pageup", "scroll(-10)", "up"),
        Binding("pagedown", "scroll(10)", "down"),
    ]
    head = ""

    def lines(self) -> list[Line]:
        """What it says."""
        return []

    def compose(self) -> ComposeResult:
        """It."""
        with Vertical() as window:
            window.border_title = self.head
            window.border_subtitle = "↑ ↓ · esc"
            yield Lines(self.lines())

    def action_close(self) -> None:
        """Away."""
        self.dismiss(None)

    def action_scroll(self, by: int) -> None:
        """Up or down."""
        self.query_one(Lines).action_scroll(by)


class HelpScreen(_Window):
    """The keys of the screen below."""

    head = "keys"

    def __init__(self, desk: Desk, of: Screen[object]) -> None:  # noqa: ARG002 - every screen gets the desk
        super().__init__()
        self._keys = keys_of(of)
        self._has_filter = any(words == "filter" for _, words in self._keys)

    def lines(self) -> list[Line]:
        """Keys; filters and signs where there is traffic."""
        told = _two_columns(self._keys)
        if self._has_filter:
            told += [(), (("filter: words, all of which must be there", "head"),), *facts(_FILTER)]
            told += [(), (("beside a status", "head"),), *facts(_SIGNS)]
        return told


class AboutScreen(_Window):
    """The program, and the gateway it looks at."""

    head = "about"

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk

    def lines(self) -> list[Line]:
        """Which versions, where, since when."""
        seen = self._desk.overview
        known = (
            [
                ("gateway", f"version {plain(seen.version)}"),
                ("runs since", f"{moment(seen.started_at)}, {span(seen.now - seen.started_at)}"),
            ]
            if seen is not None
            else [("gateway", "has not told anything of itself yet")]
        )
        return [
            (("Vestibule, the entrance hall for web apps", "strong"),),
            (),
            *facts(
                [
                    ("console", f"version {__version__}"),
                    *known,
                    ("asked at", self._desk.gateway.where),
                    ("remembered", f"{len(self._desk.ring.rows)} requests, here in this console"),
                    ("licence", "Apache-2.0"),
                ]
            ),
            (),
            (("Tokens are masked. Whoever reveals one says why, and the audit trail keeps it.", "dim"),),
        ]


def keys_of(screen: Screen[object]) -> list[tuple[str, str]]:
    """All keys of a screen and of what has the focus in it, with what they do."""
    found: dict[str, list[str]] = {}
    for active in screen.active_bindings.values():
        binding = active.binding
        words = binding.description.lower()
        if words and active.enabled and not binding.system and binding.action not in _NOT_OURS:
            found.setdefault(words, []).append(binding.key_display or key_name(binding.key))
    return [(" ".join(dict.fromkeys(keys)), words) for words, keys in found.items()]


def _two_columns(keys: list[tuple[str, str]]) -> list[Line]:
    half = -(-len(keys) // 2)
    lines: list[Line] = []
    for number in range(half):
        pieces = []
        for key, words in keys[number::half]:
            pieces += [(f"{key:<11} ", "key"), (f"{words:<23}", "")]
        lines.append(tuple(pieces))
    return lines
