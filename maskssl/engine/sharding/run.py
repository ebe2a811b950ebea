"""What a runner does otherwise when the config shards the model: start, optimizer, saving."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner as MMRunner
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor import empty as empty_sharded

from ...checkpoints.errors import DiskFullError
from ...checkpoints.hidden_files import discard
from ...checkpoints.shards import KEY, shards_folder, take_out, write_shards
from .fsdp2 import shard_model, shard_optimizer
from .full_state import full_optimizer_state, full_state_dict
from .options import sharding_options


class ShardedRun(MMRunner):
    """``sharding=dict(type="fsdp2", ...)`` in a config, or "deepspeed"; else nothing changes.

    Weights are drawn or loaded before the model is shared out. Checkpoints are gathered into
    the same whole files that every other run writes, or written in shares; every run reads both.
    """

    _shared = False  # the model has been shared out
    _saved: Mapping[str, Any] = MappingProxyType({})  # into the checkpoint being written

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Keep the model whole until training starts; without sharding as mmengine does."""
        if self.cfg.get("sharding") is None:
            return super().wrap_model(model_wrapper_cfg, model)
        return model.to(get_device())

    def train(self) -> nn.Module:
        """Share the model out between its initialisation and the optimizer's, then train."""
        if self.cfg.get("sharding") is not None and not self._shared:
            super()._init_model_weights()
            shard_model(self.model, self.cfg.sharding)
            self._shared = True
        return super().train()

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
        """Save one checkpoint. All ranks call it: shards are gathered, or written by each."""
        if not self._shared:
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        path = Path(out_dir, filename)
        with_optimizer = kwargs.get("save_optimizer", True)
        self._saved = self._in_shares(path, with_optimizer) or self._gathered(with_optimizer)
        try:
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
        except DiskFullError:
            if KEY in self._saved:
                discard(shards_folder(path, self._saved[KEY]["folder"]))
            raise
        finally:
            self._saved = MappingProxyType({})

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Put what was gathered into a checkpoint before any hook sees it."""
        if fn_name == "before_save_checkpoint":
            kwargs["checkpoint"].update(self._saved)
        super().call_hook(fn_name, **kwargs)

    def own_share(self, path: str, size: torch.Size, dtype: torch.dtype) -> Tensor:
        """Where this process reads a tensor of sharded files to: its share, or all of it."""
        owner = self._owner(path) if self._shared else None
        if not isinstance(owner, DTensor) or owner.shape != size:
            return torch.empty(size, dtype=dtype)
        return empty_sharded(
            size, dtype=dtype, device_mesh=owner.device_mesh, placements=owner.placements
        )

    def _owner(self, path: str) -> Any:
        """The parameter that a tensor of a checkpoint belongs to: see ``take_out``."""
        part, name, *rest = path.split("/")
        if part == "state_dict":
            return dict(self.model.named_parameters()).get(name)
        groups = self.optim_wrapper.optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        index = int(rest[0]) if name == "state" else len(parameters)
        return parameters[index] if index < len(parameters) else None

    def _gathered(self, with_optimizer: bool) -> dict[str, Any]:
        optimizer = full_optimizer_state(self.optim_wrapper) if with_optimizer else None
        whole = dict(state_dict=full_state_dict(self.model))
        return dict(whole, optimizer=optimizer) if with_optimizer else whole

    def _in_shares(self, path: Path, with_optimizer: bool) -> dict[str, Any] | None:
        options = sharding_options(self.cfg.sharding)
        if getattr(options, "checkpoint", "whole") == "whole":
            return None
        content = dict(state_dict=self.model.state_dict())
        if with_optimizer:
            content["optimizer"] = self.optim_wrapper.state_dict()
        tensors: dict[str, Tensor] = {}
        rest = take_out(content, tensors)
        return {**rest, KEY: write_shards(tensors, path)}
