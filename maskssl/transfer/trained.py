"""Rows that are trained by the project's recipes, each run a job of its own.

Nothing is chosen: a recipe says how, the training images say how long, and the weights after the
last step count. So the training meets no test image, and the test is another run.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from ..cli.classes import set_num_classes
from ..cli.config import load_config
from ..cli.data_layouts import replace_dataset, use_layout
from ..errors import MaskSSLError
from .fingerprints import Facts, digest_of_text
from .job_queue import Job
from .measure import BOXES, CLASSES, MAPS
from .recipes import recipe_for, stage_config
from .rows import Choice, Row
from .trained_jobs import CONFIG, TEST, TRAIN, write_run
from .work import Work

BACKWARD = 3  # a training step takes so many forwards; one of a frozen encoder takes one
HEADS = {CLASSES: 1, MAPS: 4, BOXES: 13}  # small models with their heads, by their encoders; rough


@dataclass(frozen=True)
class TrainedStage:
    """A recipe on an encoder.

    Attributes:
        name: on the command line.
        title: in messages.
        labels: which images it needs.
        recipe: 'finetune', 'linear', 'seg' or 'det', see ``recipe_for``.
        frozen: the encoder is not trained.
        rows_of_report: what it fills, in the order of ``OutcomeHook``.
    """

    name: str
    title: str
    labels: str
    recipe: str
    frozen: bool
    rows_of_report: tuple[Row, ...]

    def config_facts(self, work: Work, name: str) -> Facts:
        """The recipe as its config files say it now; those are no part of the package's code."""
        try:
            recipe = recipe_for(work.plan.recipe, self.recipe, work.encoders[name].backbone)
        except MaskSSLError:  # training says so
            return {}
        return {"config": digest_of_text(load_config(recipe.config).pretty_text)}

    def training(self, work: Work, name: str, facts: Facts) -> list[Job]:
        """A training on all training images for each seed."""
        cfg, setting = self.config(work, name)
        images = setting["steps"] * setting["batch_size"]
        seconds = HEADS[self.labels] * images * work.pace(name)
        seconds *= 1 if self.frozen else BACKWARD
        jobs = []
        for seed in self._seeds(work):
            file = write_run(self._folder(work, name, seed), cfg, seed, facts)
            log = file.parent / "train.log"
            jobs.append(Job(f"{name} {self.name} {seed}", TRAIN, (file,), log, seconds))
        return jobs

    def choose(self, work: Work, name: str) -> Choice:
        """The one setting."""
        _, setting = self.config(work, name)
        return dict(chosen=setting, table=[dict(setting=setting, held_out=None)])

    def testing(self, work: Work, name: str) -> list[Job]:
        """A test of what each training left."""
        rows = tuple(row.name for row in self.rows_of_report)
        seconds = HEADS[self.labels] * len(work.sets[self.labels][1]) * work.pace(name)
        return [
            Job(
                f"test {name} {self.name} {folder.name}",
                TEST,
                (folder / CONFIG, folder, rows),
                folder / "test.log",
                seconds,
            )
            for folder in self._folders(work, name)
        ]

    def score(self, work: Work, name: str, choice: Choice) -> dict[str, np.ndarray]:
        """Outcomes of the test of each run."""
        folders = self._folders(work, name)
        return {
            row.name: _stacked([folder / f"{row.name}.npy" for folder in folders])
            for row in self.rows_of_report
        }

    def config(self, work: Work, name: str) -> tuple[Config, dict[str, Any]]:
        """The config of this stage for a checkpoint, and what the report says of it."""
        encoder = work.encoders[name]
        recipe = recipe_for(work.plan.recipe, self.recipe, encoder.backbone)
        images = len(work.sets[self.labels][0])
        share = work.plan.budget.trained_share
        options = work.plan.variations.get(name, {}).get(self.name)
        cfg, setting = stage_config(
            recipe, encoder, images, share, self.frozen, self._data(work), options
        )
        if not torch.cuda.is_available():  # the training has all cores
            for loader in (cfg.train_dataloader, cfg.test_dataloader):
                loader.update(num_workers=0, persistent_workers=False)
        return cfg, setting

    def _data(self, work: Work) -> Callable[[Config], None]:
        train, test = work.sets[self.labels]

        def set_data(cfg: Config) -> None:
            names: Sequence[str] | None = train.classes
            if self.labels == CLASSES:
                for loader, images in (("train", train), ("val", test), ("test", test)):
                    settings = dict(type="IndexedImages", data_root=str(images.root))
                    replace_dataset(cfg[f"{loader}_dataloader"].dataset, settings)
                names = None
            elif self.labels == MAPS:
                masks = str(work.plan.masks)
                use_layout(cfg, masks if ":" in masks else f"masks:{masks}")
            else:
                use_layout(cfg, f"coco:{work.plan.coco}")
            set_num_classes(cfg, len(train.classes), names)

        return set_data

    def _seeds(self, work: Work) -> Sequence[int]:
        return work.plan.seeds[: work.plan.budget.trained_runs]

    def _folders(self, work: Work, name: str) -> list[Path]:
        return [self._folder(work, name, seed) for seed in self._seeds(work)]

    def _folder(self, work: Work, name: str, seed: int) -> Path:
        return work.plan.out / "runs" / name / self.name / f"seed-{seed}"


def _stacked(files: Sequence[Path]) -> np.ndarray:
    """Outcomes (1, S, N, …) of runs; where images have unlike numbers of entries, filled by -1."""
    arrays = [np.load(file) for file in files]
    shape = np.max([array.shape for array in arrays], axis=0)
    filled = np.full((1, len(arrays), *shape), -1, dtype=arrays[0].dtype)
    for number, array in enumerate(arrays):
        part = filled[0, number][tuple(map(slice, array.shape))]
        part[...] = array
    return filled


def _both(
    name: str,
    titles: tuple[str, str],
    labels: str,
    recipes: tuple[str, str],
    metrics: Sequence[str],
) -> Iterator[TrainedStage]:
    """A stage with a trained and with a frozen encoder."""
    for frozen in (False, True):
        own = f"{name}-frozen" if frozen else name
        words = titles[frozen]
        rows = tuple(
            Row(f"{own}-{metric.split()[0]}" if len(metrics) > 1 else own, words, metric)
            for metric in metrics
        )
        yield TrainedStage(own, words, labels, recipes[frozen], frozen, rows)


TRAINED_STAGES = (
    *_both(
        "finetune",
        ("fine-tuning", "linear probe by its recipe"),
        CLASSES,
        ("finetune", "linear"),
        ["top-1"],
    ),
    *_both("segmentation", ("UperNet", "UperNet, frozen"), MAPS, ("seg", "seg"), ["mIoU"]),
    *_both(
        "detection",
        ("Mask R-CNN", "Mask R-CNN, frozen"),
        BOXES,
        ("det", "det"),
        ["box AP", "mask AP"],
    ),
)
