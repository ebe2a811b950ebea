"""The stages that a checkpoint is judged by, and where each leaves its figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import MaskSSLError
from ..evaluation.run_logs import read_run
from ..methods import Method


@dataclass(frozen=True)
class Stage:
    """One downstream stage at the small scale; which config it runs is the method's to say.

    Attributes:
        name: in file names, and in a method's configs.
        title: in reports.
        metrics: key in the run's log -> row of the table.
        factor: from the logged unit to percent.
        fine_tuned: trains the backbone too, so the study varies how.
        tested: scored by a test alone, without training.
        labels: 'classes' (follows the user's images), 'maps' or 'boxes' (the scenes).
        seconds: rough length on one CPU core, for the time left.
    """

    name: str
    title: str
    metrics: Mapping[str, str]
    factor: float = 1.0
    fine_tuned: bool = False
    tested: bool = False
    labels: str = "classes"
    seconds: int = 60


STAGES: tuple[Stage, ...] = (
    Stage("knn", "kNN", {"accuracy/top1": "kNN, top-1 %"}, tested=True, seconds=10),
    Stage("linear", "linear probe", {"accuracy/top1": "linear probe, top-1 %"}, seconds=30),
    Stage(
        "finetune",
        "fine-tuning",
        {"accuracy/top1": "fine-tune, top-1 %"},
        fine_tuned=True,
        seconds=35,
    ),
    Stage(
        "seg",
        "UperNet",
        {"mIoU": "UperNet, mIoU %"},
        fine_tuned=True,
        labels="maps",
        seconds=90,
    ),
    Stage(
        "det",
        "Mask R-CNN",
        {"coco/bbox_mAP": "Mask R-CNN, box AP", "coco/segm_mAP": "Mask R-CNN, mask AP"},
        factor=100.0,
        fine_tuned=True,
        labels="boxes",
        seconds=170,
    ),
)


def stages_of(method: Method) -> Sequence[Stage]:
    """The stages that a method has configs for, in the order of the table."""
    return [stage for stage in STAGES if stage.name in method.configs]


def stage_figures(stage: Stage, work_dir: str | Path) -> dict[str, float]:
    """The figures of a finished stage, the last that its run logged: row of the table -> percent.

    Raises:
        MaskSSLError: a metric is missing, so the run did not finish.
    """
    final = _tested(stage, Path(work_dir)) if stage.tested else _trained(stage, work_dir)
    for key in stage.metrics:
        if key not in final:
            raise MaskSSLError(f"{work_dir} logged no {key}: the {stage.name} run did not finish")
    return {row: final[key] * stage.factor for key, row in stage.metrics.items()}


def _tested(stage: Stage, work_dir: Path) -> dict[str, float]:
    """A test leaves one file."""
    file = work_dir / "metrics.json"
    if not file.is_file():
        raise MaskSSLError(f"{work_dir} holds no metrics.json: the {stage.name} run did not finish")
    metrics: dict[str, float] = json.loads(file.read_text())
    return metrics


def _trained(stage: Stage, work_dir: str | Path) -> dict[str, float]:
    """Training logs line by line; the last validation counts, not the best."""
    run = read_run(work_dir)
    last = next((line for line in reversed(run.lines) if not line.training), None)
    found = {key: last.values[key] for key in stage.metrics if last and key in last.values}
    if stage.labels == "boxes" and last and not found:
        return dict.fromkeys(stage.metrics, 0.0)  # mmdet logs no AP where nothing was detected
    return found
