"""Rows that are trained by the project's recipes, each run in a process of its own.

Nothing is chosen: a recipe says how, the training images say how long, and the weights after the
last step count. So the training meets no test image, and the test is another run.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config

from ..cli.classes import set_num_classes
from ..cli.data_layouts import replace_dataset, use_layout
from ..transfer.job_queue import Job, run_jobs
from ..transfer.plan import plan_lanes
from .measure import BOXES, CLASSES, MAPS
from .processes import spread
from .recipes import recipe_for, stage_config
from .rows import Choice, Row
from .trained_jobs import TEST, TRAIN
from .work import Work

CONFIG = "config.py"


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
        seconds: rough length, until jobs have shown theirs.
    """

    name: str
    title: str
    labels: str
    recipe: str
    frozen: bool
    rows_of_report: tuple[Row, ...]
    seconds: float = 100.0

    def choose(self, work: Work, name: str) -> Choice:
        """Train on all training images, once for each seed; there is one setting."""
        seeds = work.plan.seeds[: work.plan.budget.trained_runs]
        cfg, setting = self.config(work, name)
        jobs = []
        for seed in seeds:
            file = self._write(work, name, seed, cfg)
            log = file.parent / "train.log"
            title = f"{name} {self.name} {seed}"
            jobs.append(Job(title, TRAIN, (file,), log, self.seconds))
        spread([lambda: in_own_processes(jobs, work)])  # the first process alone
        return dict(chosen=setting, table=[dict(setting=setting, held_out=None)])

    def score(self, work: Work, name: str, choice: Choice) -> dict[str, np.ndarray]:
        """Outcomes of the test of each run."""
        rows = tuple(row.name for row in self.rows_of_report)
        folders = [
            self._folder(work, name, seed)
            for seed in work.plan.seeds[: work.plan.budget.trained_runs]
        ]
        jobs = [
            Job(
                f"test {name} {self.name} {folder.name}",
                TEST,
                (folder / CONFIG, folder, rows),
                folder / "test.log",
                self.seconds / 10,
            )
            for folder in folders
        ]
        spread([lambda: in_own_processes(jobs, work)])
        return {row: _stacked([folder / f"{row}.npy" for folder in folders]) for row in rows}

    def config(self, work: Work, name: str) -> tuple[Config, dict[str, Any]]:
        """The config of this stage for a checkpoint, and what the report says of it."""
        encoder = work.encoders[name]
        recipe = recipe_for(work.plan.recipe, self.recipe, encoder.backbone)
        images = len(work.sets[self.labels][0])
        share = work.plan.budget.trained_share
        cfg, setting = stage_config(recipe, encoder, images, share, self.frozen, self._data(work))
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

    def _folder(self, work: Work, name: str, seed: int) -> Path:
        return work.plan.out / "runs" / name / self.name / f"seed-{seed}"

    def _write(self, work: Work, name: str, seed: int, cfg: Config) -> Path:
        """The config of a run; what a run of another config left there is removed."""
        folder = self._folder(work, name, seed)
        cfg.work_dir = str(folder)
        cfg.randomness = dict(cfg.get("randomness", {}), seed=seed)
        file = folder / CONFIG
        if file.is_file() and file.read_text() != cfg.pretty_text:
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(cfg.pretty_text)
        return file


def in_own_processes(jobs: Sequence[Job], work: Work) -> None:
    """As many at a time as there are GPUs, or two on a CPU.

    Raises:
        JobError: one failed; the end of its log is told.
    """
    run_jobs(jobs, plan_lanes(), work.line)


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
    name: str, title: str, labels: str, recipes: tuple[str, str], metrics: Sequence[str]
) -> Iterator[TrainedStage]:
    """A stage with a trained and with a frozen encoder."""
    for frozen in (False, True):
        own = f"{name}-frozen" if frozen else name
        words = f"{title}, {'frozen' if frozen else 'fine-tuned'}"
        rows = tuple(
            Row(f"{own}-{metric.split()[0]}" if len(metrics) > 1 else own, words, metric)
            for metric in metrics
        )
        yield TrainedStage(own, words, labels, recipes[frozen], frozen, rows)


TRAINED_STAGES = (
    *_both("finetune", "recipe of classification", CLASSES, ("finetune", "linear"), ["top-1"]),
    *_both("segmentation", "UperNet", MAPS, ("seg", "seg"), ["mIoU"]),
    *_both("detection", "Mask R-CNN", BOXES, ("det", "det"), ["box AP", "mask AP"]),
)
