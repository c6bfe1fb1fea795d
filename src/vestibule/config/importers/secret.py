"""Secrets of other programs' configurations: named by variable here, never printed."""

from __future__ import annotations

from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.option import Options
from vestibule.config.write import Env, Text


def secret_of(options: Options, name: str, variable: str, notes: Notes) -> Text | None:
    """A reference to this secret; None where none was given.

    What came from the environment stays in its variable; what stood in a file itself is to be put into *variable*.
    """
    given = options.given(name)
    if given is None or given.value == "":
        return None
    if not isinstance(given.value, str):
        reference: Text = given.value
        return reference
    if given.variable:
        notes.add(About.SET, given.variable, f"stays where it is; it was in {given.file}")
        return Env(given.variable)
    notes.add(
        About.SET, variable, f"to what stood as {given.written} in {given.file}: a secret is not printed"
    )
    return Env(variable)
