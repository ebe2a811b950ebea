"""Mixed precision that works on a CPU as on a GPU."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import AmpOptimWrapper, OptimWrapper
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


def without_loss_scaling(entry: dict[str, Any]) -> dict[str, Any]:
    """``optim_wrapper`` of a config, with bf16 autocast where AmpOptimWrapper is not the right one.

    mmpretrain's and mmdet's tools turn the type into AmpOptimWrapper by ``--amp``. That refuses to
    run on a CPU, and bf16 needs no loss scaling; both run as AutocastOptimWrapper instead, whose
    steps are guarded as all others are. fp16 on a GPU stays as it is. Either is said.
    """
    kind, dtype = entry.get("type"), entry.get("dtype")
    named = kind is AmpOptimWrapper or str(kind).rpartition(".")[2] == "AmpOptimWrapper"
    on_cpu = get_device() == "cpu"
    if not named or not (on_cpu or dtype in ("bfloat16", torch.bfloat16)):
        return entry
    why = "AmpOptimWrapper needs a GPU" if on_cpu else "bf16 needs no loss scaling"
    print_log(
        f"optim_wrapper: {why}, so AutocastOptimWrapper runs in its place, in bf16",
        logger="current",
        level=logging.WARNING,
    )
    kept = {key: value for key, value in entry.items() if key not in _OF_LOSS_SCALING}
    return {**kept, "type": "AutocastOptimWrapper"}


_OF_LOSS_SCALING = ("loss_scale", "dtype", "use_fsdp")  # AmpOptimWrapper's own options
