"""Look at the data of a config: what is there, what will be used, and what cannot be.

maskssl check-data seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py
maskssl check-data CONFIG --thorough --json report.json --show sheets/

Every training looks too, at a sample of the files; --thorough opens all of them. Exit status 1,
and one sentence that names the file or value and the remedy, if a training would be refused.
"""

import argparse

from ..cli.argument_types import output_file, output_folder
from ..cli.arguments import add_run_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of every run, so that the same options lead to the same data."""
    add_run_arguments(parser)
    parser.add_argument("--thorough", action="store_true", help="open every file, not a sample")
    parser.add_argument(
        "--json", type=output_file, metavar="FILE", help="write the report into this file too"
    )
    parser.add_argument(
        "--show",
        type=output_folder,
        metavar="DIR",
        help="draw what the model sees, behind the pipelines, and the truth",
    )


def run(args: argparse.Namespace) -> None:
    """Look and tell."""
    import json
    from pathlib import Path

    from .. import registration  # noqa: F401  as every run does
    from ..cli.command_line import configured
    from ..cli.data_check.report import as_text, report
    from ..cli.data_check.sheets import write_sheets
    from ..cli.unknown_arguments import named_in

    cfg = configured(args)
    with named_in(cfg):
        facts = report(cfg, args.thorough, args.nproc)
    print(as_text(facts))
    if args.json:
        Path(args.json).write_text(json.dumps(facts, indent=2))
    if args.show:
        for path in write_sheets(cfg, Path(args.show)):
            print(f"drawn: {path}")
