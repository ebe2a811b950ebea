"""Training steps as named stages, and compiling these.

A stage is a method without side effects that sees a whole stack of blocks: the teacher, the
encoder, the decoders, the losses. Masks are drawn and losses weighted outside, in Python.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import MaskSSLError
from ..private_names import inductor_knows, inductor_options
from .logged_losses import LoggedLosses

MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")


class Staged(nn.Module):
    """A model whose ``loss`` calls its stages through ``stage``.

    Attributes:
        stages: names of methods, in the order in which ``loss`` calls them.
    """

    stages: ClassVar[tuple[str, ...]] = ()
    # functions of the model, not bound to it: a deep copy runs them on itself
    _replaced: dict[str, Callable[..., Any]] | None = None

    def stage(self, name: str) -> Callable[..., Any]:
        """A stage as it is run now: what replaces it in training, else the method."""
        if not self.training or self._replaced is None:
            return getattr(self, name)
        return partial(self._replaced[name], self)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, LoggedLosses]:
        """Their sum, and what is logged, as mmengine's; its copy to the host begins."""
        total, logged = super().parse_losses(losses)
        return total, LoggedLosses(logged)

    def replace_stages(self, replace: Callable[[str, Callable[..., Any]], Any] | None) -> None:
        """Run other functions in place of the stages, in training alone.

        Args:
            replace: (name, function now run, whose first argument is the model) -> the function
                to run; None for the methods themselves.
        """
        methods = {name: getattr(type(self), name) for name in self.stages}
        now = self._replaced or methods
        self._replaced = replace and {name: replace(name, now[name]) for name in self.stages}


def check_mode(mode: str) -> None:
    """Refuse a mode of compiling that there is none of."""
    if mode not in MODES:
        raise MaskSSLError(f"compile mode={mode!r} is unknown; use one of {', '.join(MODES)}")


def compile_stages(
    model: Staged, mode: str = "default", deterministic: bool = True, backend: str = "inductor"
) -> None:
    """Have each stage compiled as one graph when it is first run, once per shape of batch.

    The model's weights, their names and its copies stay what they are; in eval mode it runs as
    it is written.

    Args:
        model: not sharded.
        mode: 'default'; 'reduce-overhead' adds CUDA graphs, which take more memory and do not
            go with gradient accumulation; those with 'max-autotune' time kernels and may choose
            others in another process.
        deterministic: choose no kernel by timing it where that could change results, so that a
            resumed run computes the same. Needs a torch that knows the option (2.9).
        backend: of ``torch.compile``.

    Raises:
        MaskSSLError: a mode that there is none of.
    """
    check_mode(mode)
    options: dict[str, Any] | None = None
    if backend == "inductor":
        options = inductor_options(mode)
        if deterministic and inductor_knows("deterministic"):
            options["deterministic"] = True

    def compiled(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        run = torch.compile(
            function, fullgraph=True, dynamic=False, backend=backend, options=options
        )
        if name != model.stages[0] or not (options or {}).get("triton.cudagraphs"):
            return run

        def begin(*inputs: Any) -> Any:
            # a graph's outputs are kept until the step ends, not until the next stage begins
            torch.compiler.cudagraph_mark_step_begin()
            return run(*inputs)

        return begin

    model.replace_stages(None)
    model.replace_stages(compiled)
