"""Compare the logs of runs: one picture with a panel per key, one table.

python tools/compare_runs.py work_dirs/a work_dirs/b --out work_dirs/compared
python tools/compare_runs.py RUN RUN --out DIR --keys loss lr --labels "batch 256" "batch 512"

Writes DIR/compare.png, compare.md and compare.json. A run is its work dir. Resumed runs have
several logs, which are joined by iteration; the later one wins, and the notes say so.
"""

import argparse
import sys

from maskssl.errors import MaskSSLError
from maskssl.evaluation.run_logs import LogError, read_run
from maskssl.transfer.compare_runs import write_comparison


def main(args: argparse.Namespace) -> None:
    labels = args.labels or [None] * len(args.runs)
    if len(labels) != len(args.runs):
        raise LogError(f"{len(labels)} --labels for {len(args.runs)} runs; give one each")
    runs = [read_run(run, label) for run, label in zip(args.runs, labels, strict=True)]
    print(f"picture: {write_comparison(runs, args.out, args.keys)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="work dir of a run")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--keys",
        nargs="+",
        metavar="KEY",
        help="as logged; default losses, lr, momentum, grad_norm, img_per_s, spreads and metrics",
    )
    parser.add_argument("--labels", nargs="+", help="names of the runs; default their folders'")
    try:
        main(parser.parse_args())
    except MaskSSLError as error:
        sys.exit(f"{type(error).__name__}: {error}")
