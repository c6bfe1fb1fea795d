"""What becomes of which option, as a page of the manual: made from the importers' own tables.

`python -m vestibule.config.importers.table oauth2-proxy > docs/moving/oauth2-proxy-options.md`, and so for `vouch`; a
test keeps the files current.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from vestibule.config.importers.oauth2_proxy import options as oauth2_proxy
from vestibule.config.importers.option import Option
from vestibule.config.importers.vouch import options as vouch


class _Product(msgspec.Struct, frozen=True, kw_only=True):
    """Another program whose options there is a page about."""

    title: str
    groups: Mapping[str, tuple[Option, ...]]
    written: Callable[[Option], str]
    """How the option is written there, beside its name."""
    how: str


PRODUCTS: Final[Mapping[str, _Product]] = {
    "oauth2-proxy": _Product(
        title="oauth2-proxy",
        groups=oauth2_proxy.GROUPS,
        written=lambda option: f"`--{oauth2_proxy.flag(option)}`",
        how="The first column has each option's name in the TOML file (in the environment in capitals behind "
        "`OAUTH2_PROXY_`) and its flag. The keys of an alpha file that mean the same are read as these; what only an "
        "alpha file can say is in [the walk-through](oauth2-proxy.md#an-alpha-file).",
    ),
    "vouch": _Product(
        title="Vouch",
        groups=vouch.GROUPS,
        written=lambda option: f"`{vouch.variable(option)}`",
        how="The first column has each option's place in the YAML file, and its environment variable.",
    ),
}


def page(name: str) -> str:
    """The page about the options of this program, as Markdown."""
    return "".join(_lines(name, PRODUCTS[name]))


def _lines(name: str, product: _Product) -> Iterator[str]:
    yield f"# Options of {product.title}\n\n"
    yield f"<!-- Made by `python -m vestibule.config.importers.table {name}`. -->\n\n"
    yield f"What `vestibule import {name}` makes of each. {product.how}\n\n"
    yield (
        "*Carried over* has its like here. *Another way* comes about differently, or is always so. *No equivalent* is "
        "told where it is set, with the reason. What is not in this table is named as unknown, never passed over.\n"
    )
    for heading, options in product.groups.items():
        yield f"\n## {heading}\n\n| option | | here |\n|---|---|---|\n"
        for option in options:
            here = option.here.replace("|", "\\|")
            yield f"| `{option.name}`<br>{product.written(option)} | {option.fate.value} | {here} |\n"


if __name__ == "__main__":
    sys.stdout.write(page(sys.argv[1]))
