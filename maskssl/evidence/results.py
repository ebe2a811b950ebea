"""What has been measured, as a small JSON file that the tables are made of."""

import json
import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from ..cli.launch import SLOW_BF16
from ..errors import MaskSSLError
from ..evaluation.run_logs import RunLog, read_run
from .parts import EVERY
from .plan import Plan
from .pretraining import record_of
from .sets import SETS
from .settings import Setting
from .tables import markdown

VERSION = 1  # of the JSON
_POINTS = 12  # of a curve
_DIGITS = 5

Results = dict[str, Any]


def results_file(plan: Plan) -> Path:
    """The JSON of a part; the tables stand beside it."""
    return plan.results / f"evidence-{plan.part}.json"


def read_results(plan: Plan) -> Results:
    """What earlier calls have measured, or nothing.

    Raises:
        MaskSSLError: a file that cannot be read.
    """
    file = results_file(plan)
    empty = dict(version=VERSION, part=plan.part, command="", pretrainings={}, sets={})
    if not file.is_file():
        return empty
    try:
        found = json.loads(file.read_text())
        fits = found.keys() >= empty.keys() and found["version"] == VERSION
    except (ValueError, AttributeError) as error:
        raise MaskSSLError(f"{file} cannot be read ({error}); remove it") from error
    if not fits:
        raise MaskSSLError(f"{file} is no results of this version; give another --results DIR")
    return found


def write_results(results: Results, plan: Plan) -> None:
    """Write what has been measured, and its tables."""
    results["command"] = command_of(plan)
    write_tables(results, plan, markdown(results))


def write_tables(results: Mapping[str, Any], plan: Plan, text: str) -> None:
    """Write the JSON of a part, and the tables as Markdown beside it."""
    file = results_file(plan)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    partial.write_text(json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    partial.replace(file)
    file.with_suffix(".md").write_text(text)


def command_of(plan: Plan) -> str:
    """The command that measures all of a part; no folder of one machine stands in it."""
    words = ["maskssl", "evidence", plan.part, "--data-root", "DATA", *["--smoke"] * plan.smoke]
    return shlex.join(words)


def add_pretrainings(results: Results, plan: Plan, pretrained: Sequence[Setting]) -> None:
    """Length, time and curve of what has weights."""
    entries = record_of(plan).jobs
    for setting in pretrained:
        cfg, log = plan.config(setting), plan.folder(setting) / "train.log"
        facts, run = entries[setting.name]["facts"], read_run(plan.folder(setting))
        results["pretrainings"][setting.name] = dict(
            title=setting.title,
            config=setting.config,
            options={key: value for key, value in setting.options.items() if key != "model"},
            pictures=facts["pictures"],
            passes=cfg.train_cfg.max_epochs,
            batch_size=cfg.train_dataloader.batch_size,
            seconds=round(_seconds(run)),
            code=facts["code"],
            **_when(results["pretrainings"].get(setting.name), [log]),
            curves=_curves(run),
        )
    results["pretrainings"] = _ordered(results["pretrainings"], list(EVERY))


def add_set(results: Results, plan: Plan, name: str, report: Mapping[str, Any]) -> None:
    """A set's rows, from the report's values; what failed is in none.

    Args:
        results: takes them.
        plan: of the call.
        name: of the set.
        report: of ``summarise``.
    """
    rows = [_row(measure) for measure in report["measures"] if measure["cells"]]
    if not rows:
        return
    outcomes = (plan.out / plan.part / name / "outcomes").rglob("*.npy")
    results["sets"][name] = dict(
        title=SETS[name].title,
        data={kind: _data(one) for kind, one in report["data"].items()},
        rows=rows,
        settings=report["facts"]["settings"],
        preset=report["facts"]["preset"],
        seeds=report["facts"]["seeds"],
        versions=report["facts"]["versions"],
        seconds=round(sum(report["seconds"].values())),
        **_when(results["sets"].get(name), outcomes),
    )
    results["sets"] = _ordered(results["sets"], list(SETS))


def _when(before: Mapping[str, Any] | None, files: Iterable[Path]) -> dict[str, str]:
    """Day and machine of what files hold; those of a table that is only written again stay."""
    date = date_of(files)
    same = before is not None and before["date"] == date
    return dict(machine=before["machine"] if before and same else machine(), date=date)


def machine() -> str:
    """What ran it, without the name of the machine."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    precision = "fp32, as it has no bf16" if capability in SLOW_BF16 else "bf16"
    return f"{len(os.sched_getaffinity(0))} CPU cores ({capability}), {precision}"


def _data(one: Mapping[str, Any]) -> dict[str, Any]:
    return dict(images=one["images"], classes=one["classes"], sha256=one["sha256"])


def _row(measure: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the report, shares rounded."""
    return dict(
        name=measure["name"],
        title=measure["title"],
        metric=measure["metric"],
        cells={
            cell["checkpoint"]: dict(
                figure=_round(cell["figure"]),
                sd=_round(cell["sd"]),
                seeds=[_round(seed) for seed in cell["seeds"]],
                interval=[_round(end) for end in cell["interval"]],
                setting=cell["setting"],
            )
            for cell in measure["cells"]
        },
        pairs=[
            dict(
                first=pair["first"],
                second=pair["second"],
                difference=_round(pair["difference"]),
                interval=[_round(end) for end in pair["interval"]],
                p_holm=_round(pair["p_holm"]),
                told_apart=pair["told_apart"],
            )
            for pair in measure["pairs"]
        ],
    )


def _seconds(run: RunLog) -> float:
    """By the median pace of its log lines: what stood still in between does not count."""
    lines = [line for line in run.lines if line.training and "time" in line.values]
    return median(line.values["time"] for line in lines) * lines[-1].iteration if lines else 0.0


def _curves(run: RunLog) -> dict[str, list[list[float]]]:
    """Some points of what the pretraining has logged as a loss or a spread."""
    keys = {key for line in run.lines for key in line.values if key.startswith(("loss", "spread"))}
    curves = {key: _thinned(run.finite_series(key)) for key in sorted(keys)}
    return {key: points for key, points in curves.items() if points}


def _thinned(points: Sequence[tuple[int, float]]) -> list[list[float]]:
    """The first, the last, and some between that stand as far apart."""
    places = np.linspace(0, len(points) - 1, min(_POINTS, len(points))).round().astype(int)
    return [[points[place][0], _round(points[place][1]) or 0.0] for place in places]


def _round(value: float | None) -> float | None:
    return None if value is None else round(float(value), _DIGITS)


def date_of(files: Iterable[Path]) -> str:
    """Day of the newest file: a table that is only written again keeps its date."""
    newest = max(file.stat().st_mtime for file in files)
    return datetime.fromtimestamp(newest, timezone.utc).date().isoformat()


def _ordered(entries: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    return {name: entries[name] for name in order if name in entries}
