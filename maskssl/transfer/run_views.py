"""What trained rows leave in their runs' folders, for the report: learning curves, overlays."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ..evaluation.run_logs import LogError, RunLog, read_run
from .galleries import PICTURES

OVERLAYS = "predictions.png"  # in a run's folder, of its test
_LOSS = "loss"


def add_run_views(report: dict[str, Any], out: Path, folder: Path) -> None:
    """Add ``curves`` to the first cell of each trained stage and checkpoint, and its overlays.

    Of several seeds the first one's; a stage of several rows has one curve and one picture. Points
    that are not finite are left out, and their number stands among the ``facts``.

    Args:
        report: as ``summarise`` gives it.
        out: of the experiment.
        folder: of the page.
    """
    for measure, cell, run in _runs(report, out):
        name, stage = cell["checkpoint"], measure["stage"]
        try:
            log = read_run(run)
        except LogError:
            log = RunLog(name, [])  # a run that is too short to have logged
        points = log.finite_series(_LOSS)
        if left_out := len(log.series(_LOSS)) - len(points):
            told = f"without {left_out} logged steps whose loss was not finite"
            report["facts"][f"curve of {name} {stage}"] = told
        if points:
            cell["curves"] = {"training loss": [list(point) for point in points]}
        if (run / OVERLAYS).is_file():
            file = f"{PICTURES}/{name}-{stage}.jpg"
            (folder / PICTURES).mkdir(parents=True, exist_ok=True)
            with Image.open(run / OVERLAYS) as sheet:
                sheet.convert("RGB").save(folder / file, quality=85)
            picture = dict(checkpoint=name, kind=stage, file=file)
            picture["caption"] = f"{measure['title']}: the first test images, truth and prediction"
            picture["alt"] = f"{name}: test images, their truth, and what was predicted"
            report.setdefault("pictures", []).append(picture)


def _runs(report: Mapping[str, Any], out: Path) -> Iterator[tuple[Any, Any, Path]]:
    """(measure, cell, folder of the first seed's run) of each trained stage and checkpoint."""
    seen: set[tuple[str, str]] = set()
    for measure in report["measures"]:
        for cell in measure["cells"]:
            key = cell["checkpoint"], measure["stage"]
            runs = list((out / "runs" / Path(*key)).glob("seed-*"))
            if runs and key not in seen:
                seen.add(key)
                yield measure, cell, min(runs, key=lambda run: int(run.name.removeprefix("seed-")))
