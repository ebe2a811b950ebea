"""Train any stage by its config: pretraining, probe, fine-tuning, segmentation, detection.

maskssl train pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py
maskssl train CONFIG --pretrained CHECKPOINT
maskssl train CONFIG --nproc 8 --resume
maskssl train CONFIG --stop-after 50
"""

import argparse

from ..cli.argument_types import at_least
from ..cli.arguments import TRACKERS, add_run_arguments
from ..cli.processes import start_processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of every run, and the training's own."""
    add_run_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="PATH",
        help="go on from PATH, or from the newest whole checkpoint in the work dir",
    )
    parser.add_argument(
        "--new-draws",
        action="store_true",
        help="let the resumed run draw otherwise: by another seed, batch size, number of "
        "processes or data",
    )
    parser.add_argument(
        "--stop-after",
        type=at_least(1),
        metavar="STEPS",
        help="save and leave after so many steps of the run as its config has it: to try it, or to "
        "make it in several goes by --resume",
    )
    parser.add_argument(
        "--debug-step",
        nargs="?",
        type=at_least(1),
        const=0,
        metavar="N",
        help="with --resume: run step N (of a checkpoint in WORK_DIR/non_finite/ the first that "
        "was skipped) again, say where it is not finite, and end",
    )
    parser.add_argument("--amp", action="store_true", help="bf16 mixed precision")
    parser.add_argument(
        "--auto-scale-lr",
        action="store_true",
        help="scale the lr with the images of an optimizer step",
    )
    parser.add_argument(
        "--track", choices=TRACKERS, help="log to this tracker too; its package is needed"
    )


def run(args: argparse.Namespace) -> None:
    """Train, here or on several processes."""
    if args.nproc is not None:
        start_processes("train", args.arguments, args.nproc)
    from ..cli.train import train

    train(args)
