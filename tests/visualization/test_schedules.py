"""Pictures of schedules: no turning point is lost, and both axes agree."""

import numpy as np

from maskssl.visualization.schedules import Schedules, _listed, _thinned, figure_of


def test_a_long_curve_keeps_its_ends_and_its_peak():
    curve = np.zeros(9001)
    curve[5] = 1
    kept, values = _thinned(curve)
    assert {0, 5, 9000} <= set(kept.tolist()) and values.max() == 1


def test_epochs_stand_above_their_iterations():
    figure = figure_of(Schedules("title", 2, {"lr": {"": np.arange(4.0)}}))
    children = figure.axes[0].get_children()
    (above,) = [child for child in children if type(child).__name__ == "SecondaryAxis"]
    figure.draw_without_rendering()
    assert np.allclose(above.get_xlim(), np.array(figure.axes[0].get_xlim()) / 2)


def test_a_long_curve_is_drawn_by_some_thousands_of_points():
    kept, values = _thinned(np.arange(90_000.0))
    assert 4000 <= len(kept) <= 4100 and np.array_equal(kept, values)
    assert np.diff(kept).max() == 22
    assert len(_thinned(np.arange(300.0))[0]) == 300


def test_a_legend_names_twelve_curves_at_most_the_highest_and_the_lowest_among_them():
    assert _listed(1) == {0} and _listed(12) == set(range(12))
    for count in (13, 50):
        assert len(_listed(count)) == 12 and {0, count - 1} <= _listed(count) <= set(range(count))
