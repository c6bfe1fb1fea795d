"""Plots: figures as lines, with words for who doesn't see them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from vestibule.web.admin.plots import Line, plot

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("values", [(), (0,), (0, 0, 0), (1, 2, 3), (0.2, 1234.5, 9e9)], ids=repr)
def test_any_figures_make_a_plot_whose_points_are_inside(values):
    found = plot("Requests", [Line("a second", values)], began_at=NOON, every_s=5)
    for points in [part.partition('"')[0] for part in found.svg.split('points="')[1:]]:
        for point in points.split():
            x, y = map(float, point.split(","))
            assert 0 <= x <= 1000
            assert 0 <= y <= 120


def test_it_says_what_it_shows():
    found = plot(
        "Took", [Line("half", (1.0, 2.5)), Line("most", (3.0, 40.0))], began_at=NOON, every_s=60, unit="ms"
    )
    assert found.summary == "Took: now 2.5 half, 40 most; at most 40 ms."
    assert found.summary in found.svg
    assert found.labels == ("half", "most")
    assert "12:00" in found.svg
    assert "12:02 UTC" in found.svg


def test_what_it_is_called_is_text():
    assert "<b>" not in plot("<b>", [Line("x", (1,))], began_at=NOON, every_s=5).svg
