"""What tools/train.py and tools/test.py share on the command line."""

import argparse
import atexit
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import torch.distributed as dist
from mmengine.config import Config

from ..errors import MaskSSLError
from . import launch
from .config import load_config
from .config_options import ConfigOptions


def tool_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the arguments that every tool running a config takes."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="config file")
    parser.add_argument("--work-dir", help="where to write; default work_dirs/<config name>")
    parser.add_argument(
        "--pretrained", metavar="PATH", help="checkpoint of the backbone, or 'none' for random"
    )
    parser.add_argument("--seed", type=int, help="random seed; default the config's")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=ConfigOptions,
        default={},
        metavar="KEY=VALUE",
        help="override config entries",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    # older launchers pass it; mmengine reads the environment
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def configured(args: argparse.Namespace) -> Config:
    """The config of a command line, with its common arguments applied."""
    cfg = load_config(args.config, args.cfg_options)
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    if args.pretrained:
        launch.set_pretrained(cfg, args.pretrained)
    if args.seed is not None:
        cfg.randomness = dict(cfg.get("randomness", {}), seed=args.seed)
    return cfg


def run_tool(parser: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None]) -> None:
    """Parse and run; a MaskSSLError ends the tool as one sentence, with --debug in full."""
    args = parser.parse_args()
    try:
        main(args)
    except MaskSSLError as error:
        if args.debug:
            traceback.print_exc()
        sys.exit(f"{type(error).__name__}: {_sentence(error)}")
    except SystemExit as end:
        if isinstance(end.code, int):  # on a signal, by agreement of all ranks
            leave_processes(end.code)
        raise
    leave_processes()


def leave_processes(code: int = 0) -> None:
    """End one of several processes whose run is over; alone it does nothing.

    Threads of the process group may still hold Python objects, and one that asks for the
    interpreter while that shuts down takes the process with it (SIGABRT): a launcher then
    reports a finished run as failed, or starts it again. So the group is ended, what was
    registered for the exit is done, and the interpreter is not taken down.

    After an error it is not called, as ending a group may wait for ranks that will not come.

    Args:
        code: of the exit.
    """
    if not dist.is_initialized():
        return
    dist.destroy_process_group()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _sentence(error: MaskSSLError) -> str:
    """The message; of an error in a loader process, only what follows its traceback."""
    text = str(error)
    if "Original Traceback" not in text:
        return text
    return text.strip().splitlines()[-1].split(": ", 1)[-1]  # behind module.ErrorName
