"""From images to a transfer report: plan the jobs, run them, collect the figures."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import config_file
from ..visualization.curves import plot_losses
from ..visualization.sheets import tile_pictures
from .images import ImageData
from .job_queue import Job, run_jobs, tool_command
from .report import Report, Row, write_report
from .stages import STAGES, Stage, logged_scalars, stage_figures

PRETRAIN_CONFIGS = {
    "bootmae": "pretrain/bootmae_vit-tiny_scenes.py",
    "extrema": "pretrain/extrema_vit-tiny_scenes.py",
}
PRETRAIN_SECONDS = 360
NO_DECAY = "optim_wrapper.paramwise_cfg.layer_decay_rate=1.0"
NUM_OVERLAYS = 8


@dataclass(frozen=True)
class Plan:
    """What a transfer run does.

    Attributes:
        method: key of PRETRAIN_CONFIGS.
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

    def work_dir(self, name: str) -> Path:
        """Where a job writes."""
        return self.out / "runs" / name


def run_transfer(plan: Plan, say: Callable[[str], None]) -> Report:
    """Pretrain, run every stage from pretrained and random weights, write the report.

    Args:
        plan: what to run.
        say: takes lines of progress.

    Returns:
        The report; its pages lie in plan.out / 'report'.

    Raises:
        JobError: a job failed.
    """
    slots, threads = lanes()
    say(f"{slots} jobs side by side, {threads} threads each; logs in {plan.out / 'logs'}")
    jobs = plan_jobs(plan, threads)
    seconds = run_jobs(jobs, slots, say)
    return _write(plan, seconds)


def lanes() -> tuple[int, int]:
    """Jobs side by side and threads of each: one per GPU, else two or four on the CPU.

    Small models use two cores better by two processes than by two threads.
    """
    cores = len(os.sched_getaffinity(0))
    if torch.cuda.is_available():
        return torch.cuda.device_count(), max(1, cores // torch.cuda.device_count())
    slots = min(cores, 2 if cores <= 4 else 4)
    return slots, max(1, cores // slots)


def plan_jobs(plan: Plan, threads: int) -> list[Job]:
    """All jobs in order of preference: pretraining first, random runs beside it."""

    def job(name: str, command: list[str], seconds: float, after: Sequence[str] = ()) -> Job:
        environment = {"OMP_NUM_THREADS": str(threads)}
        return Job(name, command, plan.out / "logs" / f"{name}.log", seconds, after, environment)

    pretrained = str(plan.work_dir("pretrain"))
    jobs = [job("pretrain", _pretrain_command(plan), PRETRAIN_SECONDS)]
    for stage in STAGES:
        for kind, extra in _random_runs(stage).items():
            command = _stage_command(plan, stage, kind, "none", extra)
            jobs.append(job(f"{stage.name}-{kind}", command, stage.seconds))
    for stage in reversed(STAGES):  # the longest first, so that no lane ends late
        name = f"{stage.name}-pretrained"
        command = _stage_command(plan, stage, "pretrained", pretrained)
        jobs.append(job(name, command, stage.seconds, ["pretrain"]))
        if stage.data == "scenes":
            jobs.append(job(f"{stage.name}-pictures", _picture_command(plan, stage), 15, [name]))
    return jobs


def _random_runs(stage: Stage) -> dict[str, list[str]]:
    runs: dict[str, list[str]] = {"random": []}
    if stage.layer_decay:
        runs["random-nodecay"] = [NO_DECAY]
    return runs


def _pretrain_command(plan: Plan) -> list[str]:
    options = _loader_options(["train_dataloader"])
    root, prefix = plan.scenes / "imagefolder", "train"
    if plan.images:
        root, prefix = plan.images.pretrain_root, ""
    options += [
        f"train_dataloader.dataset.data_root={root}",
        f"train_dataloader.dataset.data_prefix={prefix}",
    ]
    if plan.smoke:
        options += ["train_cfg.max_epochs=2", "train_dataloader.dataset.indices=128"]
    return _command("train", plan, PRETRAIN_CONFIGS[plan.method], "pretrain", options)


def _stage_command(
    plan: Plan, stage: Stage, kind: str, weights: str, extra: Sequence[str] = ()
) -> list[str]:
    train, test = "train_dataloader", "val_dataloader"
    if stage.tested:
        train, test = "test_cfg.bank_dataloader", "test_dataloader"
    options = [*_loader_options([train, test]), *_data_options(plan, stage, train, test), *extra]
    if plan.smoke:
        options += [f"{train}.dataset.indices=128", f"{test}.dataset.indices=16"]
        if not stage.tested:
            limit = "max_iters=4" if stage.name == "seg" else "max_epochs=2"
            options.append(f"train_cfg.{limit}")
    tool = "test" if stage.tested else "train"
    config = stage.config_for(plan.method)
    command = _command(tool, plan, config, f"{stage.name}-{kind}", options)
    return [*command, "--pretrained", weights]


def _picture_command(plan: Plan, stage: Stage) -> list[str]:
    """Test the trained model once more on a few scenes, drawing what it predicts."""
    options = _data_options(plan, stage, "train_dataloader", "test_dataloader")
    options += [*_loader_options(["test_dataloader"])]
    options.append(f"test_dataloader.dataset.indices={NUM_OVERLAYS}")
    checkpoint = str(plan.work_dir(f"{stage.name}-pretrained"))
    config = stage.config_for(plan.method)
    command = _command("test", plan, config, f"{stage.name}-pictures", options)
    show_dir = str(plan.work_dir(f"{stage.name}-pictures") / "shown")
    command.insert(5, checkpoint)  # python -m maskssl test CONFIG CHECKPOINT …
    return [*command, "--show-dir", show_dir]


def _command(tool: str, plan: Plan, config: str, name: str, options: Sequence[str]) -> list[str]:
    work_dir = str(plan.work_dir(name))
    fixed = ["--work-dir", work_dir, "--seed", str(plan.seed)]
    return tool_command(tool, config_file(config), *fixed, "--cfg-options", *options)


def _loader_options(loaders: Sequence[str]) -> list[str]:
    """Without a GPU the training has all cores: loading in the same process is faster."""
    if torch.cuda.is_available():
        return []
    return [
        option
        for loader in loaders
        for option in (f"{loader}.num_workers=0", f"{loader}.persistent_workers=False")
    ]


def _data_options(plan: Plan, stage: Stage, train: str, test: str) -> list[str]:
    """Point a stage's loaders at the scenes, or at the user's labelled images."""
    if stage.data == "classification" and plan.images and plan.images.class_root:
        options = [*plan.images.options(train, "train"), *plan.images.options(test, "val")]
        if not stage.tested:
            options += [
                f"model.head.num_classes={plan.images.num_classes}",
                f"model.data_preprocessor.num_classes={plan.images.num_classes}",
            ]
        return options
    folder = {"classification": "imagefolder"}.get(stage.data, stage.name)
    root = plan.scenes / folder
    options = [f"{train}.dataset.data_root={root}", f"{test}.dataset.data_root={root}"]
    if stage.name == "det":
        annotations = root / "instances_val.json"
        evaluator = test.replace("dataloader", "evaluator")
        options.append(f"{evaluator}.ann_file={annotations}")
    return options


def _write(plan: Plan, seconds: dict[str, float]) -> Report:
    folder = plan.out / "report"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"Loss of the pretraining": "losses.png"}
    plot_losses(logged_scalars(plan.work_dir("pretrain")), folder / "losses.png")

    drawn = sorted(
        (plan.work_dir("pretrain") / "reconstructions").glob("*.png"),
        key=lambda path: int(path.stem.split("_")[-1]),
    )
    if drawn:  # ExtreMA predicts no pixels
        tile_pictures(drawn[-1:], folder / "reconstructions.png", width=400, columns=1)
        pictures["Reconstructions after pretraining"] = "reconstructions.png"
    for stage in (stage for stage in STAGES if stage.data == "scenes"):
        shown = sorted((plan.work_dir(f"{stage.name}-pictures")).rglob("*.png"))
        shown += sorted((plan.work_dir(f"{stage.name}-pictures")).rglob("*.jpg"))
        tile_pictures(shown[:NUM_OVERLAYS], folder / f"{stage.name}.png")
        pictures[f"{stage.name}: truth left, prediction right"] = f"{stage.name}.png"

    report = Report(
        title=f"Transfer of {plan.method} pretrained on "
        f"{plan.images.pretrain_root.name if plan.images else 'drawn scenes'}",
        facts=_facts(plan),
        rows=collect_rows(plan),
        pictures=pictures,
        seconds=seconds,
    )
    write_report(report, folder)
    return report


def collect_rows(plan: Plan) -> list[Row]:
    """The table: pretrained against the better of the random runs, stage by stage."""
    rows = []
    for stage in STAGES:
        pretrained = stage_figures(stage, plan.work_dir(f"{stage.name}-pretrained"))
        randoms = {
            kind: stage_figures(stage, plan.work_dir(f"{stage.name}-{kind}"))
            for kind in _random_runs(stage)
        }
        for name, value in pretrained.items():
            scores = {kind: figures[name] for kind, figures in randoms.items()}
            best = max(scores, key=scores.__getitem__)
            note = ""
            if stage.layer_decay:
                others = [f"{score:.1f}" for kind, score in scores.items() if kind != best]
                with_decay = "without" if best == "random-nodecay" else "with"
                note = f"{with_decay} layer decay (otherwise {', '.join(others)})"
            rows.append(Row(name, value, scores[best], note))
    return rows


def _facts(plan: Plan) -> dict[str, str]:
    images = plan.images
    classified = "drawn scenes, 8 shapes"
    if images and images.class_root:
        classified = f"{images.num_classes} classes of the given images"
    return {
        "method": plan.method,
        "pretrained on": f"{images.num_images} images" if images else "drawn scenes, no labels",
        "classified": classified,
        "segmented and detected": "drawn scenes, 8 shapes",
        "seed": f"{plan.seed} (one run each; figures of one seed move by a few points)",
        "steps": "the same for pretrained and random; random takes the better of two runs where "
        "layer decay applies, each figure on its own",
        "machine": f"{torch.cuda.get_device_name()}"
        if torch.cuda.is_available()
        else f"{len(os.sched_getaffinity(0))} CPU cores",
    }
