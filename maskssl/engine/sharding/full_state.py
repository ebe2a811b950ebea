"""Sharded states to whole ones and back, so that checkpoints are the same under FSDP2.

A checkpoint holds whole tensors under the model's own names, and the optimizer's state by
the position of the parameter, exactly as a run in one process writes them.
"""

from collections import OrderedDict
from typing import Any

import torch.distributed as dist
from mmengine.optim import OptimWrapper
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer


def full_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """Whole weights on the CPU, for a checkpoint; every process calls it.

    One tensor at a time is gathered on the device.

    Args:
        model: sharded or not, not wrapped.

    Returns:
        On the first process what ``state_dict()`` of an unsharded model holds, copied;
        on the others an empty dict.
    """
    state = model.state_dict()
    whole: OrderedDict[str, Tensor] = OrderedDict()
    for name, value in state.items():
        gathered = _gathered(value)
        if _is_first():
            whole[name] = gathered
    if _is_first():
        whole._metadata = getattr(state, "_metadata", OrderedDict())  # type: ignore[attr-defined]
    return whole


def full_optimizer_state(optimizer: Optimizer | OptimWrapper) -> dict[str, Any]:
    """Whole optimizer state on the CPU, for a checkpoint; every process calls it.

    Returns:
        On the first process what ``state_dict()`` holds in an unsharded run; on the
        others an empty dict.
    """
    if hasattr(optimizer, "full_state"):  # DeepSpeed's, which knows how it flattened them
        return optimizer.full_state()
    whole = _gathered(optimizer.state_dict())
    return whole if _is_first() else {}


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
        raise ValueError(
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
                raise ValueError(
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


def _gathered(node: Any) -> Any:
    """Whole CPU copies of all tensors below a node; gathering is done by all together."""
    if isinstance(node, DTensor):
        whole = node.detach().full_tensor()
        return whole.to("cpu", copy=True) if _is_first() else None
    if isinstance(node, Tensor):
        return node.detach().to("cpu", copy=True) if _is_first() else None
    if isinstance(node, dict):
        return {key: _gathered(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_gathered(value) for value in node)
    return node


def _is_first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0
