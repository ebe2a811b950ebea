"""From a method and a data set to jobs: pretraining, every stage from its and random weights."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from .. import config_file
from ..methods import Method, method_named
from .dense_images import DenseData
from .images import ImageData
from .job_queue import Job, Lanes
from .stages import Stage, stages_of

RUN_STAGE = "maskssl.transfer.stage_run:run_stage"
PRETRAIN_SECONDS = 300
NUM_SHOWN = 8
OWN_EPOCHS = 6  # over labelled images of one's own: they are more than the scenes' 80
# what a smoke run shortens: pictures to pretrain, train and test on, and the training's length
SMOKE_PRETRAIN, SMOKE_TRAIN, SMOKE_TEST = 128, 64, 16
SMOKE_ITERATIONS, SMOKE_EPOCHS = 4, 2


@dataclass(frozen=True)
class Plan:
    """What a transfer run does.

    Attributes:
        method: key of METHODS.
        out: folder of everything that is written.
        scenes: folder of the drawn scenes.
        images: the user's images instead of the scenes' ImageFolder; None for the scenes.
        seed: of every run.
        smoke: a few steps of everything, to see that it runs.
    """

    method: str
    out: Path
    scenes: Path
    images: ImageData | None = None
    seed: int = 0
    smoke: bool = False

    @property
    def row(self) -> Method:
        """The method's row."""
        return method_named(self.method)

    @property
    def stages(self) -> Sequence[Stage]:
        """The stages of the method."""
        return stages_of(self.row)

    def config(self, stage: str) -> str:
        """The file of a stage's config: a shipped one, or one's own by its absolute path."""
        name = self.row.configs[stage]
        return name if Path(name).is_absolute() else config_file(name)

    def dense_data(self, stage: Stage) -> DenseData | None:
        """The user's maps or boxes for a dense stage; None for the scenes."""
        if not self.images:
            return None
        return {"maps": self.images.maps, "boxes": self.images.boxes}.get(stage.labels)

    def work_dir(self, name: str) -> Path:
        """Where a job writes."""
        return self.out / "runs" / name

    def sheet(self, stage: Stage) -> Path:
        """The picture of what a dense stage predicts."""
        return self.work_dir(f"{stage.name}-pictures") / "predictions.png"


@dataclass(frozen=True)
class StageRun:
    """What a job trains, or tests.

    Attributes:
        config: file.
        work_dir: takes logs, checkpoints and metrics.json.
        seed: of all draws.
        options: dotted key -> value, over the config's.
        pretrained: checkpoint or work dir that the backbone starts from, or 'none'.
        tested: test, without training.
        checkpoint: of the whole model to test; None for kNN.
        sheet: PNG that a test writes, of truth and predictions.
        classes: names of the classes, where they are not the config's.
    """

    config: str
    work_dir: Path
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    pretrained: str | None = None
    tested: bool = False
    checkpoint: Path | None = None
    sheet: Path | None = None
    classes: Sequence[str] = ()


def plan_lanes() -> Lanes:
    """One job at a time per GPU, else two or four on the CPU.

    Small models use two cores better by two processes than by two threads. Threads of the
    other process find the core free while these wait (a passive wait policy).
    """
    cores = len(os.sched_getaffinity(0))
    gpus = _visible_gpus()
    count = len(gpus) or min(cores, 2 if cores <= 4 else 4)
    environments = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus] or [{} for _ in range(count)]
    common = {
        "OMP_NUM_THREADS": str(max(1, cores // count)),
        "OMP_WAIT_POLICY": "passive",
        # a process that has asked the driver for GPUs cannot be forked; this asks NVML
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # the fork server imports as we do
    }
    return Lanes(environments, ["maskssl.transfer.warmed"], common)


def _visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES calls each GPU that this process may use."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",")[:count] if named else [str(index) for index in range(count)]


def random_options(plan: Plan, stage: Stage) -> Mapping[str, Any]:
    """What serves random weights best, where that is another setting: ``random_weights``."""
    cfg = Config.fromfile(plan.config(stage.name), import_custom_modules=False)
    options: Mapping[str, Any] = cfg.get("random_weights", {})
    return options


def job_of(plan: Plan, name: str, run: StageRun, seconds: float, after: Sequence[str] = ()) -> Job:
    """A run as a job of the plan."""
    return Job(name, RUN_STAGE, (run,), plan.out / "logs" / f"{name}.log", seconds, after)


def plan_jobs(plan: Plan) -> list[Job]:
    """All jobs in order of preference: pretraining first, random runs beside it."""
    jobs = [job_of(plan, "pretrain", _pretraining(plan), PRETRAIN_SECONDS)]
    for stage in plan.stages:
        name = f"{stage.name}-random"
        run = stage_run(plan, stage, name, "none", random_options(plan, stage))
        jobs.append(job_of(plan, name, run, stage.seconds))
    for stage in reversed(plan.stages):  # the longest first, so that no lane ends late
        name = f"{stage.name}-pretrained"
        run = stage_run(plan, stage, name, str(plan.work_dir("pretrain")))
        jobs.append(job_of(plan, name, run, stage.seconds, ["pretrain"]))
        if stage.labels != "classes":
            shown = _picture_run(plan, stage)
            jobs.append(job_of(plan, f"{stage.name}-pictures", shown, 4, [name]))
    return jobs


def _pretraining(plan: Plan) -> StageRun:
    options = _loader_options("train_dataloader")
    root, prefix = plan.scenes / "imagefolder", "train"
    if plan.images:
        root, prefix = plan.images.pretrain_root, ""
    options |= {
        "train_dataloader.dataset.data_root": str(root),
        "train_dataloader.dataset.data_prefix": prefix,
    }
    if plan.smoke:
        options |= {
            "train_cfg.max_epochs": SMOKE_EPOCHS,
            "train_dataloader.dataset.indices": SMOKE_PRETRAIN,
        }
    return StageRun(plan.config("pretrain"), plan.work_dir("pretrain"), plan.seed, options)


def stage_run(
    plan: Plan, stage: Stage, name: str, weights: str, extra: Mapping[str, Any] | None = None
) -> StageRun:
    """A stage from some weights.

    Args:
        plan: what it belongs to.
        stage: what to train or to test.
        name: of the job.
        weights: checkpoint or work dir that the backbone starts from, or 'none'.
        extra: options over the config's.
    """
    train, test = "train_dataloader", "val_dataloader"
    if stage.tested:
        train, test = "test_cfg.bank_dataloader", "test_dataloader"
    options = {
        **_loader_options(train),
        **_loader_options(test),
        **_data_options(plan, stage, train, test),
        **(extra or {}),
    }
    if plan.smoke:
        options[f"{train}.dataset.indices"] = SMOKE_TRAIN
        options[f"{test}.dataset.indices"] = SMOKE_TEST
        if stage.labels == "maps":
            options["train_cfg.max_iters"] = SMOKE_ITERATIONS
        elif not stage.tested:
            options["train_cfg.max_epochs"] = SMOKE_EPOCHS
    config, work_dir = plan.config(stage.name), plan.work_dir(name)
    classes = () if stage.tested else _classes(plan, stage)
    return StageRun(config, work_dir, plan.seed, options, weights, stage.tested, classes=classes)


def _picture_run(plan: Plan, stage: Stage) -> StageRun:
    """Test the trained model once more on a few scenes, drawing what it predicts."""
    options = {
        **_loader_options("test_dataloader"),
        **_data_options(plan, stage, "train_dataloader", "test_dataloader"),
        "test_dataloader.dataset.indices": NUM_SHOWN,
    }
    work_dir = plan.work_dir(f"{stage.name}-pictures")
    return StageRun(
        plan.config(stage.name),
        work_dir,
        plan.seed,
        options,
        tested=True,
        checkpoint=plan.work_dir(f"{stage.name}-pretrained"),
        sheet=plan.sheet(stage),
        classes=_classes(plan, stage),
    )


def _loader_options(loader: str) -> dict[str, Any]:
    """Without a GPU the training has all cores: loading in the same process is faster."""
    if torch.cuda.device_count():
        return {}
    return {f"{loader}.num_workers": 0, f"{loader}.persistent_workers": False}


def _data_options(plan: Plan, stage: Stage, train: str, test: str) -> dict[str, Any]:
    """Point a stage's loaders at the scenes, or at the user's labelled images."""
    if stage.labels == "classes" and plan.images and plan.images.class_root:
        options = {**plan.images.options(train, "train"), **plan.images.options(test, "val")}
        if not stage.tested:
            options["train_cfg.max_epochs"] = OWN_EPOCHS
        return options
    if data := plan.dense_data(stage):
        options = {
            f"{loader}.dataset.{key}": value
            for loader, part in ((train, "train"), (test, "val"))
            for key, value in data.datasets[part].items()
        }
        annotations = data.datasets["val"]["ann_file"]
    else:
        root = plan.scenes / {"classes": "imagefolder", "maps": "seg", "boxes": "det"}[stage.labels]
        options = {f"{loader}.dataset.data_root": str(root) for loader in (train, test)}
        annotations = str(root / "instances_val.json")
    if stage.labels == "boxes":
        options[f"{test.replace('dataloader', 'evaluator')}.ann_file"] = annotations
    return options


def _classes(plan: Plan, stage: Stage) -> Sequence[str]:
    """Names of the classes of the user's labels; none where a stage stays on the scenes."""
    if data := plan.dense_data(stage):
        return data.classes
    if plan.images and plan.images.class_root and stage.labels == "classes":
        return [f"class {number}" for number in range(plan.images.num_classes)]
    return ()
