"""The stages that a checkpoint is judged by, and where each leaves its figures."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import MaskSSLError


@dataclass(frozen=True)
class Stage:
    """One downstream stage at the small scale.

    Attributes:
        name: in file names and --stages.
        config: shipped config of BootMAE, below configs/; see ``config_for``.
        metrics: key in the run's log -> row of the table.
        factor: from the logged unit to percent.
        layer_decay: fine-tunes with layer-wise learning rates; a random start then
            gets a run without them as well, as it has no features to protect.
        tested: scored by tools/test.py alone, without training.
        data: 'classification' (follows the user's images) or 'scenes'.
        seconds: rough length on one CPU core, for the time left.
    """

    name: str
    config: str
    metrics: Mapping[str, str]
    factor: float = 1.0
    layer_decay: bool = False
    tested: bool = False
    data: str = "scenes"
    seconds: int = 60

    def config_for(self, method: str) -> str:
        """The stage's config for the weights of a method: the same file name, with its name."""
        return (
            self.config if method == "bootmae" else self.config.replace("_vit-", f"_{method}_vit-")
        )


STAGES: tuple[Stage, ...] = (
    Stage(
        "knn",
        "finetune/knn_vit-tiny_scenes.py",
        {"accuracy/top1": "kNN, top-1 %"},
        tested=True,
        data="classification",
        seconds=22,
    ),
    Stage(
        "linear",
        "finetune/linear_vit-tiny_scenes.py",
        {"accuracy/top1": "linear probe, top-1 %"},
        data="classification",
        seconds=45,
    ),
    Stage(
        "finetune",
        "finetune/finetune_vit-tiny_scenes.py",
        {"accuracy/top1": "fine-tune, top-1 %"},
        layer_decay=True,
        data="classification",
        seconds=50,
    ),
    Stage(
        "seg",
        "seg/upernet_vit-tiny_scenes.py",
        {"mIoU": "UperNet, mIoU %"},
        layer_decay=True,
        seconds=95,
    ),
    Stage(
        "det",
        "det/mask-rcnn_vit-tiny_scenes.py",
        {"coco/bbox_mAP": "Mask R-CNN, box AP", "coco/segm_mAP": "Mask R-CNN, mask AP"},
        factor=100.0,
        layer_decay=True,
        seconds=130,
    ),
)


def logged_scalars(work_dir: str | Path) -> list[dict[str, float]]:
    """All lines that the newest run in a work dir logged.

    Raises:
        MaskSSLError: nothing was logged there.
    """
    files = sorted(Path(work_dir).glob("*/vis_data/scalars.json"))
    if not files:
        raise MaskSSLError(f"no run has logged into {work_dir}; train or test there first")
    return [json.loads(line) for line in files[-1].read_text().splitlines() if line.strip()]


def stage_figures(stage: Stage, work_dir: str | Path) -> dict[str, float]:
    """The figures of a finished stage: row of the table -> percent.

    Raises:
        MaskSSLError: a metric is missing, so the run did not finish.
    """
    if stage.tested and not Path(work_dir, "metrics.json").is_file():
        raise MaskSSLError(f"{work_dir} holds no metrics.json: the {stage.name} run did not finish")
    # tools/test.py leaves one file, training logs line by line
    metrics = Path(work_dir, "metrics.json")
    lines = [json.loads(metrics.read_text())] if stage.tested else logged_scalars(work_dir)
    figures = {}
    for key, row in stage.metrics.items():
        values = [line[key] for line in lines if key in line]
        if not values:
            raise MaskSSLError(f"{work_dir} logged no {key}: the {stage.name} run did not finish")
        figures[row] = values[-1] * stage.factor
    return figures
