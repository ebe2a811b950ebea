"""From images to a table of transfer results, in minutes.

Pretrains a small ViT, runs every downstream stage from its weights and from random
initialisation, and writes a report. Data: scenes that the project draws itself, or
your own images (--images DIR: any images to pretrain on; with DIR/CLASS/* or
DIR/{train,val}/CLASS/* they are classified too; with DIR/images and DIR/masks they are
segmented, with a COCO file detected).
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..methods import METHODS
from ..progress import ProgressLine

if TYPE_CHECKING:
    from ..transfer.plan import Plan


def add_data_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """What is pretrained, on what, and where to write."""
    parser.add_argument("--method", choices=sorted(METHODS), default="bootmae")
    parser.add_argument("--images", metavar="DIR", help="folder of your own images")
    parser.add_argument("--out", default=out, help="what is written goes here")
    parser.add_argument("--scenes", default="data/scenes", help="folder of the drawn scenes")
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Method, data, and where to write."""
    add_data_arguments(parser, out="work_dirs/quickstart")
    parser.add_argument("--seed", type=int, default=0)


def planned(args: argparse.Namespace, seed: int, line: ProgressLine) -> "Plan":
    """Look at the images, draw the scenes, and say what is to be run."""
    from ..transfer.images import describe_images
    from ..transfer.plan import Plan
    from ..transfer.scenes.writer import write_scenes

    out = Path(args.out).resolve()
    images = describe_images(args.images, out / "images") if args.images else None
    line.say(f"scenes: {args.scenes}")
    scenes = write_scenes(args.scenes, num_workers=2, progress=lambda n, all_: line(n / all_, n))
    return Plan(args.method, out, scenes, images, seed, args.smoke)


def run(args: argparse.Namespace) -> None:
    """Plan, run, report."""
    from ..transfer.quickstart import run_transfer
    from ..transfer.report import print_table

    line = ProgressLine(sys.stdout, unit="pictures")
    plan = planned(args, args.seed, line)
    print_table(run_transfer(plan, line))
    line.say(f"report: {plan.out / 'report' / 'index.html'}")
