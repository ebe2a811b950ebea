"""Convert data into what every stage reads: COCO files, a list, or folders of classes.

maskssl convert yolo DIR                    # data.yaml -> DIR/instances_{train,val}.json
maskssl convert voc DIR                     # XML boxes -> DIR/instances_{train,val}.json
maskssl convert imagenet DIR                # flat val and devkit -> DIR/val.txt
maskssl convert huggingface SOURCE --out DIR  # parquet or imagefolder -> DIR/SPLIT/CLASS/*

Images stay where they are, save Hugging Face's. Then train with --data coco:DIR, imagenet:DIR or
folders:DIR.
"""

import argparse

from ..cli.argument_types import output_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Format and folder."""
    parser.add_argument("format", choices=["yolo", "voc", "imagenet", "huggingface"])
    parser.add_argument("source", help="folder, or the name of a data set of Hugging Face")
    parser.add_argument(
        "--out", type=output_folder, metavar="DIR", help="folder to write, of huggingface alone"
    )


def run(args: argparse.Namespace) -> None:
    """Convert, and say what was written."""
    from pathlib import Path

    from ..datasets.convert.hugging_face import convert_hugging_face
    from ..datasets.convert.imagenet_val import convert_imagenet
    from ..datasets.convert.voc import convert_voc
    from ..datasets.convert.yolo import convert_yolo
    from ..errors import MaskSSLError

    if (args.out is not None) != (args.format == "huggingface"):
        raise MaskSSLError("--out DIR names the folder that huggingface writes, and goes with it")
    if args.format == "huggingface":
        written = convert_hugging_face(args.source, Path(args.out))
    else:
        converters = dict(yolo=convert_yolo, voc=convert_voc, imagenet=convert_imagenet)
        written = converters[args.format](Path(args.source))
    what = "objects" if args.format in ("yolo", "voc") else "classes"
    for path, (images, others) in written.items():
        print(f"{path}: {images:,} images, {others:,} {what}")
