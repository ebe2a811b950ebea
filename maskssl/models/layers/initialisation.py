"""Weight initialisation as the authors' code does it."""

import math

from torch import nn


def init_linears(module: nn.Module, split_qkv: bool = True) -> None:
    """Xavier-uniform weights and zero biases for every linear layer below ``module``.

    Args:
        module: changed in place.
        split_qkv: treat the fused q, k, v projection as three layers (BootMAE) or as
            one wide layer (ExtreMA).
    """
    for name, layer in module.named_modules():
        if not isinstance(layer, nn.Linear):
            continue
        fan_out, fan_in = layer.weight.shape
        if split_qkv and name.split(".")[-1] == "qkv":
            fan_out //= 3
        bound = math.sqrt(6 / (fan_in + fan_out))
        nn.init.uniform_(layer.weight, -bound, bound)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def init_patch_embed(proj: nn.Conv2d, zero_bias: bool = True) -> None:
    """Treat the patch projection as a linear layer from a patch's pixels (MoCo v3).

    Args:
        proj: convolution with kernel = stride = patch size; changed in place.
        zero_bias: zero the bias (BootMAE) or keep PyTorch's default (ExtreMA).
    """
    fan_in = proj.in_channels * math.prod(proj.kernel_size)
    bound = math.sqrt(6 / (fan_in + proj.out_channels))
    nn.init.uniform_(proj.weight, -bound, bound)
    if zero_bias and proj.bias is not None:
        nn.init.zeros_(proj.bias)


def init_mask_token(token: nn.Parameter, std: float = 0.02) -> None:
    """Normal, cut at one standard deviation."""
    nn.init.trunc_normal_(token, std=std, a=-std, b=std)
