"""Blocks whose activations are computed again in the backward instead of kept."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...errors import MaskSSLError


def recomputed_blocks(with_cp: bool | Sequence[int], num_blocks: int) -> frozenset[int]:
    """Blocks that an option ``with_cp`` names: all, none, or those listed, counted from 0.

    Raises:
        MaskSSLError: there is no such block.
    """
    if isinstance(with_cp, bool):
        return frozenset(range(num_blocks) if with_cp else ())
    unknown = [index for index in with_cp if not 0 <= index < num_blocks]
    if unknown:
        raise MaskSSLError(
            f"with_cp={list(with_cp)} names blocks {unknown} of {num_blocks}; use True, False or "
            f"a list of 0 to {num_blocks - 1}"
        )
    return frozenset(with_cp)


def run_block(block: nn.Module, recompute: bool, *inputs: Any) -> Tensor:
    """Run a block; with ``recompute`` and in training it keeps its inputs alone."""
    if recompute and block.training and torch.is_grad_enabled():
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)
