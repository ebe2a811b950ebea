"""Sharded states to whole ones and back, so that checkpoints are the same under FSDP2.

A checkpoint holds whole tensors under the model's own names, and the optimizer's state by
the position of the parameter, exactly as a run in one process writes them.
"""

import copy
from typing import Any

from mmengine.dist import is_main_process
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from ...errors import MaskSSLError


def gathered(node: Any) -> Any:
    """Whole CPU copies of all tensors below a node; every process calls it.

    One tensor at a time is gathered on its device.

    Args:
        node: nested dicts and lists, e.g. states of a sharded model and its optimizer.

    Returns:
        On the first process the same with whole tensors; on the others None for each.
    """
    if isinstance(node, DTensor):
        whole = node.detach().full_tensor()
        return whole.to("cpu", copy=True) if is_main_process() else None
    if isinstance(node, Tensor):
        return node.detach().to("cpu", copy=True) if is_main_process() else None
    if isinstance(node, dict):
        found = copy.copy(node)  # a state_dict's _metadata too
        for key, value in node.items():
            found[key] = gathered(value)
        return found
    if isinstance(node, (list, tuple)):
        return type(node)(gathered(value) for value in node)
    return node


def accept_full_state(model: nn.Module) -> None:
    """Let a sharded model load whole tensors, by load_state_dict or mmengine's loader.

    Each process hands in the same whole state; each keeps its share of the first one's.
    """
    for module in model.modules():
        if module._parameters:
            module.register_load_state_dict_pre_hook(_shard_incoming)


def accept_full_optimizer_state(optimizer: Optimizer) -> None:
    """Let the optimizer of a sharded model load a whole state."""
    optimizer.register_load_state_dict_pre_hook(_shard_optimizer_state)


def _shard_incoming(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Replace the module's own entries; other shapes are left for torch to complain of."""
    for name, parameter in module._parameters.items():
        value = state_dict.get(prefix + name)
        if isinstance(parameter, DTensor) and value is not None:
            state_dict[prefix + name] = _shard_like(parameter, value)


def _shard_optimizer_state(optimizer: Optimizer, state_dict: dict[str, Any]) -> dict[str, Any]:
    """The state with every tensor of a parameter's shape sharded as the parameter is."""
    indices = [index for group in state_dict["param_groups"] for index in group["params"]]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if len(indices) != len(parameters):
        raise MaskSSLError(
            f"the checkpoint's optimizer holds {len(indices)} parameters, this one "
            f"{len(parameters)}; resume with the config that wrote it, or load the weights alone"
        )
    states: dict[int, dict[str, Any]] = {}
    for index, parameter in zip(indices, parameters, strict=True):
        if index not in state_dict["state"]:
            continue
        entries = dict(state_dict["state"][index])
        for key, value in entries.items():
            if not isinstance(value, Tensor) or not isinstance(parameter, DTensor):
                continue
            if value.shape == parameter.shape:
                entries[key] = _shard_like(parameter, value)
            elif value.numel() > 1:
                raise MaskSSLError(
                    f"optimizer state {key!r} of parameter {index} has shape "
                    f"{tuple(value.shape)} and the parameter {tuple(parameter.shape)}; only states "
                    "of the parameter's shape can be sharded. Use AdamW, SGD or LARS, or DDP"
                )
        states[index] = entries
    return {**state_dict, "state": states}


def _shard_like(parameter: DTensor, value: Tensor) -> Tensor:
    if isinstance(value, DTensor) or value.shape != parameter.shape:
        return value
    return distribute_tensor(
        value.to(parameter.device), parameter.device_mesh, parameter.placements
    )
