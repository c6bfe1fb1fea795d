"""Vouch's sources brought together: the environment goes before the YAML file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from vestibule.config.importers import source
from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.option import Given, Options, given
from vestibule.config.importers.source import Form, Source
from vestibule.config.importers.vouch.options import (
    BY_NAME,
    BY_PLAIN,
    OWN_VARIABLES,
    PREFIXES,
    plain,
    variable,
)
from vestibule.config.place import nearest
from vestibule.errors import ConfigError


def read(sources: Sequence[Source], notes: Notes) -> Options:
    """The options in force. Raises ConfigError with every text that can't be read."""
    from_file: list[Given] = []
    from_environment: list[Given] = []
    faults: list[str] = []
    for one in sources:
        try:
            source.check_size(one)
            match source.form_of(one, PREFIXES):
                case Form.ENVIRONMENT:
                    from_environment += _environment(one, notes)
                case Form.YAML:
                    from_file += _yaml(one, notes)
                case _:
                    faults.append(f"{one.name}: holds neither YAML nor environment variables of Vouch")
        except ConfigError as exc:
            faults += exc.faults
    if faults:
        raise ConfigError(tuple(faults))
    return Options([*from_file, *from_environment])


def _environment(one: Source, notes: Notes) -> Iterator[Given]:
    for name, value in source.variables_of(one):
        if not name.startswith(PREFIXES) or name in OWN_VARIABLES:
            continue
        option = BY_PLAIN.get(plain(name))
        if option is None:
            known = [variable(option) for option in BY_NAME.values()]
            notes.add(About.UNKNOWN, name, f"no variable of Vouch{nearest(name, known)}")
        elif value:
            yield given(option, value, written=name, file=one.name, variable=name)


def _yaml(one: Source, notes: Notes) -> Iterator[Given]:
    whole = source.yaml_of(one)
    if not isinstance(whole, dict) or not {"vouch", "oauth"} & {str(key).lower() for key in whole}:
        raise ConfigError(
            (f"{one.name}: is no configuration of Vouch: it has neither `vouch:` nor `oauth:`",)
        )
    yield from _entries("", whole, one, notes)


def _entries(at: str, part: dict[Any, Any], one: Source, notes: Notes) -> Iterator[Given]:
    for key, value in part.items():
        name = f"{at}.{key}" if at else str(key)
        option = BY_PLAIN.get(plain(name))
        if option is None and isinstance(value, dict):
            yield from _entries(name, value, one, notes)
        elif option is None and value is not None:
            notes.add(About.UNKNOWN, name, f"no key of Vouch's file{nearest(name, BY_NAME)}")
        elif option is not None and value is not None:
            raw = json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
            yield given(option, raw, written=name, file=one.name)
