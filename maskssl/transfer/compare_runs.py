"""Put the logs of several runs side by side: curves in one picture, figures in one table."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..evaluation.run_figures import Figures, Pace, figures_of, pace_of, shown_keys
from ..evaluation.run_logs import LogError, RunLog
from ..visualization.curves import plot_runs
from .tables import markdown_table


def write_comparison(
    runs: Sequence[RunLog],
    folder: str | Path,
    keys: Sequence[str] | None = None,
    console: Console | None = None,
) -> Path:
    """Write compare.png, compare.md and compare.json, and show the table.

    Args:
        runs: their logs, with labels that differ.
        folder: to write into.
        keys: to compare; see ``shown_keys``.
        console: of the table; None is the terminal.

    Returns:
        Path of compare.png.

    Raises:
        LogError: two runs of one label, or a key that no run has.
    """
    labels = [run.label for run in runs]
    if len(set(labels)) < len(labels):
        raise LogError(f"runs need labels that differ, not {', '.join(labels)}; give --labels")
    chosen = shown_keys(runs, keys)
    if not chosen:
        raise LogError("the runs logged none of the usual keys; name some by --keys")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [found for key in chosen for run in runs if (found := figures_of(run, key))]
    paces = [pace_of(run) for run in runs]
    notes = [f"{run.label}: {note}" for run in runs for note in run.notes]
    for run in runs:
        missing = [key for key in chosen if not run.series(key)]
        if missing:
            notes.append(f"{run.label}: logged no {', '.join(missing)}")
    plot_runs(runs, chosen, folder / "compare.png")
    tables = (_figure_table(rows), _pace_table(paces))
    (folder / "compare.md").write_text(_markdown(tables, notes))
    content = dict(
        figures=[asdict(row) for row in rows], pace=[asdict(pace) for pace in paces], notes=notes
    )
    (folder / "compare.json").write_text(json.dumps(_strict(content), indent=2, allow_nan=False))
    _show(tables, notes, console or Console())
    return folder / "compare.png"


_Cells = tuple[list[str], list[list[str]]]  # header, rows


def _figure_table(rows: Sequence[Figures]) -> _Cells:
    body = []
    for row in rows:
        best = "–" if row.best is None else f"{row.best:.4g} at {row.best_at}"
        body.append([row.key, row.run, f"{row.first:.4g}", f"{row.last:.4g}", best, str(row.lines)])
    return ["key", "run", "first", "last", "best", "lines"], body


def _pace_table(paces: Sequence[Pace]) -> _Cells:
    body = [
        [
            pace.run,
            str(pace.iterations),
            f"{pace.seconds:.1f}",
            "–" if pace.img_per_s is None else f"{pace.img_per_s:.1f}",
        ]
        for pace in paces
    ]
    return ["run", "iterations", "training, s", "mean img/s"], body


def _markdown(tables: Sequence[_Cells], notes: Sequence[str]) -> str:
    lines = ["# Runs compared", "", "![curves](compare.png)"]
    for header, body in tables:
        lines += ["", *markdown_table(header, body)]
    lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines).rstrip() + "\n"


def _show(tables: Sequence[_Cells], notes: Sequence[str], console: Console) -> None:
    for header, body in tables:
        table = Table()
        for name in header:
            table.add_column(name, justify="left" if name in ("key", "run") else "right")
        for row in body:
            table.add_row(*map(Text, row))  # brackets in a label are no markup
        console.print(table)
    for note in notes:
        console.print(note, markup=False, highlight=False)


def _strict(node: Any) -> Any:
    """JSON knows no nan and no inf; they become words."""
    if isinstance(node, dict):
        return {key: _strict(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_strict(value) for value in node]
    return str(node) if isinstance(node, float) and not math.isfinite(node) else node
