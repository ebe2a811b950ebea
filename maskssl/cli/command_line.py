"""From the arguments of a command to its config."""

import argparse
from pathlib import Path

from mmengine.config import Config

from . import launch
from .boxes_only import use_boxes_only
from .classes import set_num_classes
from .config import ConfigError, load_config, merge_options
from .data_channels import use_channels
from .data_classes import classes_of_data
from .data_layouts import use_layout
from .mask_codes import map_masks


def configured(args: argparse.Namespace) -> Config:
    """The config of a command line, with its common arguments applied."""
    cfg = load_config(args.config)
    if args.data:
        use_layout(cfg, args.data)
    if args.channels is not None:
        use_channels(cfg, args.channels, args.value_range)
    elif args.value_range:
        raise ConfigError("--value-range goes with --channels N; 3 for pictures of colours")
    merge_options(cfg, args.cfg_options)  # they may say otherwise
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    if Path(cfg.work_dir).is_file():
        raise ConfigError(f"the work dir {cfg.work_dir} is a file; give a folder by --work-dir")
    if args.boxes_only:
        use_boxes_only(cfg)
    if args.map_masks:
        map_masks(cfg, args.map_masks)
    if args.classes:
        set_num_classes(cfg, *classes_of_data(cfg))
    elif args.num_classes is not None:
        set_num_classes(cfg, args.num_classes)
    if args.pretrained:
        launch.set_pretrained(cfg, args.pretrained)
    if args.seed is not None:
        cfg.randomness = dict(cfg.get("randomness", {}), seed=args.seed)
    return cfg
