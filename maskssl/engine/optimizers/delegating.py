"""An optimizer wrapper around another one: what those that change one thing are made of."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine.optim import OptimWrapper
from torch import Tensor, nn


class DelegatingOptimWrapper(OptimWrapper):
    """Answers as the wrapper that it holds; subclasses override what they change.

    It has no state of its own: OptimWrapper's ``__init__`` is left out on purpose, so that
    whatever it would set (optimizer, counters, settings of clipping) is found in ``inner``.
    ``update_params`` is OptimWrapper's, in terms of the methods below.

    Args:
        inner: any OptimWrapper with OptimWrapper's own ``update_params``.
    """

    def __init__(self, inner: OptimWrapper) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # asked for before __init__, by copies
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Those that schedulers change."""
        return self.inner.param_groups

    def scale_loss(self, loss: Tensor) -> Tensor:
        """The loss over the number of forwards of a step."""
        return self.inner.scale_loss(loss)

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        """Add this loss's gradients."""
        self.inner.backward(loss, **kwargs)

    def step(self, **kwargs: Any) -> None:
        """Move the weights."""
        self.inner.step(**kwargs)

    def zero_grad(self, **kwargs: Any) -> None:
        """Forget the gradients."""
        self.inner.zero_grad(**kwargs)

    def should_update(self) -> bool:
        """Whether the weights move, or have moved, in this iteration."""
        return self.inner.should_update()

    def should_sync(self) -> bool:
        """Whether processes add up their gradients in the coming backward."""
        return self.inner.should_sync()

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Around the forward: autocast, gradients kept local while they are gathered up."""
        with self.inner.optim_context(model):
            yield

    def initialize_count_status(self, model: nn.Module, init_counts: int, max_counts: int) -> None:
        """Tell how many forwards were done and will have been done."""
        self.inner.initialize_count_status(model, init_counts, max_counts)

    def state_dict(self) -> dict[str, Any]:
        """The inner wrapper's, so that checkpoints are the same with and without this one."""
        return self.inner.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what an inner wrapper has saved."""
        self.inner.load_state_dict(state_dict)

    def __repr__(self) -> str:
        return f"{type(self).__name__} around {self.inner!r}"
