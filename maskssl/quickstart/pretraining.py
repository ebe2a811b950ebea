"""The quickstart's pretraining: a job, what it is made of, and where it starts from."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS

from ..cli.config import load_config
from ..transfer.fingerprints import Facts, digest_of_code, digest_of_text, pictures_below
from ..transfer.job_queue import Job
from ..transfer.trained_jobs import TRAIN, write_run
from .plan import Plan

PRETRAIN = "pretrain"
SECONDS = 100  # in the unit of the other jobs: rough, by the passes of their encoders
SMOKE_EPOCHS, SMOKE_IMAGES = 2, 128


def pretraining_job(plan: Plan, facts: Facts) -> Job:
    """The pretraining, in a process of its own; one that was broken off goes on.

    Args:
        plan: of the quickstart.
        facts: see ``pretraining_facts``; what other ones left in its folder is removed.
    """
    file = write_run(plan.pretrained, pretraining_config(plan), plan.seed, facts)
    return Job(PRETRAIN, TRAIN, (file,), plan.pretrained / "train.log", SECONDS)


def pretraining_config(plan: Plan) -> Config:
    """The method's, on the images of the plan."""
    loader = "train_dataloader"
    root, prefix = plan.scenes / "imagefolder", "train"
    if plan.images:
        root, prefix = plan.images.pretrain_root, ""
    options: dict[str, Any] = {
        f"{loader}.dataset.data_root": str(root),
        f"{loader}.dataset.data_prefix": prefix,
        "default_hooks.checkpoint.interval": 1,
        "default_hooks.checkpoint.max_keep_ckpts": 1,
    }
    if not torch.cuda.is_available():  # another job has the other core
        options |= {f"{loader}.num_workers": 0, f"{loader}.persistent_workers": False}
    if plan.smoke:
        options |= {
            "train_cfg.max_epochs": SMOKE_EPOCHS,
            f"{loader}.dataset.indices": SMOKE_IMAGES,
        }
    return load_config(plan.config("pretrain"), options)


def pretraining_facts(plan: Plan) -> Facts:
    """What makes its weights: method, seed, length, images by name and size, config and code."""
    cfg = Config.fromfile(plan.config("pretrain"), import_custom_modules=False)
    return {
        "method": plan.method,
        "seed": str(plan.seed),
        "smoke": "yes" if plan.smoke else "no",
        "images": _images(plan),
        "config": digest_of_text(cfg.pretty_text),
        "code": digest_of_code(),
    }


def _images(plan: Plan) -> str:
    if not plan.images:
        content = (plan.scenes / "scenes.json").read_bytes()
        return f"drawn scenes ({hashlib.sha256(content).hexdigest()[:12]})"
    count, digest = pictures_below(plan.images.pretrain_root)
    return f"{plan.images.pretrain_root} ({count} images, {digest})"


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
