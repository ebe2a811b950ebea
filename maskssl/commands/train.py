"""Train any stage by its config: pretraining, probe, fine-tuning, segmentation, detection.

maskssl train pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-20e_scenes.py
maskssl train det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-2e_scenes.py --pretrained CHECKPOINT
maskssl train CONFIG --nproc 8 --resume
"""

import argparse

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
        help="go on from PATH, or from the latest checkpoint in the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="bf16 mixed precision")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the lr with the actual batch size"
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
