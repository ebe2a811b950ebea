"""What a PlainViT may be asked for: architectures and outputs, with checks of both."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ...errors import MaskSSLError
from ..layers.depth import checked_depth

ARCHS: dict[str, dict[str, int]] = {
    # ours, for trying things out; the field's ViT-Ti is 192 wide and 12 deep
    "mini": dict(embed_dims=96, num_layers=4, num_heads=3),
    "small": dict(embed_dims=384, num_layers=12, num_heads=6),
    "base": dict(embed_dims=768, num_layers=12, num_heads=12),
    "large": dict(embed_dims=1024, num_layers=24, num_heads=16),
}
OUT_TYPES = ("tokens", "cls", "avg", "featmap")


def arch_settings(arch: str | dict[str, Any]) -> dict[str, Any]:
    """Width, depth and heads of a named architecture, or of a dict, checked.

    Raises:
        MaskSSLError: an unknown name, or a dict with missing or unknown keys.
    """
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise MaskSSLError(f"arch={arch!r} is unknown; use one of {sorted(ARCHS)} or a dict")
        return dict(ARCHS[arch])
    missing = {"embed_dims", "num_layers", "num_heads"} - arch.keys()
    unknown = arch.keys() - {"embed_dims", "num_layers", "num_heads", "mlp_ratio"}
    if missing or unknown:
        raise MaskSSLError(
            f"arch needs embed_dims, num_layers and num_heads (mlp_ratio is optional); missing "
            f"{sorted(missing)}, unknown {sorted(unknown)}"
        )
    checked_depth("arch", arch["num_layers"])
    if arch["num_heads"] < 1 or arch["embed_dims"] % arch["num_heads"]:
        raise MaskSSLError(
            f"arch has embed_dims={arch['embed_dims']}, which num_heads={arch['num_heads']} does "
            "not divide; set one of them so that it does"
        )
    return dict(arch)


def check_tokens(
    out_type: str,
    with_cls_token: bool,
    class_attention: dict[str, Any] | None,
    num_registers: int = 0,
    rel_pos_bias: bool = False,
) -> None:
    """Refuse outputs and tokens that do not go together.

    Raises:
        MaskSSLError: says which setting to change: an unknown output, two cls tokens, an output
            'cls' without any, or registers with relative positions.
    """
    if out_type not in OUT_TYPES:
        raise MaskSSLError(f"out_type={out_type!r} is unknown; use one of {OUT_TYPES}")
    if with_cls_token and class_attention is not None:
        raise MaskSSLError(
            "class attention brings a cls token on top of the blocks; set with_cls_token=False, "
            "or class_attention=None"
        )
    if num_registers and rel_pos_bias:
        raise MaskSSLError(
            "relative positions know no registers; set num_registers=0 or rel_pos_bias=False"
        )
    if out_type == "cls" and not with_cls_token and class_attention is None:
        raise MaskSSLError(
            "out_type='cls' needs with_cls_token=True, or class_attention; use 'avg' without one"
        )


def checked_indices(out_indices: Sequence[int] | int | None, num_layers: int) -> tuple[int, ...]:
    """Out indices counted from 0; None is the last block, a number is one, as mmpretrain has it.

    Raises:
        MaskSSLError: they do not increase, or lie outside the blocks.
    """
    if out_indices is None:
        return (num_layers - 1,)
    out_indices = (out_indices,) if isinstance(out_indices, int) else out_indices
    indices = tuple(index + num_layers if index < 0 else index for index in out_indices)
    increasing = all(a < b for a, b in zip(indices, indices[1:], strict=False))
    if not indices or not increasing or not 0 <= indices[0] <= indices[-1] < num_layers:
        raise MaskSSLError(
            f"out_indices={list(out_indices)} must increase and lie in 0..{num_layers - 1}"
        )
    return indices


def shape_output(tokens: Tensor, out_type: str, num_prefix: int, grid: tuple[int, int]) -> Tensor:
    """A block's output as one of OUT_TYPES.

    Args:
        tokens: (B, num_prefix + N, C).
        out_type: 'tokens' (B, num_prefix + N, C), 'cls' (B, C), 'avg' (B, C) or 'featmap'
            (B, C, h, w).
        num_prefix: tokens in front of the patches.
        grid: (h, w) of the patches.
    """
    patches = tokens[:, num_prefix:]
    if out_type == "cls":
        return tokens[:, 0]
    if out_type == "avg":
        return patches.mean(dim=1)
    if out_type == "featmap":
        return patches.transpose(1, 2).unflatten(2, grid).contiguous()  # (B, C, h, w)
    return tokens
