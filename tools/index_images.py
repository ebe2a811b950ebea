"""Index a list of images ahead of a run, so that it starts in milliseconds.

Examples:
    python tools/index_images.py data/in22k/train.txt           # lines of: path label
    python tools/index_images.py data/in22k/train               # a folder, classes by folder
    python tools/index_images.py 'data/in22k/train-*.tar'       # tar shards
"""

import argparse
import os
import sys
import time

from maskssl.datasets.folders import ENDINGS
from maskssl.datasets.index.sources import source_at
from maskssl.datasets.index.store import open_index
from maskssl.errors import MaskSSLError
from maskssl.progress import ProgressLine


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="list file, folder, or pattern of tar shards")
    parser.add_argument("--out", help="index file (beside the source, or the cache folder)")
    parser.add_argument("--rebuild", action="store_true", help="even if a ready index fits")
    parser.add_argument(
        "--endings", nargs="+", default=ENDINGS, help=f"of images ({' '.join(ENDINGS)})"
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    source = source_at(args.source, tuple(ending.lower() for ending in args.endings))
    index = open_index(source, args.out, ProgressLine(), args.rebuild)
    header = index.header
    labels = "no labels" if header["max_label"] < 0 else f"labels 0 to {header['max_label']}"
    if header["unlabelled"] and header["max_label"] >= 0:
        labels += f", {header['unlabelled']:,} images without"
    print(
        f"{index.path}: {len(index):,} images, {time.monotonic() - start:.1f} s, "
        f"{os.path.getsize(index.path):,} bytes; {labels}"
    )


if __name__ == "__main__":
    try:
        main()
    except MaskSSLError as error:
        sys.exit(f"{type(error).__name__}: {error}")
