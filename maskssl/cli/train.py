"""Train by a config and a command line."""

import argparse

from . import command_line, launch, restarts, trackers

LOADERS = ("train_dataloader", "val_dataloader")


def train(args: argparse.Namespace) -> None:
    """Build the runner that the arguments of ``maskssl train`` ask for, and train."""
    cfg = command_line.configured(args)
    if args.amp:
        launch.use_amp(cfg)
    if args.auto_scale_lr:
        launch.use_auto_scale_lr(cfg)
    if resume := restarts.resume_from(args.resume, cfg.work_dir):
        cfg.resume = True
        cfg.load_from = None if resume == "auto" else launch.checkpoint_at(resume)
    if args.track:
        trackers.use_tracker(cfg, args.track)
    launch.build_runner(cfg, LOADERS, args.launcher).train()
