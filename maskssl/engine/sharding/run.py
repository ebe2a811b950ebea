"""What a runner does otherwise when the config shards the model: start, optimizer, saving."""

from typing import Any

from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner as MMRunner
from torch import nn

from .fsdp2 import shard_model, shard_optimizer
from .full_state import full_optimizer_state, full_state_dict


class ShardedRun(MMRunner):
    """``sharding=dict(type="fsdp2", ...)`` in a config, or "deepspeed"; else nothing changes.

    Weights are drawn or loaded before the model is shared out, and checkpoints are gathered
    into the same whole files that every other run writes and reads.
    """

    _shared = False  # the model has been shared out
    _whole: tuple[dict[str, Any], dict[str, Any] | None] | None = None

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
        """Save one whole file. All ranks call it: shards are gathered, the main process writes."""
        if self._shared:
            with_optimizer = kwargs.get("save_optimizer", True)
            optimizer = full_optimizer_state(self.optim_wrapper) if with_optimizer else None
            self._whole = full_state_dict(self.model), optimizer
        super().save_checkpoint(out_dir, filename, *args, **kwargs)
        self._whole = None

    def call_hook(self, fn_name: str, **kwargs: Any) -> None:
        """Put gathered weights into a checkpoint before any hook sees it."""
        if fn_name == "before_save_checkpoint" and self._whole is not None:
            kwargs["checkpoint"]["state_dict"] = self._whole[0]
            if "optimizer" in kwargs["checkpoint"]:
                kwargs["checkpoint"]["optimizer"] = self._whole[1]
        super().call_hook(fn_name, **kwargs)
