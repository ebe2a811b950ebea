"""Time training steps, the loading of images and kNN on this machine, beside other code.

maskssl benchmark pretrain/bootmae_vit-base-p16_16xb256-amp-coslr-800e_in1k.py
maskssl benchmark CONFIG --plain --against my_module:my_step --json steps.json
maskssl benchmark CONFIG --vary batch_size=64,128 model.num_masks=1,2,5 ranks=1,2 --picture a.png
maskssl benchmark --images FOLDER --neighbours 10000 50000 768

Tells images per second with their spread over the runs, the share of the measured peak of matrix
products, memory, the time of compiling, the time by part, and what each block keeps for the
backward. MODULE:FUNCTION is called with batch_size and device and returns a step without
arguments, which is timed in turn with ours. ranks are processes of this machine that average
their gradients (DDP): one for each GPU over NCCL, or over gloo on a CPU, whose threads they share
equally.

--images loads crops as the authors' transform does, ours from the files and from a cache, has the
device decode a batch of them, and tells how far the pixels differ. --neighbours searches so many
queries, in a bank of so many features of such a width, beside a brute force in NumPy.
"""

import argparse
from typing import Any

from ..cli.argument_types import at_least, output_file, output_picture
from ..cli.config_options import ConfigOptions
from ..errors import MaskSSLError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is timed, how, and how long."""
    parser.add_argument("configs", nargs="*", help="of any stage, by name or path")
    parser.add_argument("--images", metavar="FOLDER", help="time loading these")
    parser.add_argument(
        "--neighbours",
        nargs=3,
        type=at_least(1),
        metavar=("QUERIES", "BANK", "WIDTH"),
        help="time kNN",
    )
    parser.add_argument("--batch-size", type=at_least(1), default=256, help="default 256")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--device", choices=["cuda", "cpu"], help="default cuda if there is one")
    parser.add_argument(
        "--mode",
        nargs="+",
        default=["default"],
        help="of compiling: default, reduce-overhead (CUDA graphs), max-autotune…",
    )
    parser.add_argument("--plain", action="store_true", help="do not compile")
    parser.add_argument("--against", metavar="MODULE:FUNCTION", help="a step of other code")
    parser.add_argument("--steps", type=at_least(1), default=10, help="per run")
    parser.add_argument("--runs", type=at_least(1), default=3, help="of which the median is told")
    parser.add_argument(
        "--json", type=output_file, metavar="PATH", help="write the figures there too"
    )
    parser.add_argument(
        "--vary",
        nargs="+",
        action=ConfigOptions,
        default={},
        metavar="KEY=V1,V2",
        help="batch_size, ranks or a config's key: draw how the first config's cost grows with it",
    )
    parser.add_argument("--picture", type=output_picture, help="of --vary; default growth.png")
    parser.add_argument(
        "--cfg-options", nargs="+", action=ConfigOptions, default={}, metavar="KEY=VALUE"
    )


def _checked(args: argparse.Namespace) -> dict[str, list[Any]]:
    """What --vary changes: key -> values; words that do not fit together are refused."""
    from ..cli.benchmark.growth import BATCH, RANKS
    from ..models.compiling import check_mode

    for mode in args.mode:
        check_mode(mode)
    if args.vary and not args.configs:
        raise MaskSSLError("--vary changes a config: name one")
    if args.vary and args.against:
        raise MaskSSLError("--against is timed beside a config as it is: leave --vary out")
    if args.against and not args.configs:
        raise MaskSSLError("--against is timed in turn with the step of a config: name one")
    if not (args.configs or args.images or args.neighbours):
        raise MaskSSLError("there is nothing to time: name a config, --images or --neighbours")
    varied = {key: v if isinstance(v, list) else [v] for key, v in args.vary.items()}
    for key in (BATCH, RANKS):
        for value in varied.get(key, ()):
            if not isinstance(value, int) or value < 1:
                raise MaskSSLError(f"--vary {key}: {value!r} is no whole number of 1 or more")
    return varied


def run(args: argparse.Namespace) -> None:
    """Measure, tell, write."""
    import torch
    from mmengine.logging import MMLogger

    from .. import registration  # noqa: F401
    from ..cli.benchmark.growth import draw_growth, measure_growth
    from ..cli.benchmark.images import images_table, measure_images
    from ..cli.benchmark.neighbours import measure_neighbours, neighbours_table
    from ..cli.benchmark.run import machine, measure, table, write
    from ..cli.config import load_config
    from ..transfer.processes import usable_device

    varied = _checked(args)
    for config in args.configs:
        load_config(config, args.cfg_options)  # a slip in the last one shows before the first runs
    MMLogger.get_instance("mmengine", log_level="WARNING")
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    usable_device(device)
    host = machine(device, args.precision)
    rows = [
        measure(
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
        for config in ([] if args.vary else args.configs)
        for mode in ([None] if args.plain else args.mode)
    ]
    parts: dict[str, Any] = dict(rows=rows)
    print(table(host, rows))
    if args.vary:
        parts["growth"] = measure_growth(
            args.configs[0],
            varied,
            args.batch_size,
            device,
            precision=args.precision,
            compiled=None if args.plain else args.mode[0],
            options=args.cfg_options,
            steps=args.steps,
            runs=args.runs,
        )
        picture = args.picture or "growth.png"
        draw_growth(parts["growth"], picture)
        print(f"drawn in {picture}")
    if args.neighbours:
        queries, bank, width = args.neighbours
        parts["neighbours"] = measure_neighbours(queries, bank, width, device)
        print(neighbours_table(parts["neighbours"]))
    if args.images:
        parts["images"] = measure_images(args.images, device, args.batch_size)
        print(images_table(parts["images"]))
    if args.json:
        write(args.json, host, parts)
