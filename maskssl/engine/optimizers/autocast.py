"""Mixed precision that works on a CPU as on a GPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn

from ...errors import MaskSSLError


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """bf16 autocast around the forward; weights, gradients and updates stay fp32.

    mmengine's AmpOptimWrapper refuses to run on a CPU and scales the loss, which bf16
    does not need.

    Args:
        dtype: 'bfloat16'.
        **kwargs: of mmengine's OptimWrapper.

    Raises:
        MaskSSLError: another dtype; fp16 underflows without loss scaling.
    """

    def __init__(self, dtype: str = "bfloat16", **kwargs: Any) -> None:
        if dtype != "bfloat16":
            raise MaskSSLError(
                f"dtype={dtype!r}: AutocastOptimWrapper runs bfloat16; for float16, which needs "
                "loss scaling, use type='AmpOptimWrapper' on a GPU"
            )
        super().__init__(**kwargs)
        self.device_type = get_device()

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Forward and loss under autocast, and gradients synchronised when due."""
        with (
            super().optim_context(model),
            torch.autocast(self.device_type, dtype=torch.bfloat16),
        ):
            yield
