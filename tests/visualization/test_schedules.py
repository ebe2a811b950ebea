"""Pictures of schedules: no turning point is lost, and both axes agree."""

import numpy as np

from maskssl.visualization.schedules import Schedules, _thinned, figure_of


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
