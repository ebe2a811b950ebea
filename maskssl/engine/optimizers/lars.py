"""LARS as MAE and BootMAE probe with it: timm's, adapting matrices alone."""

from collections.abc import Iterable
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from timm.optim.lars import Lars

from ...errors import MaskSSLError


@OPTIMIZERS.register_module()
class MAELARS(Lars):
    """Layer-wise trust ratio on matrices, plain momentum SGD on biases and norms.

    The momentum buffer holds the scaled gradient without the lr (mae_util/lars.py).
    mmpretrain's LARS folds the lr into the buffer and scales biases.

    Args:
        params: groups of parameters that are all matrices or none, as
            LayerDecayOptimWrapperConstructor makes them.
        lr: learning rate.
        momentum: of the buffer.
        weight_decay: only 0; timm divides by another norm with it.
        trust_coefficient: step length in units of the weights' norm.

    Raises:
        MaskSSLError: weight decay, or a group that mixes matrices and vectors.
    """

    def __init__(
        self,
        params: Iterable[torch.Tensor] | Iterable[dict[str, Any]],
        lr: float = 1.0,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust_coefficient: float = 0.001,
    ) -> None:
        if weight_decay:
            raise MaskSSLError(
                f"MAELARS runs without weight decay, as published, got {weight_decay}; use "
                "mmpretrain's LARS or SGD for another recipe"
            )
        super().__init__(params, lr=lr, momentum=momentum, trust_coeff=trust_coefficient)
        for group in self.param_groups:
            matrices = {param.ndim > 1 for param in group["params"]}
            if len(matrices) > 1:
                raise MaskSSLError(
                    "a parameter group mixes matrices and vectors; use "
                    "constructor='LayerDecayOptimWrapperConstructor'"
                )
            group["always_adapt"] = matrices == {True}
