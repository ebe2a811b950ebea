"""Write a backbone for another library, which loads it back for comparison.

maskssl export-backbone SOURCE OUT --to timm
"""

import argparse

from ..cli.argument_types import at_least


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, folder, library."""
    parser.add_argument("source", help="checkpoint, folder with config.json, work dir, or URL")
    parser.add_argument("out", help="folder to write into")
    parser.add_argument(
        "--to", required=True, help="mmpretrain, timm, huggingface, safetensors or onnx"
    )
    parser.add_argument("--branch", choices=["student", "teacher"], help="default: its authors'")
    parser.add_argument("--num-heads", type=at_least(1), help="where nothing tells it")
    parser.add_argument(
        "--img-size", type=at_least(1), help="side in pixels; default the pretraining's"
    )
    parser.add_argument("--unverified", action="store_true", help="take unverified sources too")


def run(args: argparse.Namespace) -> None:
    """Load, write, compare."""
    from ..inference.backbone import load_backbone
    from ..inference.exporting.export import export_backbone

    backbone = load_backbone(
        args.source,
        img_size=args.img_size,
        branch=args.branch,
        num_heads=args.num_heads,
        unverified=args.unverified,
    )
    difference = export_backbone(backbone, args.to, args.out)
    print(f"written to {args.out}; {args.to} computes the same to {difference:.2g}")
