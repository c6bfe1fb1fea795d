"""One set of lifetimes for the configuration and for what is made without one; the shortest of several holds."""

from __future__ import annotations

import math

import pytest

from vestibule.config import schema
from vestibule.core.lifetimes import UNBOUNDED, USUAL, Lifetimes, Span, bound, shortest

TOP = Lifetimes(idle_s=100.0, absolute_s=1000.0, remember_s=9000.0).span
HOST = bound(idle_s=None, absolute_s=500.0, remember_s=2000.0)
PROVIDER = bound(idle_s=50.0, absolute_s=None, remember_s=None)


def test_a_session_ends_unused_before_it_ends_anyway() -> None:
    assert USUAL.flow_s < USUAL.handle_s < USUAL.idle_s < USUAL.absolute_s


def test_the_configuration_has_an_attribute_for_each() -> None:
    own = {name for name in schema.Lifetimes.__annotations__ if name != "LATER"}
    assert len(own) == len(Lifetimes.__struct_fields__)


@pytest.mark.parametrize(
    ("spans", "usual", "kept"),
    [
        pytest.param((TOP,), (1000.0, 100.0), (9000.0, 9000.0), id="the installation"),
        pytest.param((TOP, UNBOUNDED), (1000.0, 100.0), (9000.0, 9000.0), id="a host that says nothing"),
        pytest.param((TOP, HOST), (500.0, 100.0), (2000.0, 2000.0), id="a host"),
        pytest.param((TOP, HOST, PROVIDER), (500.0, 50.0), (2000.0, 50.0), id="a provider that bounds idleness only"),
        pytest.param((USUAL.span, PROVIDER), (7 * 86400.0, 50.0), (math.inf, 50.0), id="nobody is asked"),
    ],
)  # fmt: skip
def test_the_shortest_holds_of_each(
    spans: tuple[Span, ...], usual: tuple[float, float], kept: tuple[float, float]
) -> None:
    found = shortest(*spans)
    assert (found.life(is_kept=False), found.life(is_kept=True)) == (usual, kept)
    assert found == shortest(*reversed(spans), UNBOUNDED)


@pytest.mark.parametrize(
    ("span", "may"),
    [
        pytest.param(TOP, True, id="asked, with an end"),
        pytest.param(USUAL.span, False, id="not asked"),
        pytest.param(shortest(USUAL.span, HOST), True, id="asked by the host alone"),
        pytest.param(Span(keeps=True), False, id="asked elsewhere: there would be no end"),
    ],
)
def test_who_may_be_kept_signed_in(span: Span, may: bool) -> None:
    assert span.may_keep is may
