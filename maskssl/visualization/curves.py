"""Logged figures drawn as curves: the losses of one run, or several runs side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

from ..evaluation.run_logs import RunLog

matplotlib.use("Agg")
from matplotlib import pyplot as plt

CURVES = {
    "loss_pixel": "pixel loss",
    "feature_error": "feature loss, unweighted",
    "loss_byol": "BYOL loss",
    "loss_infonce": "InfoNCE loss",
    "spread_student": "spread of student features",
    "spread_teacher": "spread of teacher features",
}


def plot_losses(scalars: Sequence[Mapping[str, float]], path: str | Path) -> None:
    """Draw the loss curves of a pretraining run, and the spread of its features if logged.

    Args:
        scalars: lines of its log, with ``step`` and losses.
        path: PNG to write.
    """
    figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
    for key, label in CURVES.items():
        points = [(line["step"], line[key]) for line in scalars if key in line]
        if points:
            style = ":" if key.startswith("spread") else "-"
            axes.plot(*zip(*points, strict=True), style, label=label)
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def plot_runs(runs: Sequence[RunLog], keys: Sequence[str], path: str | Path) -> None:
    """Draw a panel for each key with a curve for each run that has it.

    Args:
        runs: their logs.
        keys: of the panels.
        path: PNG to write.
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
        panel.set(title=key, xlabel="iteration")
        panel.grid(alpha=0.3)
    for panel in grid.flat[len(keys) :]:
        panel.set_axis_off()
    handles = [
        plt.Line2D([], [], color=colour, label=run.label)
        for colour, run in zip(colours, runs, strict=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(runs)))
    figure.savefig(path, dpi=110)
    plt.close(figure)
