"""Share a model among processes, by FSDP2 (all of it) or DeepSpeed (what the optimizer holds).

A runner calls ``shard_model`` on the initialised model in place of a wrapper, and
``shard_optimizer`` on the optimizer wrapper that it builds then.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.model import BaseAveragedModel
from mmengine.optim import OptimWrapper
from timm.models.cait import LayerScaleBlockClassAttn
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.optim import Optimizer

from ...models.layers.decoder_block import DecoderBlock
from ...models.layers.encoder_block import EncoderBlock
from .full_state import accept_full_optimizer_state, accept_full_state
from .options import DeepSpeedOptions, FSDP2Options, ShardingError, sharding_options
from .zero import zero_optim_wrapper

# Gathered one at a time; everything else is gathered with the root for the whole step.
BLOCKS: tuple[type[nn.Module], ...] = (EncoderBlock, DecoderBlock, LayerScaleBlockClassAttn)
Result = TypeVar("Result")


def shard_model(model: nn.Module, entry: Mapping[str, Any]) -> nn.Module:
    """Share an initialised model among all processes, in place; every process calls it.

    All start from the first process's weights. DeepSpeed leaves the model itself whole.

    Args:
        model: the bare algorithm, not wrapped; its weights are drawn or loaded.
        entry: ``sharding`` of the config.

    Raises:
        ShardingError: options that cannot be meant, or one process alone.
    """
    options = sharding_options(entry)
    if not dist.is_initialized():
        raise ShardingError(
            f"sharding type={options.type!r} needs processes to share the model; start them with "
            "tools/dist_train.sh CONFIG N, or remove the option"
        )
    start_equal(model)
    if isinstance(options, FSDP2Options):
        _fully_shard(model, options)
    return model


def shard_average(average: BaseAveragedModel, entry: Mapping[str, Any]) -> None:
    """Share a running average of the model as the model itself is; every process calls it."""
    shard_model(average.module, entry)
    # it keeps references, which are to the whole ones
    module = average.module
    average.avg_parameters = (
        module.state_dict() if average.update_buffers else dict(module.named_parameters())
    )


def _fully_shard(model: nn.Module, options: FSDP2Options) -> None:
    """Blocks are gathered one by one as they run, all else by the model's own forward.

    Weights are gathered in fp32 and mixed precision stays AutocastOptimWrapper's, so that
    norms, losses and the teacher's update see the same numbers as under DDP; FSDP2's own
    policy would turn norms and inputs to bf16.

    Submodules' methods that are not forward (``backbone.embed``, ``run_blocks``) find their
    parameters as long as they are called inside the model's forward; ``as_forward`` does
    that from outside. The teacher is sharded as the student is, so its update stays local.
    """
    mesh = init_device_mesh(torch.device(get_device()).type, (dist.get_world_size(),))
    blocks = [part for part in model.modules() if isinstance(part, BLOCKS)]
    for block in blocks:
        fully_shard(block, mesh=mesh, reshard_after_forward=options.reshard_after_forward)
    fully_shard(model, mesh=mesh)
    accept_full_state(model)
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


def shard_optimizer(
    model: nn.Module, wrapper: OptimWrapper, entry: Mapping[str, Any]
) -> OptimWrapper:
    """Fit an optimizer wrapper to the model that ``shard_model`` has shared.

    Args:
        model: after ``shard_model``.
        wrapper: built on the model as it is now.
        entry: ``sharding`` of the config.

    Returns:
        The wrapper to train with; its state loads from anyone's checkpoint.

    Raises:
        ShardingError: the optimizer was built before the model was sharded, or DeepSpeed
            is not installed or cannot do what the wrapper asks for.
    """
    options = sharding_options(entry)
    if isinstance(options, DeepSpeedOptions):
        return zero_optim_wrapper(model, wrapper, options)
    _refuse_strangers(model, wrapper.optimizer)
    accept_full_optimizer_state(wrapper.optimizer)
    return wrapper


def start_equal(model: nn.Module) -> None:
    """Hand the first process's parameters and buffers to all, as DDP does when it wraps."""
    device = torch.device(get_device())
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            shared = tensor.detach().to(device).contiguous()
            dist.broadcast(shared, src=0)
            tensor.copy_(shared)


def _refuse_strangers(model: nn.Module, optimizer: Optimizer) -> None:
    """An optimizer built too early would train tensors that the model no longer uses."""
    reshard(model)
    own = {id(parameter) for parameter in model.parameters()}
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    strangers = sum(id(parameter) not in own for parameter in held)
    if strangers:
        raise ShardingError(
            f"{strangers} of the optimizer's {len(held)} parameters are not the sharded model's; "
            "build the optimizer after the model is sharded (give the runner optim_wrapper as a "
            "dict)"
        )


def is_sharded(model: nn.Module) -> bool:
    """Whether its weights are sharded, so that all processes must run its methods together."""
    return isinstance(model, FSDPModule)


def reshard(model: nn.Module) -> None:
    """Give back what a forward without backward leaves whole, as after an evaluation."""
    if isinstance(model, FSDPModule):
        model.reshard()


def as_forward(model: nn.Module, function: Callable[[], Result]) -> Result:
    """Run a function as the model's forward, with the parameters that it would find there.

    For calls of methods that are not forward, such as ``predict_targets`` for pictures.
    On a sharded model every process must call it.

    Args:
        model: the bare algorithm, sharded or not.
        function: without arguments.
    """
    if not isinstance(model, FSDPModule):
        return function()
    model.forward = function
    try:
        return model()
    finally:
        del model.forward
        model.reshard()
