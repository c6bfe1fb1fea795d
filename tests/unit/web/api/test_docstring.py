"""What stands below fields: read from the source, of whichever class says it last."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import Field

from vestibule.web.api import docstring
from vestibule.web.api.docstring import field_docs
from vestibule.web.api.shape import Model

Item = TypeVar("Item")


class Base(Model):
    """A class."""

    one: int
    """The first."""
    two: str = ""
    """The second,
    on two lines."""
    three: float = 0.0

    def method(self) -> None:
        """No field."""


class Below(Base, Generic[Item]):
    one: int = 3
    item: Item
    """Anything."""
    four: Base
    """Another."""
    five: str = Field("", alias="the-fifth")
    """By another name."""


def test_each_field_is_told_by_the_class_that_declared_it_last(monkeypatch) -> None:
    monkeypatch.setattr(docstring, "_OURS", "test")
    assert field_docs(Base) == {"one": "The first.", "two": "The second,\non two lines."}
    shown = Below[int].model_json_schema()["properties"]
    assert {name: one.get("description") for name, one in shown.items()} == {
        "one": None,
        "two": "The second,\non two lines.",
        "three": None,
        "item": "Anything.",
        "four": "Another.",
        "the-fifth": "By another name.",
    }
    told = {"two": "The second,\non two lines.", "item": "Anything.", "four": "Another."}
    assert field_docs(Below[int]) == {**told, "five": "By another name."}


def test_classes_of_others_and_classes_without_source_have_none(monkeypatch) -> None:
    assert field_docs(Base) == {}
    monkeypatch.setattr(docstring, "_OURS", "nowhere")
    assert field_docs(type("Made", (), {"__module__": "nowhere", "__annotations__": {"one": int}})) == {}
