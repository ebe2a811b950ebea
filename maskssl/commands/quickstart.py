"""From images to a report of transfer results, in minutes.

Pretrains a small ViT, and measures its weights and random ones as maskssl transfer does: frozen,
fine-tuned, in segmentation and in detection. Data: scenes that the project draws itself, or your
own images (--images DIR: any images to pretrain on; with DIR/CLASS/* or DIR/{train,val}/CLASS/*
they are classified too; with DIR/images and DIR/masks they are segmented, with a COCO file
detected).
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..cli.argument_types import at_least, output_folder
from ..methods import METHODS
from ..progress import ProgressLine

if TYPE_CHECKING:
    from ..quickstart.plan import Plan

# all that a few steps of everything read
SMOKE_SCENES = dict(num_train=160, num_val=80, num_dense_train=24, num_dense_val=12)


def add_data_arguments(parser: argparse.ArgumentParser, out: str) -> None:
    """What is pretrained, on what, and where to write."""
    parser.add_argument("--method", choices=sorted(METHODS), default="bootmae")
    parser.add_argument("--images", metavar="DIR", help="folder of your own images")
    parser.add_argument("--out", type=output_folder, default=out, help="what is written goes here")
    parser.add_argument(
        "--scenes", help="folder of the drawn scenes (data/scenes; data/scenes-smoke with --smoke)"
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Method, data, and where to write."""
    add_data_arguments(parser, out="work_dirs/quickstart")
    parser.add_argument("--seed", type=at_least(0), default=0)


def planned(args: argparse.Namespace, seed: int, line: ProgressLine) -> "Plan":
    """Look at the images, draw the scenes, and say what is to be run."""
    images = None
    if args.images:  # a slip there is told before anything is started
        from ..quickstart.images import describe_images

        images = describe_images(args.images)
    from ..transfer.job_queue import warm
    from ..transfer.lanes import SMALL_MODELS, plan_lanes

    # with the threads of each job, which the server keeps
    warm(plan_lanes(per_gpu=SMALL_MODELS))  # it imports for half a minute, and so does this process
    from ..quickstart.plan import Plan
    from ..quickstart.scenes.writer import write_scenes

    out = Path(args.out).resolve()
    usual, sizes = ("data/scenes-smoke", SMOKE_SCENES) if args.smoke else ("data/scenes", {})
    folder = args.scenes or usual
    line.say(f"scenes: {folder}")

    def drawn(done: int, of: int) -> None:
        line(done / of, done)

    scenes = write_scenes(folder, **sizes, num_workers=2, progress=drawn)
    return Plan(args.method, out, scenes, images, seed, args.smoke)


def run(args: argparse.Namespace) -> int:
    """Plan, run, report; 1 if a part failed."""
    from ..quickstart.quickstart import run_quickstart
    from ..transfer.pages import markdown

    line = ProgressLine(sys.stdout, unit="pictures")
    plan = planned(args, args.seed, line)
    report = run_quickstart(plan, line)
    print(markdown(report).split("\n## Settings")[0])
    line.say(f"report: {plan.out / 'report' / 'index.html'}")
    return 1 if report["failed"] else 0
