"""What a runner does otherwise when the config shards the model: start, optimizer, saving."""

from typing import Any

import torch
from mmengine.device import get_device
from mmengine.hooks import EMAHook
from mmengine.model import BaseAveragedModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner as MMRunner
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor import empty as empty_sharded

from ...checkpoints.shards import KEY, take_out, write_shards
from ..runner.whole_files import is_local
from .fsdp2 import reshard, shard_average, shard_model, shard_optimizer
from .full_state import gathered
from .options import ShardingError, sharding_options
from .zero import ZeroOptimWrapper

# entries of a checkpoint without weights
_PLAIN = frozenset({"meta", "message_hub", "param_schedulers"})


class ShardedRun(MMRunner):
    """``sharding=dict(type="fsdp2", ...)`` in a config, or "deepspeed"; else nothing changes.

    Weights are drawn or loaded before the model is shared out. Checkpoints are gathered into
    the same whole files that every other run writes, or written in shares; every run reads both.
    """

    _shared = False  # the model has been shared out

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Keep the model whole until training starts; without sharding as mmengine does."""
        if not self.cfg.get("sharding"):
            return super().wrap_model(model_wrapper_cfg, model)
        return model.to(get_device())

    def train(self) -> nn.Module:
        """Share the model out between its initialisation and the optimizer's, then train."""
        if self.cfg.get("sharding") and not self._shared:
            super()._init_model_weights()
            averages = self._averages()
            shard_model(self.model, self.cfg.sharding)
            for average in averages:
                shard_average(average, self.cfg.sharding)
            self._shared = True
        return super().train()

    def _averages(self) -> list[BaseAveragedModel]:
        """EMAHook's copies of the model, made now, as shards cannot be copied."""
        hooks = [hook for hook in self.hooks if isinstance(hook, EMAHook)]
        for hook in hooks:
            hook.before_run(self)
            hook.before_run = lambda runner: None  # not once more
        return [hook.ema_model for hook in hooks]

    def _init_model_weights(self) -> None:
        if not self._shared:
            super()._init_model_weights()

    def build_optim_wrapper(self, optim_wrapper: Any) -> OptimWrapper:
        """Build it, on the shards if there are any."""
        built = super().build_optim_wrapper(optim_wrapper)
        if self._shared and built is not optim_wrapper:
            built = shard_optimizer(self.model, built, self.cfg.sharding)
        return built

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """Save one checkpoint. All ranks call it, and with shards all of them build it."""
        if not self._shared:
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        if isinstance(self.optim_wrapper, ZeroOptimWrapper):
            self.optim_wrapper.full_state()
        MMRunner.save_checkpoint.__wrapped__(self, out_dir, filename, *args, **kwargs)

    def joined(self, checkpoint: dict[str, Any], path: str) -> dict[str, Any]:
        """A checkpoint as the main process writes it: gathered, or with its tensors in a folder.

        All ranks call it, each with its shares; only the main process may use the result.
        """
        if not self._shared:
            return checkpoint
        states = {key: value for key, value in checkpoint.items() if key not in _PLAIN}
        if getattr(sharding_options(self.cfg.sharding), "checkpoint", "whole") == "whole":
            return {**checkpoint, **gathered(states)}
        if not is_local(path, None):
            raise ShardingError(
                f"sharding checkpoint='sharded' writes to a file system that all processes share, "
                f"and {path} is none; use checkpoint='whole'"
            )
        tensors: dict[str, Tensor] = {}
        rest = take_out(states, tensors)
        return {**checkpoint, **rest, KEY: write_shards(tensors, path)}

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Call all hooks; those that handle the weights find the shards."""
        if self._shared and fn_name == "before_save_checkpoint":
            # mmengine has moved them to the CPU, where they cannot be gathered
            kwargs["checkpoint"]["state_dict"] = self.model.state_dict()
        if self._shared and fn_name in ("after_val_epoch", "after_test_epoch"):
            reshard(self.model)  # there was no backward to do it
        super().call_hook(fn_name, **kwargs)

    def own_share(self, path: str, size: torch.Size, dtype: torch.dtype) -> Tensor:
        """Where this process reads a tensor of a sharded checkpoint to: its share, or all of it."""
        owner = self._owner(path) if self._shared else None
        if not isinstance(owner, DTensor) or owner.shape != size:
            return torch.empty(size, dtype=dtype)
        return empty_sharded(
            size, dtype=dtype, device_mesh=owner.device_mesh, placements=owner.placements
        )

    def _owner(self, path: str) -> Any:
        """The parameter that a tensor of a checkpoint belongs to: see ``take_out``."""
        part, name, *rest = path.split("/")
        if part in ("state_dict", "ema_state_dict"):
            try:
                return self.model.get_parameter(name.removeprefix("module."))
            except AttributeError:  # a buffer, or no part of this model
                return None
        groups = self.optim_wrapper.optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        index = int(rest[0]) if name == "state" else len(parameters)
        return parameters[index] if index < len(parameters) else None
