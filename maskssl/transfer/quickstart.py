"""The main job: pretrain, run every stage from its and from random weights, write the report."""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from ..datasets.folders import image_files
from ..evaluation.run_logs import read_run
from ..progress import ProgressLine
from ..visualization.curves import plot_runs
from ..visualization.sheets import tile_pictures
from .job_queue import Job, run_jobs
from .plan import Plan, plan_jobs, plan_lanes
from .record import digest_of_files, digest_of_listing, digest_of_text, open_record
from .report import Report, Row, write_report
from .stages import stage_figures

PACKAGE = Path(__file__).resolve().parents[1]
JUDGED = {"classes": "classified", "maps": "segmented", "boxes": "detected"}


def run_transfer(plan: Plan, line: ProgressLine | None = None) -> Report:
    """Pretrain, run every stage from pretrained and random weights, write the report.

    The same call again goes on where an interrupted one stopped: finished jobs stay.

    Args:
        plan: what to run.
        line: shows the progress; default on stderr.

    Returns:
        The report; its pages lie in plan.out / 'report'.

    Raises:
        MaskSSLError: plan.out holds the results of another experiment, or a job failed.
    """
    seconds = run_experiment(plan, plan_jobs(plan), line or ProgressLine())
    return write_results(plan, seconds)


def run_experiment(plan: Plan, jobs: Sequence[Job], line: ProgressLine) -> Mapping[str, float]:
    """Run the jobs of a plan that are not done yet; job -> seconds it took.

    Raises:
        MaskSSLError: plan.out holds the results of another experiment, or a job failed.
    """
    record = open_record(plan.out, experiment_facts(plan))
    if plan.images:
        plan.images.write_lists()
    lanes = plan_lanes()
    jobs = [job for job in jobs if job.name not in record.seconds]
    for job in jobs:  # what an interrupted run of it has left
        shutil.rmtree(plan.work_dir(job.name), ignore_errors=True)
    line.say(f"{len(lanes.environments)} jobs side by side; logs in {plan.out / 'logs'}")
    if record.seconds:
        line.say(f"finished before and kept: {', '.join(record.seconds)}")
    run_jobs(jobs, lanes, line, record.finished, done=record.seconds)
    return record.seconds


def experiment_facts(plan: Plan) -> dict[str, str]:
    """What makes this experiment: method, seed, length, data, configs and code."""
    images = "none"
    if plan.images:
        root = plan.images.class_root or plan.images.pretrain_root
        files = {path.relative_to(root).as_posix(): path for path in image_files(root)}
        images = f"{root} ({len(files)} images, {digest_of_listing(root, files)})"
        for kind, data in (("maps", plan.images.maps), ("boxes", plan.images.boxes)):
            images += f", {kind} {digest_of_text(data.truth())}" if data else ""
    configs = [plan.config(stage) for stage in plan.row.configs]
    read = [Config.fromfile(path, import_custom_modules=False) for path in configs]
    resolved = json.dumps([cfg.to_dict() for cfg in read], sort_keys=True, default=str)
    code = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    return {
        "method": plan.method,
        "seed": str(plan.seed),
        "smoke": "yes" if plan.smoke else "no",
        "images": images,
        "scenes": digest_of_files({"scenes.json": plan.scenes / "scenes.json"}),
        "configs": digest_of_text(resolved),
        "code": digest_of_files(code),
    }


def write_results(plan: Plan, seconds: Mapping[str, float]) -> Report:
    """Draw the pictures, collect the figures and write the report."""
    folder = plan.out / "report"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    pretraining = read_run(plan.work_dir("pretrain"), "pretraining")
    curves = {key: name for key, name in plan.row.curves.items() if pretraining.series(key)}
    plot_runs([pretraining], list(curves), folder / "losses.png", curves)
    pictures = {"Curves of the pretraining": "losses.png"}
    drawn = sorted(
        (plan.work_dir("pretrain") / "reconstructions").glob("*.png"),
        key=lambda path: int(path.stem.split("_")[-1]),
    )
    if plan.row.draws_pixels:
        tile_pictures(drawn[-1:], folder / "reconstructions.png", width=400, columns=1)
        pictures["Reconstructions after pretraining"] = "reconstructions.png"
    for stage in plan.stages:
        if stage.labels == "classes":
            continue
        shutil.copyfile(plan.sheet(stage), folder / f"{stage.name}.png")
        pictures[f"{stage.title}: pictures that it was not trained on"] = f"{stage.name}.png"
    source = plan.images.pretrain_root.name if plan.images else "drawn scenes"
    title = f"Transfer of {plan.row.title} pretrained on {source}"
    report = Report(title, report_facts(plan), collect_rows(plan), pictures, seconds)
    write_report(report, folder)
    return report


def collect_rows(plan: Plan) -> list[Row]:
    """The table: pretrained against random weights, stage by stage."""
    rows = []
    for stage in plan.stages:
        pretrained, random = (
            stage_figures(stage, plan.work_dir(f"{stage.name}-{kind}"))
            for kind in ("pretrained", "random")
        )
        rows += [Row(name, value, random[name]) for name, value in pretrained.items()]
    return rows


def report_facts(plan: Plan) -> dict[str, str]:
    """What a reader of the table must know."""
    images = plan.images
    judged = {stage.labels: "drawn scenes, 8 classes" for stage in plan.stages}
    if images and images.class_root:
        judged["classes"] = f"{images.num_classes} classes of the given images"
    for stage in plan.stages:
        if data := plan.dense_data(stage):
            judged[stage.labels] = f"{len(data.classes)} classes of the given images"
    return {
        "method": plan.row.title,
        "pretrained on": f"{images.num_images} images" if images else "drawn scenes, no labels",
        "features": plan.row.features,
        **{title: judged[labels] for labels, title in JUDGED.items() if labels in judged},
        "seed": f"{plan.seed} (one run each; figures of one seed move by a few points)",
        "steps": "the same for pretrained and random weights; random ones run the setting that "
        "serves them best",
        **_without_detections(plan),
        "machine": f"{torch.cuda.get_device_name()}"
        if torch.cuda.is_available()
        else f"{len(os.sched_getaffinity(0))} CPU cores",
    }


def _without_detections(plan: Plan) -> dict[str, str]:
    """A row of facts that names the detectors whose AP is 0; none where all have found objects."""
    jobs = [
        f"{stage.name}-{kind}"
        for stage in plan.stages
        for kind in ("pretrained", "random")
        if stage.labels == "boxes"
        and not any(stage_figures(stage, plan.work_dir(f"{stage.name}-{kind}")).values())
    ]
    return {"found no object": f"{', '.join(jobs)}; AP 0 stands for it"} if jobs else {}
