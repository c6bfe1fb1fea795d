"""How a row of a table of options is written."""

from __future__ import annotations

from typing import Any

from vestibule.config.importers.option import Fate, Kind, Option


def carried(name: str, here: str, **how: Any) -> Option:
    """An option that has its like here."""
    return _row(name, Fate.CARRIED, here, **how)


def changed(name: str, here: str, **how: Any) -> Option:
    """An option whose effect comes about in another way."""
    return _row(name, Fate.CHANGED, here, **how)


def dropped(name: str, here: str, **how: Any) -> Option:
    """An option that has no like here, and why."""
    return _row(name, Fate.NONE, here, **how)


def _row(
    name: str,
    fate: Fate,
    here: str,
    *,
    many: bool = False,
    switch: bool = False,
    span: bool = False,
    number: bool = False,
    usual: tuple[Any, ...] = (),
    quiet: bool = False,
    secret: bool = False,
) -> Option:
    kinds = ((many, Kind.LIST), (switch, Kind.SWITCH), (span, Kind.SPAN), (number, Kind.NUMBER))
    return Option(
        name=name,
        kind=next((kind for is_so, kind in kinds if is_so), Kind.TEXT),
        fate=fate,
        here=here,
        usual=usual,
        quiet=quiet,
        secret=secret,
    )
