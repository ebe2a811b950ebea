"""An earlier report beside this one: what changed on the same test images, beyond noise or not."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import MaskSSLError
from ..evaluation.metrics import METRICS, compare
from ..evaluation.paired import LEVEL, holm


def compare_reports(report: Mapping[str, Any], out: Path, earlier: Path) -> list[dict[str, Any]]:
    """The cells that both reports have, by the names of checkpoint and stage.

    Args:
        report: of now, as ``summarise`` gives it.
        out: of now, which holds the outcomes.
        earlier: report.json of another --out, with its outcomes beside it.

    Returns:
        A row for each cell: measure, checkpoint, before, now, difference, interval, p (Holm's over
        all rows) and changed.

    Raises:
        MaskSSLError: that is no report, of other test images, or has no cell of this one.
    """
    before = read_report(earlier)
    measures = {measure["name"]: measure for measure in report["measures"]}
    tests = {measure["name"]: measure["test"] for measure in before["measures"]}
    common = sorted(cells_of(report) & cells_of(before))
    for stage in {stage for stage, _ in common}:
        if tests[stage] != measures[stage]["test"]:
            raise MaskSSLError(
                f"--against {earlier}: it scored other test images; nothing is compared"
            )
    rows: list[dict[str, Any]] = []
    for stage, checkpoint in common:
        file, metric = outcomes_of(stage, checkpoint), METRICS[measures[stage]["metric"]]
        outcomes = {
            "now": np.load(out / file)[0],
            "before": np.load(earlier.parents[1] / file)[0],
        }  # (S, N, …)
        _, (pair,) = compare(outcomes, metric, comparisons=len(common))
        sign = 1 if pair.first == "now" else -1
        rows.append(
            dict(
                measure=measures[stage]["title"],
                checkpoint=checkpoint,
                before=float(metric.seeds(outcomes["before"]).mean()),
                now=float(metric.seeds(outcomes["now"]).mean()),
                difference=sign * pair.difference,
                interval=sorted(sign * end for end in pair.interval),
                p=pair.p,
                changed=pair.seeds_agree,
            )
        )
    if not rows:
        raise MaskSSLError(f"--against {earlier}: it has no checkpoint and stage of this report")
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row |= dict(p=p, changed=row["changed"] and p < LEVEL)
    return rows


def read_report(path: Path) -> dict[str, Any]:
    """A report.json.

    Raises:
        MaskSSLError: it is none, or its outcomes are not where it was written.
    """
    try:
        report: dict[str, Any] = json.loads(path.read_text())
        cells_of(report), [measure["test"] for measure in report["measures"]]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise MaskSSLError(
            f"--against {path} is no report ({error!r}); give OUT/report/report.json of an earlier "
            "maskssl transfer"
        ) from error
    files = [path.parents[1] / outcomes_of(*cell) for cell in sorted(cells_of(report))]
    if lost := [file for file in files if not file.is_file()]:
        raise MaskSSLError(
            f"--against {path}: {lost[0]} is not there, and {len(lost)} of the {len(files)} files "
            "of what happened on each test image in all; give a report in the OUT that it was "
            "written into"
        )
    return report


def outcomes_of(stage: str, checkpoint: str) -> Path:
    """Below OUT."""
    return Path("outcomes", checkpoint, f"{stage}.npy")


def cells_of(report: Mapping[str, Any]) -> set[tuple[str, str]]:
    """(stage, checkpoint) of every cell."""
    return {
        (measure["name"], cell["checkpoint"])
        for measure in report["measures"]
        for cell in measure["cells"]
    }
