"""Test a trained model, or a pretrained backbone by kNN.

maskssl test CONFIG work_dirs/RUN --show-dir shown
maskssl test finetune/bootmae_vit-mini-p8_knn_1xb128_scenes.py --pretrained CHECKPOINT
"""

import argparse

from ..cli.argument_types import output_file, output_folder
from ..cli.arguments import add_run_arguments
from ..cli.processes import start_processes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of every run, and the test's own."""
    add_run_arguments(parser)
    parser.add_argument(
        "checkpoint", nargs="?", help="of the whole model, or its work dir; not needed for kNN"
    )
    parser.add_argument("--show-dir", type=output_folder, help="save pictures of predictions here")
    parser.add_argument(
        "--out", type=output_file, help="JSON file of the metrics; default WORK_DIR/metrics.json"
    )


def run(args: argparse.Namespace) -> None:
    """Test, here or on several processes."""
    if args.nproc is not None:
        start_processes("test", args.arguments, args.nproc)
    from ..cli.test import test

    test(args)
