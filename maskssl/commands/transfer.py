"""Measure what pretrained encoders are worth on your images, frozen, and write a report.

maskssl transfer work_dirs/pretrain --data flowers
maskssl transfer ours=a.pth theirs=b.pth --data flowers --preset standard --published

DIR holds train/CLASS/* and test/CLASS/* (or val/CLASS/*). Settings are chosen on a part of the
training images; the test images are scored once. The same command goes on where it was broken off.
"""

import argparse
import sys
from pathlib import Path

STAGES = ("knn", "linear", "logistic", "attentive", "lowshot-1", "lowshot-5", "lowshot-10")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Checkpoints, data, what is measured, and where to write."""
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CKPT",
        help="file or work dir, also as NAME=PATH; random:PATH is its architecture alone",
    )
    parser.add_argument("--data", required=True, metavar="DIR", help="labelled images")
    parser.add_argument("--out", default="work_dirs/transfer", help="results and report")
    parser.add_argument("--cache", help="folder of the features; default OUT/features")
    parser.add_argument(
        "--stages",
        nargs="+",
        default=STAGES,
        metavar="STAGE",
        help=f"of {', '.join(STAGES)}, lowshot-1%%, lowshot-10%%; default the first seven",
    )
    parser.add_argument("--preset", choices=["quick", "standard"], default="quick")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="default 0 1 2")
    parser.add_argument("--blocks", nargs="+", type=int, help="counted from 1; default all")
    parser.add_argument("--img-size", type=int, help="side in pixels; default the pretraining's")
    parser.add_argument(
        "--published",
        action="store_true",
        help="also pick settings on the test images, as papers do, and say what that was worth",
    )
    parser.add_argument(
        "--against",
        metavar="REPORT",
        help="report.json of an earlier OUT: what has changed",
    )
    parser.add_argument("--no-floor", action="store_true", help="leave random weights out")
    parser.add_argument("--batch-size", type=int, default=64, help="images at a time (64)")
    parser.add_argument("--num-workers", type=int, default=0, help="processes that decode images")
    parser.add_argument("--device", help="default the GPU, if there is one")


def run(args: argparse.Namespace) -> int:
    """Measure and report; 1 if a part failed."""
    import torch

    from ..errors import MaskSSLError
    from ..frozen.against import compare_reports, read_report
    from ..frozen.experiment import Plan, run_experiment
    from ..frozen.feature_store import POOLED, Extraction
    from ..frozen.galleries import draw_galleries
    from ..frozen.measures import MEASURES
    from ..frozen.pages import markdown, write_pages
    from ..frozen.per_class import add_class_figures
    from ..frozen.summary import summarise
    from ..progress import ProgressLine

    if unknown := [name for name in args.stages if name not in MEASURES]:
        raise MaskSSLError(f"--stages {' '.join(unknown)}: they are {', '.join(MEASURES)}")
    earlier = Path(args.against).resolve() if args.against else None
    if earlier:
        read_report(earlier)  # a slip is told before anything is computed
    out, line = Path(args.out).resolve(), ProgressLine(sys.stdout)
    plan = Plan(
        tuple(args.checkpoints),
        Path(args.data).resolve(),
        out,
        Path(args.cache).resolve() if args.cache else out / "features",
        tuple(dict.fromkeys(args.stages)),
        tuple(dict.fromkeys(args.seeds)),
        args.preset,
        not args.no_floor,
        args.published,
        tuple(args.blocks) if args.blocks else None,
        args.img_size,
        args.batch_size,
        args.num_workers,
        torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu")),
    )
    results = run_experiment(plan, line)
    report = summarise(plan, results)
    if results.outcomes:  # the test images have been read
        how = Extraction(plan.cache, (POOLED,), plan.batch_size, plan.num_workers, plan.device)
        sets = results.train, results.test
        add_class_figures(report, results.outcomes, results.test)
        draw_galleries(report, results.encoders, sets, how, out / "report", line)
    if earlier:
        report["against"] = compare_reports(report, out, earlier)
    page = write_pages(report, out / "report")
    print(markdown(report).split("\n## Settings")[0])
    line.say(f"report: {page}")
    return 1 if results.failed else 0
