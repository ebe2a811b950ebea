"""Train by a config and a command line."""

import argparse

from . import command_line, launch, resuming, trackers, unknown_arguments

LOADERS = ("train_dataloader", "val_dataloader")


def train(args: argparse.Namespace) -> None:
    """Build the runner that the arguments of ``maskssl train`` ask for, and train."""
    cfg = command_line.configured(args)
    launch.refuse_untrained(cfg)
    if args.amp:
        launch.use_amp(cfg)
    if args.auto_scale_lr:
        launch.use_auto_scale_lr(cfg)
    if args.stop_after is not None:
        launch.add_hook(cfg, type="StopAfterHook", steps=args.stop_after)
    if args.track:
        trackers.use_tracker(cfg, args.track)
    resuming.apply_resume(cfg, args)
    with unknown_arguments.named_in(cfg):
        launch.build_runner(cfg, LOADERS, args.launcher).train()
