"""The former name of maskssl visualize reconstruction; it goes with the next release.

maskssl reconstruct CONFIG CHECKPOINT IMAGE_OR_FOLDER [...] --out picture.png
"""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, images, picture."""
    parser.add_argument("config", help="pretraining config")
    parser.add_argument("checkpoint", help="of that pretraining, or its work dir")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("--out", default="reconstructions.png")
    parser.add_argument("--limit", type=int, default=8, help="most images on the picture")
    parser.add_argument("--seed", type=int, default=0, help="of masks and crops")


def run(args: argparse.Namespace) -> None:
    """Draw, and say where."""
    from ..cli.pretraining_pictures import draw_reconstructions

    sys.stderr.write(
        "maskssl reconstruct is maskssl visualize reconstruction CHECKPOINT IMAGES now; this name "
        "goes with the next release\n"
    )
    print(
        draw_reconstructions(
            args.config, args.checkpoint, args.images, args.out, args.limit, args.seed
        )
    )
