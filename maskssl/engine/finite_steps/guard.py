"""Between a training step and the optimizer: only finite gradients pass."""

import logging
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce, get_world_size
from mmengine.logging import print_log
from mmengine.optim import ApexOptimWrapper, OptimWrapper
from torch import Tensor
from torch.nn.utils import get_total_norm

from ..optimizers.delegating import DelegatingOptimWrapper


class Verdict(NamedTuple):
    """On one optimizer step.

    Attributes:
        finite: gradients and losses are finite on every rank; the step was made.
        grad_norm: 2-norm of all gradients together, before clipping and without loss scale.
        bad_ranks: how many ranks had a loss that is not finite since the last step.
        scale: of the loss in this step, 1 without loss scaling.
    """

    finite: bool
    grad_norm: float
    bad_ranks: int
    scale: float = 1.0

    @property
    def overflow(self) -> bool:
        """Nothing but too large a loss scale, which is lower now, need have gone wrong."""
        return not self.finite and not self.bad_ranks and self.scale > 1


class GuardedOptimWrapper(DelegatingOptimWrapper):
    """Makes the inner wrapper's step if loss and gradients are finite on every rank.

    A step that is left out zeroes the gradients; ``should_update`` is False then until the next
    backward, so that hooks which follow the optimizer (teacher, EMA) stand still too. A step
    costs one norm over all gradients and waits for the GPU once.

    With loss scaling (AmpOptimWrapper, fp16) infinite gradients are how the scaler learns its
    scale: the step is left out as the scaler would, and the scale is lowered.

    Attributes:
        verdict: on the step just made or left out; None since the next backward.
        logs_norm: the inner wrapper logs the norm, as it clips by it.
    """

    def __init__(self, inner: OptimWrapper) -> None:
        super().__init__(inner)
        self.verdict: Verdict | None = None
        self._losses_finite: Tensor | None = None
        clips = getattr(inner, "inner", inner)  # DeepSpeed's holds the one of the config
        self.logs_norm = bool(clips.clip_grad_kwargs) and clips.grad_name == "grad_norm"

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Run backward and remember, on the device, whether the loss was finite."""
        self.verdict = None
        finite = torch.isfinite(loss.detach()).all()
        before = self._losses_finite
        self._losses_finite = finite if before is None else before & finite
        self.inner.backward(loss, **kwargs)

    def should_update(self) -> bool:
        """Whether this iteration updates the weights: not if its step was left out."""
        skipped = self.verdict is not None and not self.verdict.finite
        return not skipped and self.inner.should_update()

    def step(self, **kwargs: Any) -> None:
        """Make the inner wrapper's step if every rank is finite, else zero the gradients."""
        self.verdict = verdict = self._judged()
        self._losses_finite = None
        if verdict.finite:
            self.inner.step(**kwargs)
            return
        if verdict.overflow and self._scaler is not None:
            self._scaler.unscale_(self.optimizer)  # it sees what is infinite
            self._scaler.update()
        self.zero_grad()
        losses = f"not finite on {verdict.bad_ranks} of {get_world_size()} ranks"
        print_log(
            f"an optimizer step is skipped: gradient norm {verdict.grad_norm}, loss "
            f"{losses if verdict.bad_ranks else 'finite'}, loss scale {verdict.scale:g}",
            logger="current",
            level=logging.WARNING,
        )

    @property
    def _scaler(self) -> torch.amp.GradScaler | None:
        scaler = getattr(self.inner, "loss_scaler", None)
        return scaler if scaler is not None and scaler.is_enabled() else None

    @torch.no_grad()
    def _judged(self) -> Verdict:
        norm = self._total_norm()
        losses = self._losses_finite
        losses = torch.ones_like(norm, dtype=torch.bool) if losses is None else losses
        bad = ~torch.stack([losses, torch.isfinite(norm).to(losses.device)])
        counts = bad.float()  # of ranks
        all_reduce(counts)  # reduced gradients agree by themselves, losses are local
        numbers = torch.cat([counts, norm.float().to(losses.device)[None]])
        bad_losses, bad_norms, grad_norm = numbers.tolist()  # the one wait for the GPU
        scale = 1.0 if self._scaler is None else self._scaler.get_scale()
        return Verdict(bad_losses + bad_norms == 0, grad_norm / scale, int(bad_losses), scale)

    def _total_norm(self) -> Tensor:
        if hasattr(self.inner, "total_norm"):  # DeepSpeed's keeps the gradients to itself
            return self.inner.total_norm()
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        norm = get_total_norm([p.grad for p in parameters if p.grad is not None])
        # sharded parameters: each rank has its part
        return norm.full_tensor() if hasattr(norm, "full_tensor") else norm


def guarded(wrapper: OptimWrapper) -> OptimWrapper:
    """The wrapper behind a guard; one that cannot be guarded as it is, with a warning.

    Args:
        wrapper: as built. Apex's scales and skips by itself; one with an ``update_params`` of
            its own (OptimWrapperDict) makes steps that a guard cannot stand in front of.
    """
    if isinstance(wrapper, GuardedOptimWrapper):
        return wrapper
    own_way = type(wrapper).update_params is not OptimWrapper.update_params
    if own_way or isinstance(wrapper, ApexOptimWrapper):
        print_log(
            f"steps of {type(wrapper).__name__} are not guarded: a loss or gradient that is not "
            "finite reaches the weights. Use OptimWrapper, AutocastOptimWrapper or AmpOptimWrapper",
            logger="current",
            level=logging.WARNING,
        )
        return wrapper
    return GuardedOptimWrapper(wrapper)
