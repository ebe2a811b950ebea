"""Index a list of images ahead of a run, so that it starts in milliseconds.

maskssl index data/in22k/train.txt           # lines of: path label
maskssl index data/in22k/train               # a folder, classes by folder
maskssl index 'data/in22k/train-*.tar'       # tar shards
"""

import argparse
import os
import time

from ..cli.argument_types import output_file
from ..progress import ProgressLine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source and index file."""
    parser.add_argument("source", help="list file, folder, or pattern of tar shards")
    parser.add_argument(
        "--out", type=output_file, help="index file (beside the source, or the cache folder)"
    )
    parser.add_argument("--rebuild", action="store_true", help="even if a ready index fits")
    parser.add_argument("--endings", nargs="+", help="of images; default the usual ones")


def run(args: argparse.Namespace) -> None:
    """Index, and say what was found."""
    from ..datasets.folders import ENDINGS
    from ..datasets.index.sources import source_at
    from ..datasets.index.store import open_index

    start = time.monotonic()
    source = source_at(args.source, tuple(end.lower() for end in args.endings or ENDINGS))
    index = open_index(source, args.out, ProgressLine(), args.rebuild)
    header = index.header
    labels = "no labels" if header["max_label"] < 0 else f"labels 0 to {header['max_label']}"
    if header["unlabelled"] and header["max_label"] >= 0:
        labels += f", {header['unlabelled']:,} images without"
    print(
        f"{index.path}: {len(index):,} images, {time.monotonic() - start:.1f} s, "
        f"{os.path.getsize(index.path):,} bytes; {labels}"
    )
