"""What the evidence is asked for, and what that makes of a setting and a set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ..cli.config import load_config
from ..datasets.folders import image_files
from ..methods import method_named
from ..models.backbones.vit_settings import arch_settings
from ..transfer.encoders import RANDOM as RANDOM_OF
from ..transfer.lanes import SMALL_MODELS
from ..transfer.plan import Plan as TransferPlan
from ..transfer.stages import STAGES
from ..transfer.trained import TrainedStage
from .parts import EVERY
from .sets import SETS, SMALL, TRAINED, RealSet, bring, hold_out
from .settings import BOOTMAE, OWN, RANDOM, Setting
from .settings import SMALL as SMALL_ONES

SEEDS = (0, 1, 2)
_MEASURED = 2  # of the last blocks, whose features are measured
RECIPE = "bootmae"  # of the trained rows, the same for all weights
SMOKE_SEEN, SMOKE_PICTURES, SMOKE_HELD_OUT = 128, 64, 2
_DECODERS = 6  # processes that load pictures for a GPU
_SAVES = 8  # of a pretraining of many short passes


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        part: 'frozen', 'trained', 'study' or 'vit-small'.
        out: folder of weights, features, choices and outcomes.
        data_root: holds the sets' folders.
        archives: of sets that are not there yet.
        results: takes the tables.
        settings: names; of all that the part has.
        sets: names.
        smoke: a few pictures and steps of everything, to see that it runs.
    """

    part: str
    out: Path
    data_root: Path
    archives: Path | None
    results: Path
    settings: tuple[str, ...]
    sets: tuple[str, ...]
    smoke: bool = False

    @property
    def pretrainings(self) -> list[Setting]:
        """What is pretrained, those on Tiny-ImageNet first."""
        wanted = [EVERY[name] for name in self.settings]
        if self.part != TRAINED:
            return wanted
        folders = {SETS[name].folder for name in self.sets}
        own = [one for one in OWN.values() if one.pictures in folders]
        bases = {one.name for one in wanted if one.trained}
        return [
            *(one for one in wanted if one.trained),
            *(one for one in own if one.name.removesuffix(f"-{one.pictures}") in bases),
        ]

    @property
    def start(self) -> Path:
        """Weights before any pretraining: they tell random weights their shape."""
        return self.out / f"start{'-small' if self.part == SMALL else ''}.pth"

    @property
    def shaped_as(self) -> Setting:
        """A setting whose encoder has the shape that all of the part have."""
        return SMALL_ONES["bootmae-small"] if self.part == SMALL else BOOTMAE

    @property
    def jobs_per_gpu(self) -> int:
        """Trainings that share one; ViT-S leaves less of it."""
        return 2 if self.part == SMALL else SMALL_MODELS

    @property
    def blocks(self) -> tuple[int, ...]:
        """Whose features are measured, counted from 1."""
        depth = arch_settings(self.config(self.shaped_as).model.backbone.arch)["num_layers"]
        return tuple(range(depth - _MEASURED + 1, depth + 1))

    def folder(self, setting: Setting) -> Path:
        """Work dir of a pretraining."""
        return self.out / "pretrained" / setting.name

    def data(self, name: str) -> Path:
        """Folder of a set, unpacked if need be, or of links to some of its training pictures."""
        real, folder = SETS[name], bring(name, self.data_root, self.archives)
        if not real.held_out:
            return folder
        count = SMOKE_HELD_OUT if self.smoke else real.held_out
        return hold_out(folder / real.pictures, count, self.out / "held_out" / f"{name}-{count}")

    def config(self, setting: Setting) -> Config:
        """The config of a pretraining."""
        real = SETS[setting.pictures]
        root = self.data(setting.pictures)
        count = sum(1 for _ in image_files(root / real.pictures))
        seen = setting.seen
        loader = "train_dataloader"
        options: dict[str, Any] = {
            **setting.options,
            f"{loader}.dataset.data_root": str(root),
            f"{loader}.dataset.data_prefix": real.pictures,
        }
        if self.smoke:
            seen, count = SMOKE_SEEN, min(count, SMOKE_PICTURES)
            options |= {f"{loader}.dataset.indices": count, f"{loader}.batch_size": 16}
        if not torch.cuda.is_available():  # another pretraining has the other core
            options |= {f"{loader}.num_workers": 0, f"{loader}.persistent_workers": False}
        passes = max(1, round(seen / count))
        options |= {
            "train_cfg.max_epochs": passes,
            "default_hooks.checkpoint.interval": max(1, passes // _SAVES),
            "default_hooks.checkpoint.max_keep_ckpts": 1,
        }
        cfg = load_config(setting.config, options)
        crop = cfg.train_dataloader.dataset.pipeline[1]
        assert crop.type == "RandomResizedCrop", crop
        crop.crop_ratio_range = setting.crop
        schedule = cfg.model.get("target_generator", {}).get("schedule", {})
        if "ramp_epochs" in schedule:
            schedule.ramp_epochs = passes
        return cfg

    def transfer(self, name: str, pretrained: Sequence[Setting]) -> TransferPlan:
        """What ``maskssl transfer`` measures on a set, with random weights first.

        Args:
            name: of the set.
            pretrained: whose weights there are.
        """
        real, folder = SETS[name], self.data(name)
        own = [one for one in pretrained if one.pictures in (BOOTMAE.pictures, real.folder, name)]
        stages = real.stages_of(self.part)
        out = self.out / self.part / name
        names = (RANDOM, *(one.name for one in own))
        return TransferPlan(
            checkpoints=(
                f"{RANDOM}={RANDOM_OF}{self.start}",
                *(f"{one.name}={self.folder(one)}" for one in own),
            ),
            data=None if real.dense else folder,
            masks=str(folder) if real.dense and "detection" not in stages else None,
            coco=str(folder) if "detection" in stages else None,
            out=out,
            cache=out / "features",
            stages=stages,
            seeds=SEEDS,
            recipe=RECIPE,
            preset="smoke" if self.smoke else "evidence",
            blocks=self.blocks if self.part != TRAINED else None,
            img_size=real.img_size if self.part != TRAINED else None,
            num_workers=_DECODERS if torch.cuda.is_available() else 0,
            device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
            jobs_per_gpu=self.jobs_per_gpu,
            variations={one: _options(real, one, stages) for one in names if real.options}
            if self.part == TRAINED
            else {},
        )

    def write_start(self) -> None:
        """See ``start``."""
        from ..quickstart.pretraining import write_untrained

        write_untrained(self.config(self.shaped_as), SEEDS[0], self.start)


def _options(real: RealSet, name: str, stages: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Options of the set over each recipe; for random weights what serves them best too."""
    found = {}
    for stage in stages:
        trained = STAGES[stage]
        assert isinstance(trained, TrainedStage)
        config = method_named(RECIPE).configs[trained.recipe]
        best = load_config(config).get("random_weights", {}) if name == RANDOM else {}
        found[stage] = {**best, **real.options.get(stage, {})}
    return found
