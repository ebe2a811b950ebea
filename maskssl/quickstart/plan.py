"""What the quickstart does with a method and a data set."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import config_file
from ..methods import Method, method_named
from ..transfer.encoders import RANDOM
from ..transfer.lanes import SMALL_MODELS
from ..transfer.plan import Plan as TransferPlan
from .images import OwnImages

FLOOR = "random"  # name of random weights
# stage of ``maskssl transfer`` -> the method's config that it trains by, if it trains
STAGES = {
    "knn": None,
    "linear": None,
    "finetune": "finetune",
    "segmentation": "seg",
    "detection": "det",
}
SCENES = {"classes": "few", "maps": "seg", "boxes": "det"}
PROBES = 3  # seeds of splits and fits; what is trained takes the first

Variations = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        method: key of METHODS.
        out: folder of everything that is written.
        scenes: folder of the drawn scenes.
        images: the user's, to pretrain on, and for what is labelled; None for the scenes.
        seed: of the pretraining, and the first of what follows.
        smoke: a few steps of everything, to see that it runs.
    """

    method: str
    out: Path
    scenes: Path
    images: OwnImages | None = None
    seed: int = 0
    smoke: bool = False

    @property
    def row(self) -> Method:
        """The method's row."""
        return method_named(self.method)

    @property
    def stages(self) -> tuple[str, ...]:
        """Stages that the method has configs for."""
        return tuple(
            stage for stage, config in STAGES.items() if not config or config in self.row.configs
        )

    @property
    def pretrained(self) -> Path:
        """Work dir of the pretraining."""
        return self.out / "runs" / "pretrain"

    @property
    def start(self) -> Path:
        """Weights before the pretraining: they tell random weights their shape."""
        return self.out / "start.pth"

    def config(self, stage: str) -> str:
        """The file of one of the method's configs: a shipped one, or one's own by its path."""
        name = self.row.configs[stage]
        return name if Path(name).is_absolute() else config_file(name)

    def data(self, kind: str) -> Path:
        """Folder of what is labelled with 'classes', 'maps' or 'boxes'."""
        if self.images and kind in self.images.labelled:
            return self.out / "data" / kind
        return self.scenes / SCENES[kind]

    def transfer(self, variations: Variations | None = None) -> TransferPlan:
        """What ``maskssl transfer`` measures of it, with random weights beside.

        Args:
            variations: of random weights, see ``TransferPlan``.
        """
        names = (FLOOR, *(variations or {}))
        given = f"{RANDOM}{self.start}"
        return TransferPlan(
            checkpoints=(
                f"{self.row.title}={self.pretrained}",
                *(f"{name}={given}" for name in names),
            ),
            data=self.data("classes"),
            masks=str(self.data("maps")),
            coco=str(self.data("boxes")),
            out=self.out,
            cache=self.out / "features",
            stages=self.stages,
            seeds=tuple(range(self.seed, self.seed + PROBES)),
            recipe=self.method,
            preset="smoke" if self.smoke else "quickstart",
            device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            jobs_per_gpu=SMALL_MODELS,
            variations=variations or {},
        )
