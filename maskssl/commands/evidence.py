"""Measure the project's tables on real images, and write them as JSON and Markdown.

maskssl evidence frozen --data-root ~/data --results docs/results
maskssl evidence trained --data-root ~/data --results docs/results --sets clothing
maskssl evidence study --data-root ~/data --results docs/results
maskssl evidence length --data-root ~/data --results docs/results
maskssl evidence yardstick --data-root ~/data --results docs/results --against my_module:train

frozen: every setting of every method, by features that stay as they are. trained: random weights,
BootMAE, ExtreMA and MAE, fine-tuned, in segmentation and in detection. study: what ExtreMA's BYOL
needs to learn something at this scale, judged on training pictures that are held out. length: both
losses of ExtreMA, as long as in the first table and four times as long. yardstick: BootMAE beside
other code, the same model and pictures for the same minutes. vit-small: frozen features of two
pretrainings of ViT-S, side by side on one GPU for minutes. The same command goes on where it was
broken off; --settings and --sets make a table in several goes. docs/evidence.md says which sets
there are, how they lie, and how the other code is called.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..cli.argument_types import output_folder

if TYPE_CHECKING:
    from ..evidence.plan import Plan


PARTS = ("frozen", "trained", "study", "length", "yardstick", "vit-small")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which table, of what, and where to write."""
    parser.add_argument("part", choices=PARTS)
    parser.add_argument(
        "--data-root", required=True, metavar="DIR", help="holds the sets' folders, see --sets"
    )
    parser.add_argument(
        "--archives", metavar="DIR", help="of NAME.tar.gz, unpacked into DATA_ROOT where missing"
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        default="work_dirs/evidence",
        help="weights, features, outcomes",
    )
    parser.add_argument(
        "--results", type=output_folder, metavar="DIR", help="takes the tables; default OUT/results"
    )
    parser.add_argument("--settings", nargs="+", metavar="NAME", help="default all of the part")
    parser.add_argument("--sets", nargs="+", metavar="NAME", help="default all of the part")
    parser.add_argument("--against", metavar="MODULE:FUNCTION", help="other code, of yardstick")
    parser.add_argument(
        "--minutes", type=float, default=28.0, help="of each of its trainings; default 28"
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything")


def run(args: argparse.Namespace) -> int:
    """Plan, run, write; 1 if a part failed."""
    from ..evidence.evidence import run_evidence
    from ..evidence.sets import YARDSTICK
    from ..evidence.tables import markdown
    from ..evidence.yardstick import run_yardstick
    from ..progress import ProgressLine

    plan, line = _plan(args), ProgressLine(sys.stdout)
    if args.part == YARDSTICK:
        print(run_yardstick(plan, args.against, args.minutes, line))
        failed: Mapping[str, str] = {}
    else:
        results, failed = run_evidence(plan, line)
        print(markdown(results))
    line.say(f"tables: {plan.results}")
    return 1 if failed else 0


def _plan(args: argparse.Namespace) -> "Plan":
    from ..errors import MaskSSLError
    from ..evidence.parts import settings_of
    from ..evidence.plan import Plan
    from ..evidence.sets import YARDSTICK, sets_of

    if not args.minutes > 0:
        raise MaskSSLError(f"--minutes {args.minutes}: give more than 0")
    if (args.part == YARDSTICK) != bool(args.against):
        raise MaskSSLError("--against MODULE:FUNCTION belongs to yardstick, and it needs one")
    known = dict(settings=tuple(settings_of(args.part)), sets=sets_of(args.part))
    wanted = dict(settings=args.settings, sets=args.sets)
    for kind, names in known.items():
        if unknown := [name for name in wanted[kind] or () if name not in names]:
            there = ", ".join(names) or "none of this part"
            raise MaskSSLError(f"--{kind} {' '.join(unknown)}: they are {there}")
        wanted[kind] = tuple(name for name in names if name in (wanted[kind] or names))
    out = Path(args.out).resolve()
    return Plan(
        part=args.part,
        out=out,
        data_root=Path(args.data_root).expanduser().resolve(),
        archives=Path(args.archives).expanduser().resolve() if args.archives else None,
        results=Path(args.results).resolve() if args.results else out / "results",
        smoke=args.smoke,
        **wanted,
    )
