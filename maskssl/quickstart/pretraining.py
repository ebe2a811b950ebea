"""The quickstart's pretraining: a job, what it is made of, and where it starts from."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from ..cli import launch
from ..cli.config import load_config
from ..datasets.folders import image_files
from ..transfer.fingerprints import digest_of_code, digest_of_text
from ..transfer.job_queue import Job
from .plan import Plan

PRETRAIN = "pretrain"
RUN = f"{__name__}:pretrain"
SECONDS = 100  # in the unit of the other jobs: rough, by the passes of their encoders
SMOKE_EPOCHS, SMOKE_IMAGES = 2, 128


def pretraining_job(plan: Plan) -> Job:
    """The pretraining, in a process of its own."""
    arguments = plan.config("pretrain"), plan.pretrained, plan.seed, options_of(plan)
    return Job(PRETRAIN, RUN, arguments, plan.pretrained / "train.log", SECONDS)


def options_of(plan: Plan) -> dict[str, Any]:
    """Dotted key -> value over the config's."""
    loader = "train_dataloader"
    root, prefix = plan.scenes / "imagefolder", "train"
    if plan.images:
        root, prefix = plan.images.pretrain_root, ""
    options: dict[str, Any] = {
        f"{loader}.dataset.data_root": str(root),
        f"{loader}.dataset.data_prefix": prefix,
    }
    if not torch.cuda.is_available():  # another job has the other core
        options |= {f"{loader}.num_workers": 0, f"{loader}.persistent_workers": False}
    if plan.smoke:
        options |= {
            "train_cfg.max_epochs": SMOKE_EPOCHS,
            f"{loader}.dataset.indices": SMOKE_IMAGES,
        }
    return options


def pretrain(config: str, work_dir: Path, seed: int, options: Mapping[str, Any]) -> None:
    """Train to the end."""
    cfg = load_config(config, options)
    cfg.work_dir = str(work_dir)
    cfg.randomness = dict(cfg.get("randomness", {}), seed=seed)
    launch.build_runner(cfg, ["train_dataloader"]).train()


def pretraining_facts(plan: Plan) -> dict[str, str]:
    """What makes its weights: method, seed, length, images by name and size, config and code."""
    cfg = Config.fromfile(plan.config("pretrain"), import_custom_modules=False)
    resolved = json.dumps(cfg.to_dict(), sort_keys=True, default=str)
    return {
        "method": plan.method,
        "seed": str(plan.seed),
        "smoke": "yes" if plan.smoke else "no",
        "images": _images(plan),
        "config": digest_of_text(resolved),
        "code": digest_of_code(),
    }


def _images(plan: Plan) -> str:
    if not plan.images:
        content = (plan.scenes / "scenes.json").read_bytes()
        return f"drawn scenes ({hashlib.sha256(content).hexdigest()[:12]})"
    root = plan.images.pretrain_root
    parts = [f"{path.relative_to(root)} {path.stat().st_size}" for path in image_files(root)]
    return f"{root} ({len(parts)} images, {digest_of_text(repr(parts))})"


def write_start(plan: Plan) -> None:
    """The model before its pretraining, as a checkpoint; one that is there stays."""
    write_untrained(Config.fromfile(plan.config("pretrain")), plan.seed, plan.start)


def write_untrained(cfg: Config, seed: int, file: Path) -> None:
    """A config's model with the weights that it begins with; a file that is there stays."""
    if file.is_file():
        return
    init_default_scope(cfg.get("default_scope", "mmpretrain"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        weights = MODELS.build(cfg.model).state_dict()
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    torch.save(dict(state_dict=weights, meta=dict(cfg=cfg.pretty_text)), partial)
    partial.replace(file)
