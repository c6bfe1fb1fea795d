"""What the files say by now that isn't in force, and putting that in force: what was looked at, and nothing else."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from vestibule.admin_model import Difference, Reloaded
from vestibule.errors import Invalid, VestibuleError
from vestibule.tui.desk import Desk
from vestibule.tui.gateway import told
from vestibule.tui.screens.ask import Confirm
from vestibule.tui.screens.page import Page
from vestibule.tui.widgets.lines import Line, Lines

OTHER: Final = 412
"""The files say something else by now."""
ALIKE: Final = "The files say what is in force."
AGAIN: Final = "What they name is read again: certificates, templates, passwords, folders."
_ROLES: Final = {"+": "ok", "-": "bad", "@": "dim"}


class ReloadScreen(Page):
    """The difference; a key puts it in force."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("l", "load", "put in force"),
        Binding("r", "again", "read the files again"),
    ]
    name_of = "reload"
    every_s = 0  # the gateway reads all its files for it

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.lines = Lines(id="difference", can_focus=True)
        self._found: Difference | None = None

    def body(self) -> ComposeResult:
        """One pane."""
        self.lines.add_class("pane", "text")
        self.lines.border_title = "what would change"
        yield self.lines

    def on_mount(self) -> None:
        """Ready to move in it."""
        self.lines.focus()
        self.lines.show([(("the gateway reads its files …", "dim"),)])

    async def load(self) -> None:
        """Have the gateway read its files; nothing is changed by it."""
        self._found = await self.ask(self.desk.gateway.admin.difference)
        self.lines.show(lines_of(self._found))

    def action_again(self) -> None:
        """Once more."""
        self.say("")
        self.run_worker(self.reload(), exclusive=True, group="load")

    def action_load(self) -> None:
        """Ask, then put in force what is seen."""
        found = self._found
        if found is None:
            return
        if found.faults or found.restart:
            self.say("these files can't be put in force: mend them, then r reads them again", "bad")
            return
        detail = "" if found.is_changed else f"{ALIKE} {AGAIN}"

        def answered(yes: bool | None) -> None:  # noqa: FBT001 - it is the answer
            if yes:
                self.do(self._put(found))

        self.app.push_screen(Confirm("Put that in force, in every process?", detail), answered)

    async def _put(self, found: Difference) -> None:
        """Put in force what was looked at. Raises VestibuleError."""
        self.say("it is being put in force …")
        try:
            done = await self.ask(lambda: self.desk.gateway.admin.reload(found.fingerprint))
        except Invalid as error:
            await self.load()
            self.say(f"refused, and what is in force stays: {told(error)}", "bad")
        except VestibuleError as error:
            if error.status != OTHER:
                raise
            await self.load()
            self.say("the files were changed meanwhile: look at the difference again", "warn")
        else:
            await self.load()
            self.say(said(done), "ok")


def lines_of(found: Difference) -> list[Line]:
    """What keeps it from being taken, what to think of, and the difference itself."""
    lines: list[Line] = []
    for head, texts in (("can't be loaded", found.faults), ("takes a restart", found.restart)):
        if texts:
            lines += [((head, "head"),), *((("! ", "bad"), (text, "")) for text in texts), ()]
    if found.warnings:
        lines += [(("warnings", "head"),), *((("! ", "warn"), (text, "")) for text in found.warnings), ()]
    if found.is_changed:
        return [*lines, *(((text, _role(text)),) for text in found.diff.splitlines())]
    return lines if found.faults else [*lines, ((ALIKE, "ok"),), ((AGAIN, "dim"),)]


def _role(text: str) -> str:
    return "head" if text.startswith(("--- ", "+++ ")) else _ROLES.get(text[:1], "")


def said(done: Reloaded) -> str:
    """What has changed, by name."""
    named = (("added", done.added), ("changed", done.changed), ("removed", done.removed))
    changes = "; ".join(f"{what}: {', '.join(names)}" for what, names in named if names)
    return f"in force ({changes})" if changes else "in force"
