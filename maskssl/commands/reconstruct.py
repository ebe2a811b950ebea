"""Draw original, masked input and reconstruction of images with a pretrained model.

maskssl reconstruct CONFIG CHECKPOINT IMAGE_OR_FOLDER [...] --out picture.png
"""

import argparse


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
    from ..cli.reconstruct import draw_reconstructions

    print(
        draw_reconstructions(
            args.config, args.checkpoint, args.images, args.out, args.limit, args.seed
        )
    )
