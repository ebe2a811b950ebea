"""Between an optim wrapper and its optimizer: only finite gradients pass."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm


class Verdict(NamedTuple):
    """On one optimizer step.

    Attributes:
        finite: gradients and losses are finite on every rank; the step was made.
        grad_norm: of all gradients together, before clipping; the 2-norm, or the kind that
            clip_grad asks for.
        loss_finite: this rank's losses since the last step were finite.
    """

    finite: bool
    grad_norm: float
    loss_finite: bool


class StepGuard:
    """Replace an optim wrapper's ``step`` by one that a non-finite gradient cannot pass.

    The wrapper keeps its class and its settings, so checkpoints, schedulers and models see no
    difference. After a skipped step ``wrapper.step_was_skipped`` is True and
    ``wrapper.should_update()`` False until the next backward, so hooks that follow the optimizer
    (the teacher's) stand still too. A step costs one norm over all gradients (clipping uses the
    same one) and waits for the GPU once.

    Args:
        wrapper: an OptimWrapper without loss scaling.
        decided: called with the verdict, inside each step.
    """

    def __init__(self, wrapper: OptimWrapper, decided: Callable[[Verdict], None]) -> None:
        self.wrapper = wrapper
        self.decided = decided
        self.bad_gradients: set[int] = set()  # id of each parameter, filled if find_bad
        self.find_bad = False
        self._losses_finite: Tensor | None = None
        self._norm: Tensor | None = None
        clip = wrapper.clip_grad_kwargs or {}
        self._clips_by_norm = bool(clip) and wrapper.grad_name == "grad_norm"
        self._norm_type = float(clip.get("norm_type", 2.0)) if self._clips_by_norm else 2.0
        self._original_step, self._original_backward = wrapper.step, wrapper.backward
        self._original_should_update = wrapper.should_update
        wrapper.step_was_skipped = False
        wrapper.step, wrapper.backward = self.step, self.backward
        wrapper.should_update = self.should_update
        if self._clips_by_norm:
            wrapper._clip_grad = self.clip

    def remove(self) -> None:
        """Give the wrapper its own methods back."""
        for name in ("step", "backward", "should_update", "_clip_grad"):
            vars(self.wrapper).pop(name, None)

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Run backward and remember, on the device, whether the loss was finite."""
        self.wrapper.step_was_skipped = False
        finite = torch.isfinite(loss.detach()).all()
        before = self._losses_finite
        self._losses_finite = finite if before is None else before & finite
        self._original_backward(loss, **kwargs)

    def should_update(self) -> bool:
        """Whether this iteration updates the weights: not if its step was skipped."""
        return not self.wrapper.step_was_skipped and self._original_should_update()

    def step(self, **kwargs: Any) -> None:
        """Make the wrapper's step if every rank is finite, else zero the gradients."""
        verdict = self._judge()
        self.wrapper.step_was_skipped = not verdict.finite
        if verdict.finite:
            self._original_step(**kwargs)
        else:
            self._note_bad_gradients()
            self.wrapper.zero_grad()
        self._losses_finite = self._norm = None
        self.decided(verdict)

    def clip(self) -> None:
        """Clip as the wrapper would, by the norm that is known already."""
        options = self.wrapper.clip_grad_kwargs
        parameters = [p for p in self._parameters() if p.grad is not None]
        if parameters:
            foreach = options.get("foreach")
            clip_grads_with_norm_(parameters, options["max_norm"], self._norm, foreach)

    def _parameters(self) -> list[Tensor]:
        groups = self.wrapper.optimizer.param_groups
        return [p for group in groups for p in group["params"] if p.requires_grad]

    @torch.no_grad()
    def _judge(self) -> Verdict:
        self._norm = norm = self._total_norm()
        losses = self._losses_finite
        losses = torch.ones_like(norm, dtype=torch.bool) if losses is None else losses
        finite = (losses & torch.isfinite(norm).to(losses.device)).float()
        all_reduce(finite, "min")  # reduced gradients agree by themselves, losses are local
        numbers = [finite, norm.float().to(losses.device), losses.float()]
        everywhere, grad_norm, here = torch.stack(numbers).tolist()  # the one wait for the GPU
        return Verdict(everywhere == 1.0, grad_norm, here == 1.0)

    def _total_norm(self) -> Tensor:
        if hasattr(self.wrapper, "total_norm"):  # DeepSpeed's keeps the gradients to itself
            return self.wrapper.total_norm()
        gradients = [p.grad for p in self._parameters() if p.grad is not None]
        norm = get_total_norm(gradients, self._norm_type)
        # sharded parameters: each rank has its part
        return norm.full_tensor() if hasattr(norm, "full_tensor") else norm

    def _note_bad_gradients(self) -> None:
        self.bad_gradients.clear()
        if self.find_bad:
            self.bad_gradients.update(
                id(p)
                for p in self._parameters()
                if p.grad is not None and not bool(torch.isfinite(_local(p.grad)).all())
            )


def _local(gradient: Tensor) -> Tensor:
    """This rank's part of a sharded gradient, or the gradient itself."""
    return gradient.to_local() if hasattr(gradient, "to_local") else gradient
