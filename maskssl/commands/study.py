"""The quickstart over several seeds, with random weights trained in every way that may serve them.

Each seed is a quickstart of its own, in OUT/seed-N. On the first, random weights are trained at
three learning rates, each with and without layer decay and with a frozen backbone; the three best
settings are repeated on the other seeds, and the best of them stands against the pretrained
weights. Takes an hour or two on a CPU; the same call goes on where an interrupted one stopped.
Writes OUT/study.md and OUT/study.json.
"""

import argparse
import sys

from ..cli.argument_types import at_least
from ..progress import ProgressLine
from .quickstart import add_data_arguments, planned


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Method, data, seeds, and where to write."""
    add_data_arguments(parser, out="work_dirs/study")
    parser.add_argument("--seeds", type=at_least(0), nargs="+", default=[0, 1, 2], metavar="N")


def run(args: argparse.Namespace) -> None:
    """Run every seed, then the table."""
    from ..quickstart.study import print_study, run_study

    line = ProgressLine(sys.stdout, unit="pictures")
    plan = planned(args, args.seeds[0], line)
    print_study(run_study(plan, args.seeds, line))
    line.say(f"tables: {plan.out / 'study.md'}")
