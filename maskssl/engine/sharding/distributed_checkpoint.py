"""Sharded files in a folder: checkpoints of models that no single process should gather.

Each process writes and reads its own share, and any number of processes can read what
another number wrote. Short of that need, ``full_state`` writes the one file that loads
anywhere.
"""

import shutil
from pathlib import Path
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from mmengine.logging import print_log
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.optim import Optimizer

from ...checkpoints.reading import CheckpointError

COMPLETE = ".metadata"  # written last, once all processes have written their share
WRITING = ".writing"


def save_distributed(folder: str | Path, model: nn.Module, optimizer: Optimizer) -> Path:
    """Write the shares of all processes into a folder; every process calls it.

    They go to a folder beside it that takes the name when it is complete, so that a run
    killed meanwhile leaves no half of a checkpoint under this name.

    Args:
        folder: on a file system that all processes share; it must not exist.
        model: sharded.
        optimizer: of that model.

    Raises:
        CheckpointError: the folder exists.
    """
    folder = Path(folder)
    if folder.exists():
        raise CheckpointError(f"there is a {folder} already; remove it or save under another name")
    writing = folder.with_name(folder.name + WRITING)
    if dist.get_rank() == 0 and writing.exists():
        print_log(f"removed {writing}, left behind by a save that was cut off", "current")
        shutil.rmtree(writing)
    dist.barrier()  # nobody looks or writes before the remains are gone
    dcp.save(_state(model, optimizer), checkpoint_id=writing)
    dist.barrier()
    if dist.get_rank() == 0:
        writing.rename(folder)
    dist.barrier()  # the folder is there when any process goes on
    return folder


def load_distributed(folder: str | Path, model: nn.Module, optimizer: Optimizer) -> None:
    """Read model and optimizer from a folder of any number of processes; every process calls it.

    Raises:
        CheckpointError: no complete checkpoint is there.
    """
    if not (Path(folder) / COMPLETE).is_file():
        raise CheckpointError(
            f"{folder} is no complete distributed checkpoint (it has no {COMPLETE}); take another "
            "one"
        )
    state = _state(model, optimizer)
    dcp.load(state, checkpoint_id=Path(folder))
    set_state_dict(
        model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"]
    )


def _state(model: nn.Module, optimizer: Optimizer) -> dict[str, Any]:
    weights, optimizer_state = get_state_dict(model, optimizer)
    return {"model": weights, "optimizer": optimizer_state}
