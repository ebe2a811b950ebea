"""Write the drawn data set that small configs train on, or a sheet to look at it.

maskssl scenes
maskssl scenes data/scenes-small --num-train 400 --num-val 80
maskssl scenes --sheet scenes.png
"""

import argparse
from pathlib import Path

from ..cli.argument_types import at_least, output_file
from ..progress import ProgressLine

SHEET_SCENES = 24


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Folder, numbers and sizes."""
    parser.add_argument("root", nargs="?", default="data/scenes", help="folder (data/scenes)")
    parser.add_argument("--seed", type=at_least(0), default=0)
    parser.add_argument(
        "--num-train", type=at_least(1), default=4000, help="objects to classify (4000)"
    )
    parser.add_argument(
        "--num-val", type=at_least(1), default=800, help="the same, validation (800)"
    )
    parser.add_argument(
        "--num-labelled", type=at_least(1), default=80, help="of them with labels (80)"
    )
    parser.add_argument(
        "--num-dense-train", type=at_least(1), default=400, help="dense scenes (400)"
    )
    parser.add_argument("--num-dense-val", type=at_least(1), default=150, help="validation (150)")
    parser.add_argument(
        "--num-boxed", type=at_least(1), default=20, help="dense scenes with boxes (20)"
    )
    parser.add_argument("--image-size", type=at_least(1), default=48, help="side in pixels (48)")
    parser.add_argument("--dense-size", type=at_least(1), default=64, help="side in pixels (64)")
    parser.add_argument("--num-workers", type=at_least(0), default=0, help="processes; 0: this one")
    parser.add_argument(
        "--sheet", type=output_file, help="only draw the first scenes with their truth into a file"
    )


def run(args: argparse.Namespace) -> None:
    """Write the scenes, or the sheet."""
    from ..quickstart.scenes.writer import write_scenes

    if args.sheet:
        _save_sheet(args)
        return
    given = vars(args)
    options = {name: given[name] for name in ("seed", "image_size", "dense_size", "num_workers")}
    options |= {name: number for name, number in given.items() if name.startswith("num_")}
    line = ProgressLine(unit="pictures")
    print(write_scenes(args.root, progress=lambda n, all_: line(n / all_, n), **options))


def _save_sheet(args: argparse.Namespace) -> None:
    from ..quickstart.scenes.scene import dense_scene, object_scene
    from ..quickstart.scenes.writer import contact_sheet

    numbers = range(SHEET_SCENES)
    objects = [object_scene(args.seed, "train", number, args.image_size) for number in numbers]
    dense = [dense_scene(args.seed, "train", number, args.dense_size) for number in numbers]
    path = Path(args.sheet)
    for kind, scenes in (("objects", objects), ("dense", dense)):
        target = path.with_name(f"{path.stem}-{kind}{path.suffix or '.png'}")
        contact_sheet(scenes).save(target)
        print(target)
