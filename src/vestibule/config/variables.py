"""Settings by environment variable, under whichever name they were written.

A setting has one name here (`CLIENT_ID`): the variable is `VESTIBULE_CLIENT_ID`, or that of the text on Nuon,
`NUON_AUTH_CLIENT_ID`, in any case. Two that say different things are a fault; an empty one counts as not set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from vestibule.config import hcl
from vestibule.config.place import Place, Report

PREFIX: Final = "VESTIBULE_"
NUON: Final = "NUON_AUTH_"
#: names without either prefix
_BARE: Final[Mapping[str, tuple[str, ...]]] = {
    "ROOT_DOMAIN": ("ROOT_DOMAIN", "root_domain"),
    "PORT": ("PORT",),
}
#: read where nothing of the setting's own is written: what a platform sets by itself
_FALLBACK: Final[Mapping[str, str]] = {"PUBLIC_URL": "RENDER_EXTERNAL_URL"}


class Variables:
    """The environment, by names of settings."""

    def __init__(self, environ: Mapping[str, str], report: Report) -> None:
        self._environ = environ
        self._found: dict[str, str] = {}
        """The variable each setting comes from."""
        self._prefixed: dict[str, list[str]] = {}
        for variable in sorted(environ):
            for prefix, written in ((PREFIX, variable), (NUON, variable.upper())):
                if written.startswith(prefix):
                    self._prefixed.setdefault(written.removeprefix(prefix), []).append(variable)
        for name in {*self._prefixed, *_BARE, *_FALLBACK}:
            self._find(name, report)

    def _find(self, name: str, report: Report) -> None:
        candidates = [*self._prefixed.get(name, ()), *_BARE.get(name, ())]
        written = [variable for variable in candidates if self._environ.get(variable, "").strip()]
        # Ours comes first: it says what is meant where a name belongs to other programs, too.
        written.sort(key=lambda variable: not variable.startswith(PREFIX))
        for other in written[1:]:
            if self._environ[other].strip() != self._environ[written[0]].strip():
                report.fault(Place(other), f"says something else than {written[0]}: write one of them")
        if not written and self._environ.get(_FALLBACK.get(name, ""), "").strip():
            written = [_FALLBACK[name]]
        if written:
            self._found[name] = written[0]

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._found))

    @property
    def is_nuon(self) -> bool:
        """True where a name of the text on Nuon is written."""
        return any(variable.upper().startswith(NUON) for variable in self._environ)

    def text(self, name: str) -> str:
        """What it says, without blanks around; empty where it isn't set."""
        return self._environ[self._found[name]].strip() if name in self._found else ""

    def place(self, name: str) -> Place:
        """The variable it comes from, or ours."""
        return Place(self._found.get(name, PREFIX + name))

    def variable(self, name: str) -> str:
        """The name to write it under, in a message: as the others are written."""
        return f"{NUON}{name}" if self.is_nuon and name != "ROOT_DOMAIN" else f"{PREFIX}{name}"

    def value(self, name: str) -> hcl.Value:
        """Its text as a value."""
        return hcl.Value(self.text(name), self.place(name))

    def items(self, name: str) -> tuple[hcl.Value, ...]:
        """The items of a comma list."""
        return items_of(self.text(name), self.place(name))


def items_of(text: str, place: Place) -> tuple[hcl.Value, ...]:
    """The items of a comma list, the empty ones left out."""
    return tuple(hcl.Value(item.strip(), place) for item in text.split(",") if item.strip())


def named(**values: hcl.Value) -> dict[str, hcl.Attribute]:
    """Attributes with these values."""
    return {name: hcl.Attribute(name, value, value.place) for name, value in values.items()}
