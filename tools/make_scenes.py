"""Write the drawn data set that small configs train on, or a sheet to look at it.

Examples:
    python tools/make_scenes.py
    python tools/make_scenes.py data/scenes-small --num-train 400 --num-val 80
    python tools/make_scenes.py --sheet scenes.png
"""

import argparse
import sys
from pathlib import Path

from maskssl.errors import MaskSSLError
from maskssl.progress import ProgressLine
from maskssl.transfer.scenes.scene import dense_scene, object_scene
from maskssl.transfer.scenes.writer import contact_sheet, write_scenes

SHEET_SCENES = 24


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", nargs="?", default="data/scenes", help="folder (data/scenes)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-train", type=int, default=4000, help="objects to classify (4000)")
    parser.add_argument("--num-val", type=int, default=800, help="the same, validation (800)")
    parser.add_argument("--num-dense-train", type=int, default=800, help="dense scenes (800)")
    parser.add_argument("--num-dense-val", type=int, default=150, help="validation (150)")
    parser.add_argument("--image-size", type=int, default=96, help="side in pixels (96)")
    parser.add_argument("--dense-size", type=int, default=128, help="side in pixels (128)")
    parser.add_argument("--num-workers", type=int, default=0, help="processes; 0: this one")
    parser.add_argument("--sheet", help="only draw the first scenes with their truth into a file")
    return parser.parse_args()


def save_sheet(args: argparse.Namespace) -> None:
    numbers = range(SHEET_SCENES)
    objects = [object_scene(args.seed, "train", number, args.image_size) for number in numbers]
    dense = [dense_scene(args.seed, "train", number, args.dense_size) for number in numbers]
    path = Path(args.sheet)
    for kind, scenes in (("objects", objects), ("dense", dense)):
        target = path.with_name(f"{path.stem}-{kind}{path.suffix or '.png'}")
        contact_sheet(scenes).save(target)
        print(target)


def main() -> int:
    args = parse_args()
    try:
        if args.sheet:
            save_sheet(args)
            return 0
        options = {
            name: value for name, value in vars(args).items() if name not in ("root", "sheet")
        }
        line = ProgressLine(unit="pictures")
        print(write_scenes(args.root, progress=lambda n, all_: line(n / all_, n), **options))
    except MaskSSLError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
