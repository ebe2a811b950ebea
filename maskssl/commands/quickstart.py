"""From images to a table of transfer results, in minutes.

Pretrains a small ViT, runs every downstream stage from its weights and from random
initialisation, and writes a report. Data: scenes that the project draws itself, or
your own images (--images DIR: any images to pretrain on; with DIR/CLASS/* or
DIR/{train,val}/CLASS/* they are classified too).
"""

import argparse
from pathlib import Path

from ..errors import MaskSSLError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Method, data, and where to write."""
    parser.add_argument("--method", default="bootmae", help="bootmae or extrema")
    parser.add_argument("--images", metavar="DIR", help="folder of your own images")
    parser.add_argument("--out", default="work_dirs/quickstart", help="what is written goes here")
    parser.add_argument("--scenes", default="data/scenes", help="folder of the drawn scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything")


def run(args: argparse.Namespace) -> None:
    """Plan, run, report."""
    from ..transfer.images import describe_images
    from ..transfer.plan import PRETRAIN_CONFIGS, Plan, run_transfer
    from ..transfer.report import print_table
    from ..transfer.scenes.writer import write_scenes

    if args.method not in PRETRAIN_CONFIGS:
        known = ", ".join(PRETRAIN_CONFIGS)
        raise MaskSSLError(f"--method {args.method}: there is no such method; they are {known}")
    out = Path(args.out).resolve()
    images = describe_images(args.images, out / "images") if args.images else None
    _say(f"scenes: {args.scenes}")
    scenes = write_scenes(args.scenes, num_workers=2)
    plan = Plan(args.method, out, Path(scenes).resolve(), images, args.seed, args.smoke)
    print_table(run_transfer(plan, _say))
    _say(f"report: {out / 'report' / 'index.html'}")


def _say(line: str) -> None:
    print(line, flush=True)
