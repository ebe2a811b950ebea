"""``--resume``, ``--new-draws`` and ``--debug-step``: what a training goes on from, and how."""

import argparse
from collections.abc import Iterable

from mmengine.config import Config

from ..checkpoints.reading import checkpoint_at
from ..engine.runner.resuming import from_first_process, hook_out_dir, settle_resume
from . import launch, restarts
from .config import ConfigError

# options that set what fixes the draws -> the fact's name in datasets.draws.facts
SETTING = {
    "randomness.seed": "seed",
    "train_dataloader.batch_size": "batch_size",
    "train_dataloader.sampler": "sampler",
    "train_dataloader.batch_sampler": "sampler",
    "train_dataloader.drop_last": "sampler",
    "optim_wrapper.accumulative_counts": "accumulation",
}


def apply_resume(cfg: Config, args: argparse.Namespace) -> None:
    """Let a config go on from what the command line says; every process calls it.

    Args:
        cfg: with ``work_dir``, and with all other options applied.
        args: parsed; with ``resume``, ``new_draws``, ``debug_step``, ``launcher``, ``seed`` and
            ``cfg_options`` of ``maskssl train``.

    Raises:
        ConfigError: an option that needs ``--resume`` without it.
        MaskSSLError: the command would draw otherwise than the run.
    """
    launch.start_processes(cfg, args.launcher)
    out_dir = hook_out_dir(cfg)
    decided = from_first_process(lambda: restarts.resume_from(args.resume, cfg.work_dir, out_dir))
    weights = cfg.get("load_from")
    if decided:
        cfg.resume = True
        cfg.load_from = None if decided == "auto" else checkpoint_at(decided)
    for option in ("new_draws", "debug_step"):
        if getattr(args, option) not in (None, False) and not cfg.get("resume"):
            raise ConfigError(
                f"--{option.replace('_', '-')} is about a run that goes on; give --resume too"
            )
    if args.new_draws:
        cfg.train_cfg.new_draws = True
    if args.debug_step is not None:
        launch.add_hook(cfg, type="DebugStepHook", step=args.debug_step or None)
    settle_resume(cfg, given_facts(args.seed, args.cfg_options))
    if decided == "auto" and not cfg.resume:
        cfg.load_from = weights  # a new run's, which None above has made way for


def given_facts(seed: int | None, options: Iterable[str]) -> frozenset[str]:
    """Names of the facts that a command sets itself.

    Args:
        seed: of ``--seed``.
        options: dotted keys of ``--cfg-options``; a key above a fact's, or below it, sets it too.
    """
    facts = {"seed"} if seed is not None else set()
    for option in options:
        for key, fact in SETTING.items():
            if f"{option}.".startswith(f"{key}.") or f"{key}.".startswith(f"{option}."):
                facts.add(fact)
    return frozenset(facts)
