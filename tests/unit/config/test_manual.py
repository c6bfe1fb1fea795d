"""The manual: current, and whole."""

from __future__ import annotations

import functools
from pathlib import Path

import msgspec
import pytest

from vestibule import providers
from vestibule.config import schema
from vestibule.config.client import fields_of
from vestibule.config.manual import manual, texts_of
from vestibule.config.shape import Node, shape_of
from vestibule.config.value import KINDS

FILE = Path(__file__).parents[3] / "docs" / "configuration.md"
BLOCKS = [
    cls
    for cls in vars(schema).values()
    if isinstance(cls, type) and issubclass(cls, Node) and cls not in (Node, schema.Config, schema.General)
]


@functools.cache
def page() -> str:
    """The manual, made once: it reads the source of every provider."""
    return manual()


def test_the_file_is_what_the_docstrings_say() -> None:
    # By lines: pytest takes minutes to compare two such texts.
    assert FILE.read_text("utf-8").splitlines() == page().splitlines(), (
        "run: python -m vestibule.config.manual > docs/configuration.md"
    )


@pytest.mark.parametrize("cls", BLOCKS, ids=lambda cls: cls.__name__)
def test_every_attribute_and_block_is_explained(cls: type[Node]) -> None:
    shape = shape_of(cls)
    names = {field.name for field in (*shape.attributes.values(), *shape.blocks.values())}
    assert names <= set(texts_of(cls))
    assert all(f"`{name}`" in page() for name in (*names, *cls.ALIASES))


@pytest.mark.parametrize("kind", sorted(providers.BUILTIN))
def test_every_setting_of_a_provider_is_explained(kind: str) -> None:
    cls: type[msgspec.Struct] = providers.BUILTIN[kind]
    assert set(fields_of(cls).attributes) - {"token_url", "issuer_url"} <= set(texts_of(cls))
    assert all(
        f"`{field}`" in page()
        for field in fields_of(cls).attributes
        if field not in ("token_url", "issuer_url")
    )


def test_every_block_of_the_top_level_is_in_it() -> None:
    shape = shape_of(schema.Config)
    assert all(f"## `{field.name}" in page() for field in shape.blocks.values())


def test_every_kind_of_value_has_words() -> None:
    assert all(kind.words for kind in KINDS.values())
