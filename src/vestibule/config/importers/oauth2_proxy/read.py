"""oauth2-proxy's sources brought together: flags go before the environment, and that before the TOML file.

What an alpha YAML file says of providers, upstreams, headers and addresses stands in the place of all three.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from vestibule.config.importers import source
from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.oauth2_proxy import alpha
from vestibule.config.importers.oauth2_proxy.alpha import Alpha
from vestibule.config.importers.oauth2_proxy.options import BY_FLAG, BY_NAME, OWN_FLAGS, PREFIX, variable
from vestibule.config.importers.option import Given, Kind, Options, given
from vestibule.config.importers.source import Form, Source
from vestibule.config.place import nearest
from vestibule.errors import ConfigError


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """What all sources together say."""

    options: Options
    alpha: Alpha | None = None
    addresses: str = ""
    """Of the authenticated e-mails file, where its text was given."""


def read(sources: Sequence[Source], notes: Notes) -> Read:
    """The options in force. Raises ConfigError with every text that can't be read."""
    layers: dict[Form, list[Given]] = {Form.TOML: [], Form.ENVIRONMENT: [], Form.FLAGS: []}
    faults: list[str] = []
    found: Alpha | None = None
    addresses: list[str] = []
    files = frozenset(PurePath(one.name).name for one in sources)
    for one in sources:
        try:
            source.check_size(one)
            match source.form_of(one, (PREFIX,)):
                case Form.FLAGS:
                    layers[Form.FLAGS] += _flags(one, files, notes)
                case Form.ENVIRONMENT:
                    layers[Form.ENVIRONMENT] += _environment(one, notes)
                case Form.TOML:
                    layers[Form.TOML] += _toml(one, notes)
                case Form.YAML:
                    found = alpha.read(one, notes)
                case Form.ADDRESSES:
                    addresses.append(one.text)
                case None:
                    faults.append(f"{one.name}: holds no flags, environment, TOML or YAML of oauth2-proxy")
        except ConfigError as exc:
            faults += exc.faults
    if faults:
        raise ConfigError(tuple(faults))
    merged = _merged([*layers[Form.TOML], *layers[Form.ENVIRONMENT], *_joined(layers[Form.FLAGS])])
    if found is not None:
        merged = _under(found, merged, notes)
    return Read(options=Options(merged), alpha=found, addresses="\n".join(addresses))


def _flags(one: Source, files: frozenset[str], notes: Notes) -> Iterator[Given]:
    words = list(source.words_of(one))
    while words and not words[0].startswith("-"):
        words.pop(0)  # the program itself, and what starts it
    while words:
        word = words.pop(0)
        flag, has_value, value = word.lstrip("-").partition("=")
        option = BY_FLAG.get(flag)
        if not word.startswith("-"):
            notes.add(About.UNKNOWN, word, f"{one.name}: belongs to no flag before it")
        elif option is None and flag not in OWN_FLAGS:
            notes.add(About.UNKNOWN, f"--{flag}", f"no flag of oauth2-proxy{nearest(flag, BY_FLAG)}")
            if not has_value and words and not words[0].startswith("-"):
                words.pop(0)
        elif option is not None and option.kind is Kind.SWITCH:
            yield given(option, value if has_value else True, written=f"--{flag}", file=one.name)
        else:
            if not has_value and words and (option is not None or not words[0].startswith("-")):
                value = words.pop(0)
            if option is not None:
                yield given(option, source.with_references(value), written=f"--{flag}", file=one.name)
            elif flag in ("config", "alpha-config") and PurePath(value).name not in files:
                notes.add(
                    About.DO, f"--{flag}", f"names {value}, which was not imported: give both files at once"
                )


def _environment(one: Source, notes: Notes) -> Iterator[Given]:
    known = {variable(option): option for option in BY_NAME.values()}
    for name, value in source.variables_of(one):
        if not name.startswith(PREFIX) or not value:
            continue
        option = known.get(name)
        if option is None:
            notes.add(About.UNKNOWN, name, f"no variable of oauth2-proxy{nearest(name, known)}")
        else:
            yield given(option, value, written=name, file=one.name, variable=name)


def _toml(one: Source, notes: Notes) -> Iterator[Given]:
    for written, value in source.toml_of(one).items():
        name = written.replace("-", "_").lower()
        option = BY_NAME.get(name)
        if option is None:
            notes.add(About.UNKNOWN, written, f"no option of oauth2-proxy{nearest(name, BY_NAME)}")
        else:
            yield given(option, value, written=written, file=one.name)


def _merged(several: Sequence[Given]) -> list[Given]:
    """Each option once; the last one stands."""
    return list({one.option.name: one for one in several}.values())


def _joined(flags: Sequence[Given]) -> Iterator[Given]:
    """Flags; one that may be given several times has the values of all of them."""
    lists: dict[str, tuple[Any, ...]] = {}
    for one in flags:
        if one.option.kind is Kind.LIST:
            lists[one.option.name] = (*lists.get(one.option.name, ()), *one.value)
            yield msgspec.structs.replace(one, value=lists[one.option.name])
        else:
            yield one


def _under(found: Alpha, merged: Sequence[Given], notes: Notes) -> list[Given]:
    """The options with those of the alpha file, which oauth2-proxy itself reads in the place of these."""
    kept = []
    for one in merged:
        if one.option.name in alpha.REPLACES:
            notes.add(
                About.NONE,
                one.written,
                "counts for nothing beside an alpha file, in oauth2-proxy, too: left out",
            )
        else:
            kept.append(one)
    return [*kept, *found.given]
