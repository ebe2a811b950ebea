"""Logged figures drawn as curves, of one run or of several side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

from ..evaluation.run_logs import RunLog

matplotlib.use("Agg")
from matplotlib import pyplot as plt


def plot_runs(
    runs: Sequence[RunLog],
    keys: Sequence[str],
    path: str | Path,
    titles: Mapping[str, str] | None = None,
) -> None:
    """Draw a panel for each key with a curve for each run that has it.

    Args:
        runs: their logs.
        keys: of the panels.
        path: PNG to write.
        titles: key -> what its panel is called, where that is not the key.
    """
    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    size = (5 * columns, 3.2 * rows + 0.3 * len(runs))
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    palette = plt.get_cmap("tab10" if len(runs) <= 10 else "tab20")
    colours = [palette(index % palette.N) for index in range(len(runs))]
    # equal curves lie on each other; the ones below show at the rim
    widths = [1.4 + 2 * (1 - (index + 1) / len(runs)) for index in range(len(runs))]
    for panel, key in zip(grid.flat, keys, strict=False):
        for index, run in enumerate(runs):
            points = run.series(key)
            if points:
                style = dict(color=colours[index], linewidth=widths[index], label=run.label)
                marker = "o" if len(points) < 3 else None  # one point makes no line
                panel.plot(*zip(*points, strict=True), marker=marker, **style)
        panel.set(title=_title(runs, key, titles or {}), xlabel="iteration")
        panel.grid(alpha=0.3)
    for panel in grid.flat[len(keys) :]:
        panel.set_axis_off()
    if len(runs) > 1:
        handles = [
            plt.Line2D([], [], color=colour, label=run.label)
            for colour, run in zip(colours, runs, strict=True)
        ]
        columns = min(4, len(runs))
        legend = figure.legend(handles=handles, loc="outside upper center", ncols=columns)
        for words in legend.get_texts():
            words.set_parse_math(False)  # the name of a folder may hold dollars
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _title(runs: Sequence[RunLog], key: str, titles: Mapping[str, str]) -> str:
    """The panel's name; of a single run also where its curve starts and ends."""
    title = titles.get(key, key)
    points = runs[0].series(key)
    if len(runs) > 1 or not points:
        return title
    return f"{title}: {points[0][1]:.3g} → {points[-1][1]:.3g}"
