"""Settings from environment variables: beside a file they override it, without one they are all there is.

The way without a file stands in `config.surroundings`.
"""

from __future__ import annotations

from collections.abc import Mapping

from vestibule.config import hcl, schema, schema_branding
from vestibule.config.place import Place, Report, nearest
from vestibule.config.shape import Node, shape_of
from vestibule.config.surroundings import OWN, provider_settings
from vestibule.config.variables import PREFIX, items_of

#: blocks of which attributes can be overridden: `VESTIBULE_<BLOCK>_<ATTRIBUTE>`
OVERRIDABLE: Mapping[str, type[Node]] = {
    "gateway": schema.Gateway,
    "acme": schema.Acme,
    "admin": schema.Admin,
    "store": schema.Store,
    "lifetimes": schema.Lifetimes,
    "people": schema.People,
    "log": schema.Log,
    "branding": schema_branding.Branding,
}
SESSION_KEY = "VESTIBULE_SESSION_KEY"
#: what `vestibule demo` tells the command it runs
DEMO_URL = "VESTIBULE_DEMO_URL"
#: what commands show to the admin API; the gateway itself has no use for it
ADMIN_TOKEN = "VESTIBULE_ADMIN_TOKEN"  # noqa: S105 - the name of a variable
#: read beside a file, too
_EVERYWHERE = (SESSION_KEY, DEMO_URL, ADMIN_TOKEN)


def session_keys_in(text: str) -> tuple[str, ...]:
    """The keys that `VESTIBULE_SESSION_KEY` holds, separated by commas."""
    return tuple(key for part in text.split(",") if (key := part.strip()))


def overridden(root: hcl.Block, environ: Mapping[str, str], report: Report) -> hcl.Block:
    """The whole configuration with what the environment says about the gateway's own blocks."""
    blocks = list(root.blocks)
    for block, cls in OVERRIDABLE.items():
        attributes = _attributes(block, cls, environ, report)
        if attributes:
            blocks = _with_attributes(blocks, block, attributes)
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            _check_name(variable, report)
    return hcl.Block(root.type, root.place, root.labels, root.attributes, tuple(blocks))


def beside_file(environ: Mapping[str, str], report: Report) -> None:
    """Tell that the variables of the way without a file do nothing beside one."""
    for variable in sorted(environ):
        if variable in _known() and variable not in _EVERYWHERE:
            report.warn(
                Place(variable), "has no effect beside a configuration file; it is read only without one"
            )


def _known() -> frozenset[str]:
    """The variables of the way without a file, and those read everywhere."""
    return frozenset(PREFIX + name for name in {*OWN, *provider_settings()})


def _check_name(variable: str, report: Report) -> None:
    """A variable of ours that sets nothing is a mistake, and one that meant to shut a door is a dangerous one."""
    known = _known()
    if variable in known or any(variable.startswith(f"{PREFIX}{block.upper()}_") for block in OVERRIDABLE):
        return
    advice = nearest(variable, known) or "; unset it"
    report.fault(Place(variable), f"there is no such variable{advice}")


def _attributes(
    block: str, cls: type[Node], environ: Mapping[str, str], report: Report
) -> dict[str, hcl.Attribute]:
    start = f"{PREFIX}{block.upper()}_"
    shape = shape_of(cls)
    found: dict[str, hcl.Attribute] = {}
    for variable in sorted(environ):
        if not variable.startswith(start) or variable in _EVERYWHERE:
            continue
        name = variable.removeprefix(start).lower()
        place = Place(variable)
        field = shape.attributes.get(name)
        if field is None and name in cls.LATER:
            report.fault(place, f"`{name}` is not in this version yet; unset the variable")
        elif field is None:
            report.fault(place, f"`{block}` has no attribute `{name}`{nearest(name, shape.attributes)}")
        else:
            data = items_of(environ[variable], place) if field.listed else environ[variable]
            found[name] = hcl.Attribute(name, hcl.Value(data, place), place)
    return found


def _with_attributes(
    blocks: list[hcl.Block], name: str, attributes: Mapping[str, hcl.Attribute]
) -> list[hcl.Block]:
    for number, block in enumerate(blocks):
        if block.type == name and not block.labels:
            merged = {**block.attributes, **attributes}
            return [
                *blocks[:number],
                hcl.Block(name, block.place, (), merged, block.blocks),
                *blocks[number + 1 :],
            ]
    return [*blocks, hcl.Block(name, next(iter(attributes.values())).place, (), attributes)]
