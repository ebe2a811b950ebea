"""The arithmetic of a run: images, batches, steps, epochs, and where its schedule ends."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from mmengine.config import Config

from ...datasets.checks.errors import DataError
from .labels import batch_size
from .nodes import loader_config

_WORLD = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")


@dataclass(frozen=True)
class RunLength:
    """How long a run is.

    Attributes:
        images: of its training set.
        batch: per process.
        processes: that share the images.
        accumulation: batches of a step.
        batches: per process and epoch; 0 if the loop counts none.
        epochs: of the run; 0 if it counts steps.
        steps: of the optimizer in the whole run.
        schedule_end: epoch or iteration at which the last schedule ends; None if with the run.
        by_epoch: whether ``schedule_end`` counts epochs.
        end: of the run, in the same count.
    """

    images: int
    batch: int
    processes: int
    accumulation: int
    batches: int
    epochs: int
    steps: int
    schedule_end: int | None
    by_epoch: bool
    end: int

    def __str__(self) -> str:
        total = self.batch * self.processes * self.accumulation
        count = (
            f"{self.batches:,} batches an epoch, {self.epochs:,} epochs, {self.steps:,} steps"
            if self.epochs
            else f"{self.steps:,} steps, {self.steps * total / self.images:,.1f} epochs"
        )
        unit = "epoch" if self.by_epoch else "iteration"
        schedule = "the schedule ends with the run"
        if self.schedule_end is not None:
            schedule = f"the schedule ends at {unit} {self.schedule_end:,}, the run at {self.end:,}"
        return (
            f"{self.images:,} images; batch of {self.batch} x {self.processes} processes x "
            f"{self.accumulation} accumulated = {total:,}; {count}; {schedule}"
        )


def run_length(cfg: Config, images: int, processes: int) -> RunLength:
    """Work out a training run.

    Args:
        cfg: the run's config.
        images: that its training set has.
        processes: that share them.

    Raises:
        DataError: fewer images than a batch, and such batches are dropped.
    """
    loader: Mapping[str, Any] = loader_config(cfg, "train_dataloader") or {}
    train: Mapping[str, Any] = cfg.get("train_cfg") or {}
    batch = batch_size(cfg, "train_dataloader")
    accumulation = int((cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1))
    share = math.ceil(images / processes)
    batches = share // batch if loader.get("drop_last") else math.ceil(share / batch)
    endless = (loader.get("sampler") or {}).get("type") == "InfiniteSampler"
    if not batches and not endless:
        raise DataError(
            f"train_dataloader: {images:,} images in {processes} processes are {share:,} each, "
            f"fewer than the batch of {batch:,}, and drop_last leaves such a batch out: nothing "
            f"would be trained. Set train_dataloader.batch_size to {share} or less, "
            "train_dataloader.drop_last=False, or start fewer processes"
        )
    by_epoch = train.get("max_epochs") is not None
    epochs = int(train["max_epochs"]) if by_epoch else 0
    iterations = epochs * batches if by_epoch else int(train.get("max_iters") or 0)
    end, unit = _schedule_end(cfg, batches, iterations)
    return RunLength(
        images,
        batch,
        processes,
        accumulation,
        batches,
        epochs,
        math.ceil(iterations / accumulation),
        end,
        unit,
        epochs if unit and epochs else iterations,
    )


def _schedule_end(cfg: Config, batches: int, iterations: int) -> tuple[int | None, bool]:
    """Where the last schedule ends, and whether that is an epoch; None if it does with the run."""
    schedules = cfg.get("param_scheduler") or ()
    found = []
    for schedule in schedules if isinstance(schedules, list | tuple) else [schedules]:
        by_epoch = bool(schedule.get("by_epoch", True))
        end = schedule.get("end")  # mmengine takes the run's where none is given
        steps = schedule.get("milestones") or ()
        if end is None and steps and max(steps) * (batches if by_epoch else 1) > iterations:
            end = max(steps)
        last = iterations if end is None else end * batches if by_epoch else end
        found.append((last, end or 0, by_epoch))
    last, end, by_epoch = max(found, default=(iterations, 0, True))
    return (None, True) if last == iterations else (end, by_epoch)


def world_size(launcher: str) -> int:
    """Processes of the run, also before they know each other."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_world_size()
    if launcher == "none":
        return 1
    return next((int(os.environ[name]) for name in _WORLD if os.environ.get(name)), 1)
