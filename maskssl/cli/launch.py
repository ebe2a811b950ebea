"""From a config file and the command line to a runner, on any number of CPUs or GPUs."""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper

from ..checkpoints.reading import checkpoint_at, read_checkpoint
from ..engine.runner.resuming import join_processes
from ..engine.runner.runner import MaskSSLRunner
from ..engine.sharding.options import sharding_options
from .config import ConfigError, dicts_below
from .data_check import check_data

# names of torch's code paths on x86 CPUs that emulate bf16 number by number
SLOW_BF16 = ("DEFAULT", "NO AVX", "AVX2")


def set_pretrained(cfg: Config, checkpoint: str) -> None:
    """Start the backbone from a checkpoint, or from random weights for 'none'.

    Raises:
        ConfigError: the model has no backbone.
    """
    if "backbone" not in cfg.get("model", {}):
        raise ConfigError("--pretrained needs a config with model.backbone")
    if checkpoint == "none":
        cfg.model.backbone.init_cfg = None
        return
    before = cfg.model.backbone.get("init_cfg") or {}
    kept = {key: before[key] for key in ("branch", "accept", "unverified") if key in before}
    cfg.model.backbone.init_cfg = dict(
        type="Pretrained", checkpoint=checkpoint_at(checkpoint), **kept
    )


def refuse_untrained(cfg: Config) -> None:
    """Refuse to train by a config that only tests.

    Raises:
        ConfigError: there is nothing to train.
    """
    if not cfg.get("train_dataloader"):
        raise ConfigError(
            "this config has nothing to train: it scores a backbone as it is. Run it by maskssl "
            "test CONFIG --pretrained CHECKPOINT"
        )


def set_tested(cfg: Config, checkpoint: str | None) -> None:
    """Name the checkpoint to test; for kNN it is the backbone's.

    Raises:
        ConfigError: there is nothing to test.
    """
    if not cfg.get("test_dataloader"):
        raise ConfigError(
            "this config has nothing to test: it pretrains. Score its checkpoint by kNN (maskssl "
            "test finetune/…_knn_….py --pretrained CHECKPOINT), or look at what it learnt (maskssl "
            "visualize attention CHECKPOINT IMAGES)"
        )
    init = (cfg.model.get("backbone") or {}).get("init_cfg") or {}
    if cfg.model.type == "KNNClassifier":
        if checkpoint:
            set_pretrained(cfg, checkpoint)
        return
    if checkpoint is None:
        raise ConfigError(
            "give the checkpoint of the trained model: maskssl test CONFIG CHECKPOINT (the "
            f"backbone's {init.get('checkpoint')!r} alone has no head)"
        )
    cfg.load_from = checkpoint_at(checkpoint)
    read_checkpoint(cfg.load_from)  # a damaged file is told before the data is read
    cfg.resume = False


def set_show_dir(cfg: Config, folder: str) -> None:
    """Let the scope's visualization hook save a picture of every test image.

    Raises:
        ConfigError: the config has no visualization hook.
    """
    hook = cfg.get("default_hooks", {}).get("visualization")
    if hook is None:
        raise ConfigError("--show-dir needs default_hooks.visualization in the config")
    folder = os.path.abspath(folder)  # mmdet takes others as below the work dir
    classification = cfg.get("default_scope") == "mmpretrain"
    hook.update(dict(enable=True, out_dir=folder) if classification else dict(draw=True))
    if cfg.get("default_scope") == "mmdet":
        hook.test_out_dir = folder
    elif not classification:
        cfg.visualizer.save_dir = folder
        cfg.visualizer.vis_backends = [dict(type="LocalVisBackend")]


def use_amp(cfg: Config) -> None:
    """Turn on bf16 autocast in training; a config that has AMP already stays.

    Detection runs only its backbone in bf16: mmcv's RoIAlign and NMS know no such type.
    """
    wrapper = cfg.optim_wrapper
    if cfg.get("default_scope") == "mmdet":
        cfg.model.backbone.autocast = True
        print_log("--amp: the backbone runs in bf16, the detector's heads in fp32", "current")
        return
    plain = ("OptimWrapper", "mmengine.OptimWrapper", OptimWrapper)
    if wrapper.get("type", "OptimWrapper") in plain:
        wrapper.type = "AutocastOptimWrapper"
        wrapper.dtype = "bfloat16"
    else:
        print_log(f"--amp: optim_wrapper is {wrapper.type} already", logger="current")


def use_auto_scale_lr(cfg: Config) -> None:
    """Scale the lr by the images of an optimizer step over the config's base batch size.

    Both count all processes and all forwards that are accumulated.

    Raises:
        ConfigError: the config states no base batch size.
    """
    if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
        raise ConfigError(
            "--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config"
        )
    cfg.auto_scale_lr.enable = True


def add_hook(cfg: Config, **hook: Any) -> None:
    """One hook more, behind those of the config."""
    cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), hook]


def build_runner(cfg: Config, loaders: Sequence[str], launcher: str = "none") -> MaskSSLRunner:
    """Build the runner for the hardware at hand.

    Without a GPU, SyncBN becomes BN (said in the log) and several processes talk over
    gloo.

    Args:
        cfg: complete config; ``work_dir`` is set.
        loaders: dataloaders that will be used; their files are looked for first.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.
    """
    start_processes(cfg, launcher)
    if cfg.get("sharding"):
        sharding_options(cfg.sharding)  # an unknown option shows now
    check_data(cfg, loaders)
    if not torch.cuda.is_available():
        _fit_to_cpu(cfg, distributed=launcher != "none")
    return MaskSSLRunner.from_cfg(cfg)


def start_processes(cfg: Config, launcher: str) -> None:
    """Join the group of processes, over NCCL, or gloo without a GPU; a second call does nothing.

    Args:
        cfg: takes ``launcher`` up.
        launcher: 'none', 'pytorch', 'slurm' or 'mpi'.

    Raises:
        ConfigError: a launcher that starts no processes on CPUs.
    """
    cfg.launcher = launcher
    if launcher == "none" or torch.distributed.is_initialized():
        return
    if torch.cuda.is_available():
        join_processes(cfg)
        return
    if launcher != "pytorch" or "RANK" not in os.environ:
        raise ConfigError(
            f"launcher={launcher!r} without GPUs: start CPU processes with "
            "maskssl train CONFIG --nproc N (launcher pytorch)"
        )
    # not mmengine's init_dist, which calls torch.cuda.set_device
    seconds = cfg.get("env_cfg", {}).get("dist_cfg", {}).get("timeout", 1800)
    torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=seconds))


def replace_sync_bn(cfg: Config) -> None:
    """Make SyncBN, which is for GPUs, BN; it is told."""
    changed = 0
    for node in dicts_below(cfg.model):
        if node.get("type") == "SyncBN":
            node["type"] = "BN"
            changed += 1
    if changed:
        print_log(
            f"no GPU: {changed} SyncBN entries of the model become BN, which normalises each "
            "process by its own batch",
            logger="current",
            level=30,  # logging.WARNING
        )


def _fit_to_cpu(cfg: Config, distributed: bool) -> None:
    replace_sync_bn(cfg)
    _without_slow_bf16(cfg)
    if not distributed:
        return
    if cfg.get("sharding"):
        return
    cfg.model_wrapper_cfg = {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        **(cfg.get("model_wrapper_cfg") or {}),
        "device_ids": None,  # DDP takes none on a CPU
    }


def _without_slow_bf16(cfg: Config) -> None:
    """Train in fp32 on a CPU that has no bf16 instructions.

    Emulated, a step of the small UperNet takes 17 times as long as in fp32 (17.0 s and 1.0 s of
    one AVX2 core), one of BootMAE's small pretraining six times (1.34 s and 0.21 s).
    """
    capability = torch.backends.cpu.get_cpu_capability()
    wrapper = cfg.get("optim_wrapper") or {}
    if wrapper.get("type") != "AutocastOptimWrapper" or capability not in SLOW_BF16:
        return
    wrapper["type"] = "OptimWrapper"
    wrapper.pop("dtype", None)
    print_log(
        f"this CPU ({capability}) has no bf16 instructions: trains in fp32",
        logger="current",
        level=30,  # logging.WARNING
    )
