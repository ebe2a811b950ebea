"""What the commands that run a config share on the command line."""

import argparse

from .argument_types import at_least, output_folder
from .config_options import ConfigOptions

TRACKERS = ("wandb", "mlflow")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that runs a config."""
    parser.add_argument("config", help="config file, or the name of one that ships with maskssl")
    parser.add_argument(
        "--work-dir", type=output_folder, help="where to write; default work_dirs/<config name>"
    )
    parser.add_argument(
        "--pretrained", metavar="PATH", help="checkpoint of the backbone, or 'none' for random"
    )
    parser.add_argument("--seed", type=at_least(0), help="random seed; default the config's")
    parser.add_argument(
        "--data",
        metavar="LAYOUT:DIR",
        help="your data in every loader: folders:, lists:, shards: or imagenet:DIR of images; "
        "masks:, voc:, cityscapes: or ade20k:DIR to segment; coco:DIR to detect (docs, Your data)",
    )
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument("--num-classes", type=int, metavar="N", help="classes of your own data")
    classes.add_argument("--classes", choices=["from-data"], help="read them off the training set")
    parser.add_argument(
        "--boxes-only", action="store_true", help="detect boxes without masks, where none are drawn"
    )
    parser.add_argument(
        "--channels",
        type=at_least(1),
        metavar="N",
        help="pictures have N channels of any depth, such as 1, 4, or a .npy of bands",
    )
    parser.add_argument(
        "--value-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="with --channels: stored values that 8 bits would call 0 and 255, e.g. 0 4095",
    )
    parser.add_argument(
        "--map-masks",
        nargs="+",
        metavar="VALUE=LABEL",
        help="what masks hold, if it is no labels: 0=0 255=1, or colours, '#ff0000=1'",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=ConfigOptions,
        default={},
        metavar="KEY=VALUE",
        help="override config entries",
    )
    parser.add_argument(
        "--nproc",
        type=at_least(1),
        metavar="N",
        help="processes on this node, one per GPU or over gloo on the CPU; several nodes by "
        "NNODES, NODE_RANK, MASTER_ADDR and PORT, restarts by MAX_RESTARTS",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    # older launchers pass it; mmengine reads the environment
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
