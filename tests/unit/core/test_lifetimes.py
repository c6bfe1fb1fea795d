"""One set of lifetimes for the configuration and for what is made without one."""

from __future__ import annotations

from vestibule.config import schema
from vestibule.core.lifetimes import USUAL, Lifetimes


def test_a_session_ends_unused_before_it_ends_anyway() -> None:
    assert USUAL.flow_s < USUAL.handle_s < USUAL.idle_s < USUAL.absolute_s


def test_the_configuration_has_an_attribute_for_each() -> None:
    own = {name for name in schema.Lifetimes.__annotations__ if name != "LATER"}
    assert len(own) == len(Lifetimes.__struct_fields__)
