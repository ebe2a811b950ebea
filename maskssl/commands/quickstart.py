"""From images to a table of transfer results, in minutes.

Pretrains a small ViT, runs every downstream stage from its weights and from random
initialisation, and writes a report. Data: scenes that the project draws itself, or
your own images (--images DIR: any images to pretrain on; with DIR/CLASS/* or
DIR/{train,val}/CLASS/* they are classified too).
"""

import argparse
import sys
from pathlib import Path

from ..methods import METHODS
from ..progress import ProgressLine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Method, data, and where to write."""
    parser.add_argument("--method", choices=sorted(METHODS), default="bootmae")
    parser.add_argument("--images", metavar="DIR", help="folder of your own images")
    parser.add_argument("--out", default="work_dirs/quickstart", help="what is written goes here")
    parser.add_argument("--scenes", default="data/scenes", help="folder of the drawn scenes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything")


def run(args: argparse.Namespace) -> None:
    """Plan, run, report."""
    from ..transfer.images import describe_images
    from ..transfer.plan import Plan
    from ..transfer.quickstart import run_transfer
    from ..transfer.report import print_table
    from ..transfer.scenes.writer import write_scenes

    out, line = Path(args.out).resolve(), ProgressLine(sys.stdout, unit="pictures")
    images = describe_images(args.images, out / "images") if args.images else None
    line.say(f"scenes: {args.scenes}")
    scenes = write_scenes(args.scenes, num_workers=2, progress=lambda n, all_: line(n / all_, n))
    plan = Plan(args.method, out, scenes, images, args.seed, args.smoke)
    print_table(run_transfer(plan, line))
    line.say(f"report: {out / 'report' / 'index.html'}")
