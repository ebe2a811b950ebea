"""The config's entry ``sharding``: which kind, and with what options."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch.distributed as dist

from ...errors import MaskSSLError


class ShardingError(MaskSSLError):
    """The option ``sharding`` cannot be followed as it stands."""


@dataclass(frozen=True)
class FSDP2Options:
    """``sharding=dict(type='fsdp2', ...)``: weights, gradients, optimizer state and teacher.

    Attributes:
        type: 'fsdp2'.
        reshard_after_forward: free a block's weights after its forward and gather them
            again in the backward (less memory); False keeps them (less traffic).
        checkpoint: 'whole' gathers everything into one file, tensor by tensor in the first
            process's memory; 'sharded' lets every process write its share into a folder
            beside the file, on a file system that all share (see ``checkpoints.shards``).
    """

    type: Literal["fsdp2"]
    reshard_after_forward: bool = True
    checkpoint: Literal["whole", "sharded"] = "whole"


@dataclass(frozen=True)
class DeepSpeedOptions:
    """``sharding=dict(type='deepspeed', ...)``: ZeRO on optimizer state and gradients.

    Attributes:
        type: 'deepspeed'.
        stage: 1 shards the optimizer state, 2 the gradients too. 3 is not offered: it
            shards the weights, which FSDP2 does within PyTorch.
    """

    type: Literal["deepspeed"]
    stage: int = 1


KINDS: dict[str, type] = {"fsdp2": FSDP2Options, "deepspeed": DeepSpeedOptions}


def sharding_options(entry: Mapping[str, Any]) -> FSDP2Options | DeepSpeedOptions:
    """Read the config entry.

    Raises:
        ShardingError: an unknown type, key or value.
    """
    entry = dict(entry)
    kind = KINDS.get(entry.get("type", ""))
    if kind is None:
        raise ShardingError(
            f"sharding type={entry.get('type')!r} is unknown; use one of {sorted(KINDS)}"
        )
    known = {field.name for field in fields(kind)}
    if unknown := set(entry) - known:
        raise ShardingError(
            f"sharding has {sorted(unknown)}, which {entry['type']} does not know; it takes "
            f"{sorted(known)}"
        )
    options: FSDP2Options | DeepSpeedOptions = kind(**entry)
    if isinstance(options, DeepSpeedOptions) and options.stage not in (1, 2):
        raise ShardingError(
            f"sharding stage={options.stage!r}: DeepSpeed runs here with stage 1 or 2; to shard "
            "the weights too use type='fsdp2'"
        )
    if isinstance(options, FSDP2Options) and options.checkpoint not in ("whole", "sharded"):
        raise ShardingError(
            f"sharding checkpoint={options.checkpoint!r} is unknown; 'whole' writes one file, "
            "'sharded' a folder that all processes write"
        )
    return options


def refuse_one_process(options: FSDP2Options | DeepSpeedOptions) -> None:
    """A model is shared out among several processes.

    Raises:
        ShardingError: there is one alone.
    """
    if not dist.is_initialized():
        raise ShardingError(
            f"sharding type={options.type!r} needs processes to share the model; start them with "
            "maskssl train CONFIG --nproc N, or remove the option"
        )
