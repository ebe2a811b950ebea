"""A step of several processes of this machine, which average their gradients."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.logging import MMLogger

from ...errors import MaskSSLError
from ..config import load_config
from .run import measure

START = "spawn"  # neither CUDA nor the threads of OpenMP outlive a fork


def measure_ranks(ranks: int, name: str, device: str, **options: Any) -> dict[str, Any]:
    """Measure a config in so many processes: one for each GPU, or of equal shares of the threads.

    Args:
        ranks: number of processes; each has a whole batch.
        name: of the config, as of ``measure``.
        device: 'cuda' or 'cpu'.
        **options: of ``measure``.

    Returns:
        What the slowest of them has measured, with ``ranks``, the ``threads`` of each, and the
        images of all per step and per second.

    Raises:
        MaskSSLError: there are fewer GPUs, or cores.
    """
    most = torch.cuda.device_count() if device == "cuda" else os.cpu_count() or 1
    if not 1 <= ranks <= most:
        kind = "GPUs" if device == "cuda" else "cores"
        raise MaskSSLError(f"--vary ranks={ranks}: there are {most} {kind} here; give 1 to {most}")
    load_config(name, options.get("options"))  # tells what is wrong with it, once
    threads = max(1, torch.get_num_threads() // ranks)
    with TemporaryDirectory() as folder:
        given = dict(options, name=name, device=device)
        torch.multiprocessing.start_processes(
            _measure_one, (ranks, folder, threads, given), ranks, start_method=START
        )
        rows = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
    slowest = max(rows, key=lambda row: row["seconds_per_step"])
    images = sum(row["batch_size"] for row in rows)
    return dict(
        slowest,
        ranks=len(rows),
        threads=threads,
        images_per_step=images,
        images_per_second=images / slowest["seconds_per_step"],
    )


def _measure_one(rank: int, ranks: int, folder: str, threads: int, options: dict[str, Any]) -> None:
    from ... import registration  # noqa: F401

    MMLogger.get_instance("mmengine", log_level="WARNING" if rank == 0 else "ERROR")
    torch.set_num_threads(threads)
    if options["device"] == "cuda":
        torch.cuda.set_device(rank)
    torch.distributed.init_process_group(
        "nccl" if options["device"] == "cuda" else "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=ranks,
    )
    row = measure(**options)
    Path(folder, f"{rank}.json").write_text(json.dumps(row))
    torch.distributed.destroy_process_group()
