"""How a step's cost grows with its batch, its images, its masks or its model, drawn."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

from .run import measure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BATCH = "batch_size"


def measure_growth(
    config: str, vary: Mapping[str, Sequence[Any]], batch_size: int, device: str, **options: Any
) -> dict[str, list[dict[str, Any]]]:
    """Measure a config at each value of each key, the others as they are.

    Args:
        config: as of ``measure``.
        vary: 'batch_size', or a key of the config, such as model.backbone.img_size -> values.
        batch_size: where it does not vary.
        device: 'cuda' or 'cpu'.
        **options: of ``measure``.

    Returns:
        Key -> rows of ``measure``, each with its ``value``.
    """
    base = options.pop("options", None) or {}
    run = partial(measure, config, device=device, **options)
    found: dict[str, list[dict[str, Any]]] = {}
    for key, values in vary.items():
        found[key] = []
        for value in values:
            if key == BATCH:
                row = run(batch_size=int(value), options=base)
            else:
                row = run(batch_size=batch_size, options={**base, key: value})
            found[key].append(dict(row, value=value))
    return found


def draw_growth(found: Mapping[str, Sequence[dict[str, Any]]], path: str | Path) -> None:
    """Draw a panel for each key: milliseconds of a step, and what its blocks keep for the backward.

    Args:
        found: of ``measure_growth``.
        path: PNG to write.
    """
    figure, grid = plt.subplots(
        1, len(found), figsize=(4.5 * len(found), 3.2), layout="constrained", squeeze=False
    )
    for panel, (key, rows) in zip(grid.flat, found.items(), strict=True):
        values = [str(row["value"]) for row in rows]
        panel.plot(values, [1000 * row["seconds_per_step"] for row in rows], "o-", color="tab:blue")
        panel.set(xlabel=key, ylabel="ms a step", ylim=(0, None))
        panel.grid(alpha=0.3)
        kept = [sum(row["saved_bytes_per_block"].values()) / 2**20 for row in rows]
        memory = panel.twinx()
        memory.plot(values, kept, "s--", color="tab:orange")
        memory.set(ylabel="MiB kept by the blocks", ylim=(0, None))
    figure.savefig(path, dpi=110)
    plt.close(figure)
