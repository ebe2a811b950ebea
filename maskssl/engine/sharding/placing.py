"""From the whole tensors of a checkpoint to the shares of a sharded run, and back.

A checkpoint holds whole tensors under the model's own names, and the optimizer's state by the
position of the parameter, exactly as a run in one process writes them. Tensors are gathered one by
one by DTensor's ``full_tensor`` and not by ``get_optimizer_state_dict``, which makes a step with an
optimizer that has no state yet, so that a run whose steps were all skipped so far would go on from
its checkpoint as another one.
"""

import copy
from typing import Any

from mmengine.dist import is_main_process
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Shard
from torch.optim import Optimizer

from ...checkpoints.reading import Place
from ...checkpoints.shards import StoredTensor
from .options import ShardingError


def whole(path: str, leaf: Any) -> Any:
    """A leaf of a checkpoint's content, on the CPU; every process calls it on the same leaf.

    A sharded tensor is gathered on its device, by itself. Only the first process, which writes,
    gets tensors; on the others None stands in their place.
    """
    if isinstance(leaf, DTensor):
        leaf = leaf.detach().full_tensor()
    if isinstance(leaf, Tensor):
        return leaf.detach().cpu() if is_main_process() else None
    return leaf


def copied(path: str, leaf: Any) -> Any:
    """The same, sharing nothing with the run, which may go on."""
    found = whole(path, leaf)
    if isinstance(found, Tensor) and isinstance(leaf, Tensor):
        own = leaf.to_local() if isinstance(leaf, DTensor) else leaf  # a DTensor has no storage
        shared = found.untyped_storage().data_ptr() == own.untyped_storage().data_ptr()
        return found.clone() if shared else found
    return copy.deepcopy(found)


def placed_like(model: nn.Module, optimizer: Optimizer | None) -> Place:
    """How a sharded run reads a checkpoint: of each sharded parameter its own rows.

    Averages of the model (``ema_state_dict``) and states of the optimizer lie as the
    parameters do.

    Args:
        model: the bare algorithm, sharded.
        optimizer: of its parameters.
    """
    owners: dict[str, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        for part in ("", "state_dict/", "ema_state_dict/"):  # a bare state_dict; mmengine's
            owners[part + name] = owners[f"{part}module.{name}"] = parameter
    groups = [] if optimizer is None else optimizer.param_groups
    parameters = [parameter for group in groups for parameter in group["params"]]
    for index, parameter in enumerate(parameters):
        owners[f"optimizer/state/{index}"] = parameter
    # the order of earlier versions, which had a group for each parameter; shapes tell
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    former = {f"optimizer/state/{index}": parameter for index, parameter in enumerate(trained)}

    def place(path: str, stored: Tensor | StoredTensor) -> Tensor:
        above = path.rpartition("/")[0]
        owner = owners.get(path, owners.get(above))
        if owner is not None and owner.shape != stored.shape:
            other = former.get(above, owner)
            owner = other if other.shape == stored.shape else owner
        if path.startswith("optimizer/") and isinstance(owner, DTensor):
            _check_state(path, owner, stored)
        if not isinstance(owner, DTensor) or owner.shape != stored.shape:
            return stored[:] if isinstance(stored, StoredTensor) else stored
        return _share(owner, stored)

    return place


def _check_state(path: str, owner: DTensor, stored: Tensor | StoredTensor) -> None:
    if stored.shape.numel() > 1 and stored.shape != owner.shape:
        raise ShardingError(
            f"the checkpoint's {path} has shape {tuple(stored.shape)} and its parameter "
            f"{tuple(owner.shape)}; only states of the parameter's shape can be sharded. Use "
            "AdamW, SGD or LARS, or DDP"
        )


def _share(owner: DTensor, stored: Tensor | StoredTensor) -> DTensor:
    """This process's rows of a tensor that is split as a parameter is."""
    mesh = owner.device_mesh
    rows = -(-owner.shape[0] // mesh.size())  # FSDP2 deals them as torch.chunk does
    start = min(mesh.get_local_rank() * rows, owner.shape[0])
    own = stored[start : min(start + rows, owner.shape[0])]
    return DTensor.from_local(
        own.to(owner.device, copy=True),
        mesh,
        [Shard(0)],
        run_check=False,
        shape=owner.shape,
        stride=owner.stride(),
    )
