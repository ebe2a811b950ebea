"""DeepSpeed's ZeRO behind mmengine's optimizer wrapper: an extra, ``pip install .[deepspeed]``.

mmengine's own way (FlexibleRunner with DeepSpeedStrategy) has a runner, a loop and
checkpoint folders of its own. Here only the optimizer wrapper changes, so that hooks,
loops and checkpoint files stay those of every other run.
"""

import copy
import logging
from typing import Any

import torch
import torch.distributed as dist
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from ...errors import MaskSSLError
from ...private_names import accumulative_counts
from ..optimizers.delegating import DelegatingOptimWrapper
from .options import DeepSpeedOptions, ShardingError


class ZeroOptimWrapper(DelegatingOptimWrapper):
    """Backward and step by a DeepSpeed engine; states in the format of an unsharded run.

    It takes the place of the wrapper that the config builds and keeps its optimizer, clipping and
    autocast; ``start`` hands the optimizer over to DeepSpeed once the model has its weights.

    Args:
        inner: the wrapper it replaces.
        options: the stage.

    Raises:
        ShardingError: the wrapper asks for what this way of running DeepSpeed does not do.
    """

    def __init__(self, inner: OptimWrapper, options: DeepSpeedOptions) -> None:
        super().__init__(inner)
        self.options = options
        self.engine: Any = None
        # the model's parameters in each group, before DeepSpeed flattens them
        self.layout = [list(group["params"]) for group in inner.optimizer.param_groups]
        counts = accumulative_counts(inner)
        if counts != 1:
            raise ShardingError(
                f"accumulative_counts={counts} with DeepSpeed: its accumulation leaves out what "
                "remains at the end of a run; use 1, or sharding type='fsdp2'"
            )
        clipping = dict(inner.clip_grad_kwargs or {})
        self.max_norm = clipping.pop("max_norm", 0.0)
        if clipping not in ({}, dict(norm_type=2)):
            raise ShardingError(
                f"clip_grad has {clipping}; DeepSpeed clips by the 2-norm and takes max_norm alone"
            )

    def start(self, model: nn.Module) -> None:
        """Hand the optimizer over to DeepSpeed; every process calls it.

        Args:
            model: the bare algorithm, the same on all processes.

        Raises:
            ShardingError: DeepSpeed is not installed.
        """
        try:
            import deepspeed
        except ImportError as error:
            raise ShardingError(
                "sharding type='deepspeed' needs DeepSpeed, which is not installed; run pip "
                "install '.[deepspeed]', or use type='fsdp2', which needs nothing"
            ) from error
        self.engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=self.optimizer,
            config=dict(
                train_micro_batch_size_per_gpu=1,  # asked for, used for its own reports alone
                gradient_clipping=self.max_norm,
                zero_optimization=dict(stage=self.options.stage),
                zero_allow_untested_optimizer=True,
                steps_per_print=10**9,
            ),
        )
        # mmengine loads weights into the model; ZeRO steps on flat copies of them
        refresh = self.engine.optimizer.refresh_fp32_params
        model.register_load_state_dict_post_hook(lambda module, keys: refresh())
        print_log(
            f"deepspeed {deepspeed.__version__}: ZeRO stage {self.options.stage} over "
            f"{dist.get_world_size()} processes",
            logger="current",
        )

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Gradients, reduced over the processes."""
        self.engine.backward(loss, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Clip and step; the norm before clipping is logged as mmengine logs it."""
        self.engine.step()
        if not self.engine.was_step_applied():
            print_log(
                "DeepSpeed left out a step whose gradients are not finite",
                logger="current",
                level=logging.WARNING,
            )
        elif self.inner.clip_grad_kwargs:
            norm = float(self.engine.get_global_grad_norm())
            self.message_hub.update_scalar("train/grad_norm", norm)

    def total_norm(self) -> Tensor:
        """2-norm of all gradients before clipping; infinite if one is not finite. All call it."""
        return torch.as_tensor(self.engine.optimizer.scaled_global_norm())

    def zero_grad(self, **kwargs: Any) -> None:
        """Forget the gradients; the reduced ones are replaced by the next backward's."""
        self.engine.optimizer.zero_grad(**kwargs)

    def state_dict(self) -> dict[str, Any]:
        """What an unsharded run's state_dict holds, on the CPU; every process calls it.

        Returns:
            The whole state on the first process, an empty dict on the others.
        """
        groups: list[dict[str, Any]] = []
        states: dict[int, dict[str, Any]] = {}
        start = 0
        for group, parameters in zip(self.optimizer.param_groups, self.layout, strict=True):
            indices = list(range(start, start + len(parameters)))
            groups.append({**group, "params": indices})
            start += len(parameters)
            flat = group["params"][0]
            for key, value in self.optimizer.state.get(flat, {}).items():
                shares = _whole(value, flat, parameters)
                for index, share in zip(indices, shares, strict=True):
                    states.setdefault(index, {})[key] = share
        state: dict[str, Any] = dict(state=states, param_groups=groups)
        if self.base_param_settings is not None:
            state["base_param_settings"] = self.base_param_settings
        return state if dist.get_rank() == 0 else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take this process's share of a whole state.

        Raises:
            MaskSSLError: the state is of another number of parameters.
        """
        held = sum(len(group["params"]) for group in state_dict["param_groups"])
        own = sum(len(parameters) for parameters in self.layout)
        if held != own:
            raise MaskSSLError(
                f"the checkpoint's optimizer holds {held} parameters, this one {own}; resume with "
                "the config that wrote it, or load the weights alone"
            )
        if "base_param_settings" in state_dict:
            # one object: schedules move that of the inner one
            self.base_param_settings = self.inner.base_param_settings = state_dict[
                "base_param_settings"
            ]
        start = 0
        groups = zip(
            self.optimizer.param_groups, state_dict["param_groups"], self.layout, strict=True
        )
        for group, saved, parameters in groups:
            group.update({key: value for key, value in saved.items() if key != "params"})
            flat = group["params"][0]
            states = [state_dict["state"].get(start + i) for i in range(len(parameters))]
            start += len(parameters)
            if all(states):
                self.optimizer.state[flat] = {
                    key: _own_share([state[key] for state in states], flat) for key in states[0]
                }


def _whole(value: Any, flat: Tensor, parameters: list[nn.Parameter]) -> list[Any]:
    """A flat share of a state -> one CPU tensor per parameter; scalars are repeated."""
    if not isinstance(value, Tensor):
        return [value] * len(parameters)
    if value.shape != flat.shape:
        return [value.detach().to("cpu", copy=True) for _ in parameters]
    shares = [torch.empty_like(value) for _ in range(dist.get_world_size())]
    dist.all_gather(shares, value)
    if dist.get_rank() != 0:
        return [None] * len(parameters)
    sizes = [parameter.numel() for parameter in parameters]
    padded = torch.cat([share.cpu() for share in shares])  # padded: all shares have one length
    pieces = padded[: sum(sizes)].split(sizes)
    return [piece.view(p.shape).clone() for piece, p in zip(pieces, parameters, strict=True)]


def _own_share(values: list[Any], flat: Tensor) -> Any:
    """States of a group's parameters -> this process's flat share; scalars as they are."""
    if not isinstance(values[0], Tensor) or values[0].ndim == 0:
        return copy.copy(values[0])  # steps count in place
    size = flat.numel()
    padded = flat.new_zeros(size * dist.get_world_size())
    whole = torch.cat([value.flatten() for value in values]).to(padded)
    padded[: whole.numel()] = whole
    start = size * dist.get_rank()
    return padded[start : start + size].clone()
