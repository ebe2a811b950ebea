"""Compare the logs of runs: one picture with a panel per key, one table.

maskssl compare work_dirs/a work_dirs/b --out work_dirs/compared
maskssl compare RUN RUN --out DIR --keys loss lr --labels "batch 256" "batch 512"

Writes DIR/compare.png, compare.md and compare.json. A run is its work dir. Resumed runs have
several logs, which are joined by iteration; the later one wins, and the notes say so.
"""

import argparse

from ..cli.argument_types import output_folder
from ..errors import MaskSSLError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Runs, keys, names."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="work dir of a run")
    parser.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder to write into"
    )
    parser.add_argument(
        "--keys",
        nargs="+",
        metavar="KEY",
        help="as logged; default losses, lr, momentum, grad_norm, img_per_s, spreads and metrics",
    )
    parser.add_argument("--labels", nargs="+", help="names of the runs; default their folders'")


def run(args: argparse.Namespace) -> None:
    """Read, draw, and say where."""
    from ..evaluation.run_logs import read_run
    from ..transfer.compare_runs import write_comparison

    labels = args.labels or [None] * len(args.runs)
    if len(labels) != len(args.runs):
        raise MaskSSLError(f"{len(labels)} --labels for {len(args.runs)} runs; give one each")
    runs = [read_run(run, label) for run, label in zip(args.runs, labels, strict=True)]
    print(f"picture: {write_comparison(runs, args.out, args.keys)}")
