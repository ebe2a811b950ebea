"""Say what a checkpoint holds, tensor by tensor, and write its encoder for load_backbone.

maskssl convert-checkpoint SOURCE [NEW.safetensors] [--branch teacher]
"""

import argparse

from ..cli.argument_types import at_least, output_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Source, and what becomes of it."""
    parser.add_argument("source", help="checkpoint, folder with config.json, work dir, or URL")
    parser.add_argument("out", nargs="?", help=".safetensors file to write; without it, say only")
    parser.add_argument("--branch", choices=["student", "teacher"], help="default: its authors'")
    parser.add_argument("--num-heads", type=at_least(1), help="where nothing tells it")
    parser.add_argument("--json", type=output_file, help="file for the whole ledger")
    parser.add_argument("--unverified", action="store_true", help="take unverified sources too")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="unpickle a file of your own, which may RUN CODE, and write its tensors alone to OUT",
    )


def run(args: argparse.Namespace) -> None:
    """Load, say, write."""
    from ..inference.conversion import convert_checkpoint, rewrite_trusted

    if args.trust:
        print(rewrite_trusted(args.source, args.out))
        return
    ledger = convert_checkpoint(
        args.source, args.out, args.branch, args.num_heads, args.unverified, args.json
    )
    print(ledger)
