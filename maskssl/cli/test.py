"""Test by a config and a command line."""

import argparse
import json
from pathlib import Path

from . import command_line, launch, unknown_arguments


def test(args: argparse.Namespace) -> None:
    """Score what the arguments of ``maskssl test`` name, and write its metrics."""
    cfg = command_line.configured(args)
    launch.set_tested(cfg, args.checkpoint)
    if args.show_dir:
        launch.set_show_dir(cfg, args.show_dir)
    with unknown_arguments.named_in(cfg):
        metrics = launch.build_runner(cfg, ["test_dataloader"], args.launcher).test()
    out = Path(args.out or Path(cfg.work_dir, "metrics.json"))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({key: float(value) for key, value in metrics.items()}, indent=2))
