"""Draw original, masked input and reconstruction of images with a pretrained model.

python tools/reconstruct.py CONFIG CHECKPOINT IMAGE_OR_FOLDER [...] --out picture.png
"""

import argparse
import sys

from maskssl.cli.reconstruct import draw_reconstructions
from maskssl.errors import MaskSSLError

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="pretraining config")
    parser.add_argument("checkpoint", help="of that pretraining, or its work dir")
    parser.add_argument("images", nargs="+", help="image files, or folders of them")
    parser.add_argument("--out", default="reconstructions.png")
    parser.add_argument("--limit", type=int, default=8, help="most images on the picture")
    parser.add_argument("--seed", type=int, default=0, help="of masks and crops")
    try:
        print(draw_reconstructions(**vars(parser.parse_args())))
    except MaskSSLError as error:
        sys.exit(f"{type(error).__name__}: {error}")
