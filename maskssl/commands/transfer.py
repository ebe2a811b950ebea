"""Measure what pretrained encoders are worth on your images, and write a report.

maskssl transfer work_dirs/pretrain --data flowers
maskssl transfer ours=a.pth theirs=b.pth --data flowers --preset standard --published

--data holds train/CLASS/* and test/CLASS/* (or val/CLASS/*), --masks images and label maps, --coco
COCO files. Settings are chosen on a part of the training images; the test images are scored once.
The same command goes on where it was broken off.
"""

import argparse
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..cli.argument_types import at_least, output_folder
from ..cli.processes import start_processes
from ..methods import METHODS

ON_CLASSES = ("knn", "linear", "logistic", "attentive", "lowshot-1", "lowshot-5", "lowshot-10")
ON_MAPS = ("patch-knn", "patch-linear")
TRAINED = ("finetune", "finetune-frozen", "segmentation", "segmentation-frozen", "detection")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Checkpoints, data, what is measured, and where to write."""
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CKPT",
        help="file or work dir, also as NAME=PATH; random:PATH is its architecture alone",
    )
    parser.add_argument("--data", metavar="DIR", help="images in folders of classes")
    parser.add_argument(
        "--masks",
        metavar="[LAYOUT:]DIR",
        help="images and label maps: images/{train,val} and masks/{train,val}, or voc:, "
        "cityscapes:, ade20k:DIR",
    )
    parser.add_argument("--coco", metavar="DIR", help="COCO files of train and val, and pictures")
    parser.add_argument(
        "--recipe",
        choices=sorted(METHODS),
        default="bootmae",
        help="whose recipes train, the same for all checkpoints (bootmae)",
    )
    parser.add_argument(
        "--out", type=output_folder, default="work_dirs/transfer", help="results and report"
    )
    parser.add_argument(
        "--cache", type=output_folder, help="folder of the features; default OUT/features"
    )
    parser.add_argument(
        "--stages",
        nargs="+",
        metavar="STAGE",
        help=f"of {', '.join((*ON_CLASSES, *ON_MAPS))}, as far as there is data the default; "
        f"lowshot-1%%, lowshot-10%%; and by the recipes {', '.join(TRAINED)}, detection-frozen",
    )
    parser.add_argument(
        "--preset",
        choices=["smoke", "quick", "quickstart", "evidence", "standard", "paper"],
        default="quick",
        help="how much is tried, and how long is trained (quick)",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=at_least(0), default=[0, 1, 2], help="default 0 1 2"
    )
    parser.add_argument("--blocks", nargs="+", type=at_least(1), help="counted from 1; default all")
    parser.add_argument(
        "--img-size", type=at_least(1), help="side in pixels; default the pretraining's"
    )
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
    parser.add_argument("--batch-size", type=at_least(1), default=64, help="images at a time (64)")
    parser.add_argument(
        "--num-workers", type=at_least(0), default=0, help="processes that decode images"
    )
    parser.add_argument("--device", help="default the GPU, if there is one")
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be done, its disk and time, and stop"
    )
    parser.add_argument(
        "--jobs-per-gpu",
        type=at_least(1),
        default=1,
        metavar="N",
        help="trainings that share a GPU (1); small models leave one idle",
    )
    parser.add_argument(
        "--nproc",
        type=at_least(1),
        metavar="N",
        help="processes on this node that share features and fits, one per GPU or on the CPU",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch"], default="none")


def run(args: argparse.Namespace) -> int:
    """Measure and report; 1 if a part failed."""
    if args.nproc is not None:
        start_processes("transfer", args.arguments, args.nproc)
    import torch

    from ..errors import MaskSSLError
    from ..progress import ProgressLine
    from ..transfer.against import read_report
    from ..transfer.experiment import run_experiment
    from ..transfer.pages import markdown
    from ..transfer.plan import Plan
    from ..transfer.processes import (
        alone,
        join_processes,
        rank_and_world,
        usable_device,
        wait_for_all,
    )
    from ..transfer.reporting import write_report
    from ..transfer.stages import STAGES

    device = join_processes(args.device) if args.launcher != "none" else args.device
    if not (args.data or args.masks or args.coco):
        raise MaskSSLError(
            "give images: --data DIR with classes, --masks DIR with label maps, --coco DIR"
        )
    out, rank = Path(args.out).resolve(), rank_and_world()[0]
    line = ProgressLine(io.StringIO() if rank else sys.stdout)
    usual = ON_CLASSES * bool(args.data) + ON_MAPS * bool(args.masks)
    usual += ("detection",) * (not usual)
    stages = tuple(dict.fromkeys(args.stages or usual))
    if unknown := [name for name in stages if name not in STAGES]:
        raise MaskSSLError(f"--stages {' '.join(unknown)}: they are {', '.join(STAGES)}")
    for unread in _unread(args, stages):
        line.say(unread)
    earlier = Path(args.against).resolve() if args.against else None
    if earlier:
        read_report(earlier)  # a slip is told before anything is computed
    plan = Plan(
        checkpoints=tuple(args.checkpoints),
        data=Path(args.data).resolve() if args.data else None,
        out=out,
        cache=Path(args.cache).resolve() if args.cache else out / "features",
        stages=stages,
        seeds=tuple(dict.fromkeys(args.seeds)),
        masks=args.masks,
        coco=args.coco,
        recipe=args.recipe,
        preset=args.preset,
        floor=not args.no_floor,
        published=args.published,
        blocks=tuple(args.blocks) if args.blocks else None,
        img_size=args.img_size,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        device=usable_device(device or ("cuda" if torch.cuda.is_available() else "cpu")),
        jobs_per_gpu=args.jobs_per_gpu,
        only_preflight=args.dry_run,
    )
    results = run_experiment(plan, line)
    if not (rank or args.dry_run):
        with alone():
            report = write_report(plan, results, line, earlier=earlier)
        print(markdown(report).split("\n## Settings")[0])
        line.say(f"report: {out / 'report' / 'index.html'}")
    wait_for_all()  # a launcher ends all when one has ended with failures
    return 1 if results.failed else 0


def _unread(args: argparse.Namespace, stages: Sequence[str]) -> Iterator[str]:
    """Images that are given to a call none of whose stages reads them."""
    from ..transfer.stages import STAGES

    read = {STAGES[name].labels for name in stages}
    for labels, folder in (("classes", "data"), ("maps", "masks"), ("boxes", "coco")):
        given = getattr(args, folder)
        if given and labels not in read:
            able = ", ".join(name for name, stage in STAGES.items() if stage.labels == labels)
            yield f"--{folder} {given} is not read: add one of {able} to --stages"
