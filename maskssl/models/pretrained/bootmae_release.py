"""The whole BootMAE model between maskssl's names and the released ones.

The release keeps a q and a v bias beside a bias-free qkv; here the qkv bias is fused
with a k part, which softmax ignores: zero on the way in, left out on the way out.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import MaskSSLError
from .naming import Names, inverse, our_name


def _decoder(ours: str, end: str) -> Names:
    return (
        (f"down{end}.", f"neck.{ours}.embed."),
        (f"mask_token{end}", f"neck.{ours}.mask_token"),
        (f"decode_blocks{end}.{{i}}.c_attn.q_bias", f"neck.{ours}.blocks.{{i}}.cross_attn.q.bias"),
        (f"decode_blocks{end}.{{i}}.c_attn.", f"neck.{ours}.blocks.{{i}}.cross_attn."),
        (f"decode_blocks{end}.", f"neck.{ours}.blocks."),
        (f"decode_norm{end}.", f"neck.{ours}.norm."),
    )


NAMES: Names = (
    *((name, f"backbone.{name}") for name in ("cls_token", "pos_embed")),
    *((part, f"backbone.{part}") for part in ("patch_embed.", "blocks.", "norm.")),
    ("de_pos_embed", "neck.pixel_position"),
    ("lm_head.proj.", "neck.to_pixels."),
    ("lm_head_1.", "neck.to_features."),
    *_decoder("pixel", ""),
    *_decoder("feature", "_1"),
)


def to_released(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """maskssl's BootMAE weights under the released names, teacher left out.

    Args:
        state_dict: of a BootMAE model.

    Returns:
        What the release keeps under 'model'.
    """
    released: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        key = our_name(name, inverse(NAMES))
        stem = key.rpartition(".attn.")[0]
        if key == name:
            continue
        if key.endswith(".attn.qkv.bias"):
            released[f"{stem}.attn.q_bias"], _, released[f"{stem}.attn.v_bias"] = value.chunk(3)
        elif key.endswith(".c_attn.kv.bias"):
            released[key.replace("kv.bias", "v_bias")] = value.chunk(2)[1]
        else:
            released[key] = value
    return released


def from_released(
    model: Mapping[str, Tensor], model_ema: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """Released weights under maskssl's names, ready for ``BootMAE.load_state_dict``.

    Args:
        model: the release's 'model'.
        model_ema: the release's 'model_ema'; only its encoder is used. The student
            stands in when None.

    Raises:
        MaskSSLError: a tensor that the table does not know.
    """
    fused = _fused(model)
    ours = {our_name(key, NAMES): value for key, value in fused.items()}
    if strange := fused.keys() & ours.keys():
        raise MaskSSLError(
            f"{min(strange)} is no tensor of a BootMAE release; is this another method's file?"
        )
    for key, value in _fused(model if model_ema is None else model_ema).items():
        if our_name(key, NAMES) == f"backbone.{key}":
            ours[f"target_generator.encoder.{key}"] = value
    return ours


def _fused(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With the biases of q and v as one, or of v alone, which follows k where attention crosses."""
    fused: dict[str, Tensor] = {}
    for key, value in tensors.items():
        stem, _, leaf = key.rpartition(".")
        crosses = stem.endswith(".c_attn")
        if leaf == "v_bias" and crosses:
            fused[f"{stem}.kv.bias"] = torch.cat([torch.zeros_like(value), value])
        elif leaf == "q_bias" and not crosses:
            v_bias = tensors[f"{stem}.v_bias"]
            fused[f"{stem}.qkv.bias"] = torch.cat([value, torch.zeros_like(v_bias), v_bias])
        elif leaf != "v_bias":
            fused[key] = value
    return fused
