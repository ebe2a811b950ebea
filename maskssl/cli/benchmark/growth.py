"""How a step's cost grows with its batch, images, masks, model or processes, drawn."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

from .ranks import measure_ranks
from .run import measure

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BATCH, RANKS = "batch_size", "ranks"


def measure_growth(
    config: str, vary: Mapping[str, Sequence[Any]], batch_size: int, device: str, **options: Any
) -> dict[str, list[dict[str, Any]]]:
    """Measure a config at each value of each key, the others as they are.

    Args:
        config: as of ``measure``.
        vary: 'batch_size', 'ranks' (processes of such a batch each), or a key of the config, such
            as model.backbone.img_size -> values.
        batch_size: where it does not vary.
        device: 'cuda' or 'cpu'.
        **options: of ``measure``.

    Returns:
        Key -> rows of ``measure``, or ``measure_ranks``, each with its ``value``.
    """
    base = options.pop("options", None) or {}
    run = partial(measure, config, device=device, **options)
    found: dict[str, list[dict[str, Any]]] = {}
    for key, values in vary.items():
        found[key] = []
        for value in values:
            if key == BATCH:
                row = run(batch_size=int(value), options=base)
            elif key == RANKS:
                row = measure_ranks(
                    int(value), config, device, batch_size=batch_size, options=base, **options
                )
            else:
                row = run(batch_size=batch_size, options={**base, key: value})
            found[key].append(dict(row, value=value))
    return found


def draw_growth(found: Mapping[str, Sequence[dict[str, Any]]], path: str | Path) -> None:
    """Draw a panel for each key: milliseconds of a step, and what its blocks keep for the backward.

    Over ranks it is the step of the slowest, and the images per second of all.

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
        beside = panel.twinx()
        if key == RANKS:
            second = [row["images_per_second"] for row in rows]
            beside.set_ylabel("img/s of all ranks")
            threads = ", ".join(str(row["threads"]) for row in rows)
            panel.set_xlabel(f"ranks (threads of each: {threads})")
        else:
            second = [sum(row["saved_bytes_per_block"].values()) / 2**20 for row in rows]
            beside.set_ylabel("MiB kept by the blocks")
        beside.plot(values, second, "s--", color="tab:orange")
        beside.set_ylim(0, None)
    figure.savefig(path, dpi=110)
    plt.close(figure)
