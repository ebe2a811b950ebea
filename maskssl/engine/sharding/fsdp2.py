"""Share a model out among processes by FSDP2: weights, gradients, optimizer state and teacher."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import BaseAveragedModel
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from ...methods import block_names
from .options import FSDP2Options, ShardingError


def share_out(
    model: nn.Module,
    options: FSDP2Options,
    optimizer: Optimizer | None = None,
    averages: Sequence[BaseAveragedModel] = (),
) -> None:
    """Split the weights of an initialised model among all processes, in place; all call it.

    Args:
        model: the bare algorithm, not wrapped, with the same weights on all processes.
        options: of the config.
        optimizer: built on the whole model; it goes on with the shares.
        averages: running averages of the model, split like it.

    Raises:
        ShardingError: the optimizer has made a step, or holds other parameters.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    if optimizer is not None:
        _check(optimizer, names)
    _fully_shard(model, options)
    if optimizer is not None:
        shares = dict(model.named_parameters())
        for group in optimizer.param_groups:
            group["params"] = [shares[names[id(whole)]] for whole in group["params"]]
    for average in averages:
        module = average.module
        _fully_shard(module, options)
        # it keeps references, which are to the whole ones
        average.avg_parameters = (
            module.state_dict() if average.update_buffers else dict(module.named_parameters())
        )


def _check(optimizer: Optimizer, names: dict[int, str]) -> None:
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    strangers = sum(id(parameter) not in names for parameter in held)
    if strangers:
        raise ShardingError(
            f"{strangers} of the optimizer's {len(held)} parameters are not the model's; give the "
            "runner optim_wrapper as a dict"
        )
    if optimizer.state:
        raise ShardingError(
            "the optimizer has a state before the model is sharded; resume by the config (resume, "
            "load_from) and not by hand"
        )


def _fully_shard(model: nn.Module, options: FSDP2Options) -> None:
    """Blocks are gathered one by one as they run, all else by the model's own forward.

    Weights are gathered in fp32 and mixed precision stays AutocastOptimWrapper's, so that
    norms, losses and the teacher's update see the same numbers as under DDP; FSDP2's own
    policy would turn norms and inputs to bf16.

    Submodules' methods that are not forward (``backbone.embed``, ``run_blocks``) find their
    parameters as long as they are called inside the model's forward; ``whole_weights`` does
    that from outside. The teacher is sharded as the student is, so its update stays local.
    """
    mesh = init_device_mesh(torch.device(get_device()).type, (dist.get_world_size(),))
    names = block_names()  # gathered one at a time; all else with the root, for the whole step
    blocks = [part for part in model.modules() if type(part).__name__ in names]
    for block in blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=options.reshard_after_forward)
    fully_shard(model, mesh=mesh)
    model.register_forward_hook(_after_forward)
    if not blocks:
        print_log(
            f"{type(model).__name__} has no blocks to gather one by one: the whole model is "
            "gathered in every step, and only gradients and optimizer state take less memory",
            logger="current",
            level=logging.WARNING,
        )
    print_log(
        f"fsdp2: {len(blocks)} blocks and the rest of {type(model).__name__} sharded over "
        f"{mesh.size()} processes",
        logger="current",
    )


def _after_forward(model: nn.Module, inputs: Any, outputs: Any) -> None:
    if not torch.is_grad_enabled():
        _reshard(model)  # no backward will come and do it


def _reshard(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def is_sharded(model: nn.Module) -> bool:
    """Whether its weights are sharded, so that all processes must run its methods together."""
    return isinstance(model, FSDPModule)


@contextmanager
def whole_weights(model: nn.Module) -> Iterator[None]:
    """Let methods that are not forward find their weights, such as ``predict_targets``.

    Every process enters it, after a first forward; blocks still gather their own as they run.

    Args:
        model: the bare algorithm, sharded or not.
    """
    if not isinstance(model, FSDPModule):
        yield
        return
    model.unshard()
    try:
        yield
    finally:
        _reshard(model)
