"""The curves of a run before it is begun: lr, weight decay, momentum, feature weight."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from textwrap import fill

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

_LISTED = 12  # curves that a legend names
Curve = NDArray[np.floating]


@dataclass
class Schedules:
    """What a run's steps are made with.

    Attributes:
        title: of the picture.
        epoch_length: iterations of an epoch; 0 where that is not known.
        panels: what is drawn -> whose it is -> its value in every iteration (T,).
    """

    title: str
    epoch_length: int
    panels: dict[str, dict[str, Curve]] = field(default_factory=dict)


def told_points(curve: Curve) -> dict[str, int]:
    """'start', 'peak' and 'end' -> iteration; a peak at either end is not told apart from it."""
    points = {"start": 0, "end": len(curve) - 1}
    peak = int(curve.argmax())
    if curve[peak] > max(curve[0], curve[-1]):
        points = {"start": 0, "peak": peak, "end": len(curve) - 1}
    return points


def figure_of(schedules: Schedules) -> Figure:
    """A panel for each quantity, iterations below and epochs above."""
    count = len(schedules.panels)
    figure = Figure(figsize=(9, 0.7 + 2.6 * count), dpi=110, layout="constrained")
    figure.suptitle(fill(schedules.title, 120), fontsize=9)
    grid = figure.subplots(count, 1, squeeze=False)[:, 0]
    for axes, (quantity, curves) in zip(grid, schedules.panels.items(), strict=True):
        _panel(axes, quantity, curves)
        if length := schedules.epoch_length:
            both = partial(np.multiply, 1 / length), partial(np.multiply, length)
            above = axes.secondary_xaxis("top", functions=both)
            above.set_xlabel("epoch", fontsize=8)
            above.tick_params(labelsize=8)
    return figure


def _panel(axes: Axes, quantity: str, curves: Mapping[str, Curve]) -> None:
    names = sorted(curves, key=lambda name: -curves[name].max())
    colours = colormaps["viridis"](np.linspace(0, 0.9, len(names)))
    for place, name in enumerate(names):
        label = name if len(names) > 1 and place in _listed(len(names)) else None
        axes.plot(*_thinned(curves[name]), color=colours[place], linewidth=1.6, label=label)
    for place in sorted({0, len(names) - 1}):  # the highest curve and the lowest
        curve = curves[names[place]]
        for word, at in told_points(curve).items():
            end, low = word == "end", place > 0
            axes.plot(at, curve[at], "o", color=colours[place], markersize=4)
            axes.annotate(
                f"{word} {curve[at]:.4g}",
                (at, curve[at]),
                xytext=(-2 if end else 8, -12 if low else 8),
                textcoords="offset points",
                ha="right" if end else "left",
                fontsize=8,
                bbox=dict(facecolor="white", edgecolor="none", alpha=0.7, pad=0.5),
            )
    axes.set_title(quantity, fontsize=10, loc="left")
    axes.set_xlabel("iteration", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.margins(x=0.03, y=0.2)
    axes.grid(alpha=0.3)
    if len(names) > 1:
        axes.legend(fontsize=7, ncols=1 + (len(names) > 6), framealpha=0.7)


def _listed(count: int) -> set[int]:
    """Places of the curves that the legend names, the highest and the lowest among them."""
    if count <= _LISTED:
        return set(range(count))
    return {round(place) for place in np.linspace(0, count - 1, _LISTED)}


def _thinned(curve: Curve, most: int = 4000) -> tuple[NDArray[np.integer], Curve]:
    """Iterations and values of at most so many points, start, end and peak among them."""
    step = max(1, len(curve) // most)
    kept = np.unique([*range(0, len(curve), step), int(curve.argmax()), len(curve) - 1])
    return kept, curve[kept]
