"""From the arguments of a command to its config."""

import argparse
from pathlib import Path

from mmengine.config import Config

from . import launch
from .classes import set_num_classes
from .config import load_config
from .mask_codes import map_masks


def configured(args: argparse.Namespace) -> Config:
    """The config of a command line, with its common arguments applied."""
    cfg = load_config(args.config, args.cfg_options)
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    if args.num_classes is not None:
        set_num_classes(cfg, args.num_classes)
    if args.map_masks:
        map_masks(cfg, args.map_masks)
    if args.pretrained:
        launch.set_pretrained(cfg, args.pretrained)
    if args.seed is not None:
        cfg.randomness = dict(cfg.get("randomness", {}), seed=args.seed)
    return cfg
