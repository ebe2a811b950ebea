"""Time whole training steps of pretraining configs on this machine, beside any other code.

python tools/benchmark.py pretrain/bootmae_vit-base-p16_16xb256-amp-coslr-800e_in1k.py
python tools/benchmark.py CONFIG --plain --against my_module:my_step --json steps.json
"""

import argparse

import torch

from maskssl import registration  # noqa: F401
from maskssl.cli.benchmark.run import machine, measure, table, write
from maskssl.cli.config_options import ConfigOptions
from maskssl.cli.ending import run_to_end
from maskssl.models.compiling import MODES


def main(args: argparse.Namespace) -> None:
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    host = machine(device, args.precision)
    rows = []
    for config in args.configs:
        for mode in [None] if args.plain else args.mode:
            row = measure(
                config,
                args.batch_size,
                device,
                args.precision,
                mode,
                args.cfg_options,
                args.against,
                args.steps,
                args.runs,
            )
            rows.append(row)
    print(table(host, rows))
    if args.json:
        write(args.json, host, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", nargs="+", help="of configs/pretrain, by name or path")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="default cuda where there is one")
    parser.add_argument(
        "--mode", nargs="+", choices=MODES, default=["default"], help="of compiling"
    )
    parser.add_argument("--plain", action="store_true", help="do not compile")
    parser.add_argument("--against", metavar="MODULE:FUNCTION", help="a step of other code")
    parser.add_argument("--steps", type=int, default=10, help="per run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", metavar="PATH", help="write the figures there too")
    parser.add_argument(
        "--cfg-options", nargs="+", action=ConfigOptions, default={}, metavar="KEY=VALUE"
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    run_to_end(main, parser.parse_args())
