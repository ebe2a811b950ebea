"""Write the training images of a config at a working size, decoded, for runs of many epochs.

maskssl cache CONFIG --out data/imagenet_256 --size 256
maskssl train CONFIG --cfg-options train_dataloader.dataset.cache=data/imagenet_256

Says first what it costs and saves. Broken off, it goes on where it stood; --check reads a
finished one and compares it with its checksums.
"""

import argparse
import os
import time

from ..cli.argument_types import at_least, output_folder
from ..cli.config_options import ConfigOptions
from ..progress import ProgressLine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Images, folder and size."""
    parser.add_argument("config", help="whose train_dataloader.dataset is cached")
    parser.add_argument(
        "--out", type=output_folder, required=True, metavar="FOLDER", help="of the cache"
    )
    parser.add_argument(
        "--size", type=at_least(1), default=256, help="longest shorter side in pixels, default 256"
    )
    parser.add_argument(
        "--workers", type=at_least(1), metavar="N", help="processes; default one per core"
    )
    parser.add_argument("--check", action="store_true", help="check a finished one, write nothing")
    parser.add_argument("--estimate", action="store_true", help="say what it costs, write nothing")
    parser.add_argument(
        "--cfg-options", nargs="+", action=ConfigOptions, default={}, metavar="KEY=VALUE"
    )


def run(args: argparse.Namespace) -> None:
    """Estimate, write, say how to use it."""
    from .. import registration  # noqa: F401
    from ..cli.cache import check_cache, dataset_of, estimate, make_cache, told_beforehand

    dataset = dataset_of(args.config, args.cfg_options)
    if args.check:
        check_cache(dataset, args.out)
        print(f"{args.out} is whole: {len(dataset):,} images")
        return
    workers = args.workers or len(os.sched_getaffinity(0))
    found = estimate(dataset, args.size)
    print(told_beforehand(found, len(dataset), args.out, workers))
    if args.estimate:
        return
    start = time.monotonic()
    unreadable = make_cache(dataset, args.out, args.size, workers, ProgressLine())
    print(
        f"{len(dataset):,} images in {time.monotonic() - start:.0f} s, {unreadable} of them "
        f"unreadable; train with --cfg-options train_dataloader.dataset.cache={args.out}"
    )
