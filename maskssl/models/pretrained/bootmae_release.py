"""The whole BootMAE model between maskssl's names and the released ones.

The release keeps a q and a v bias beside a bias-free qkv; here the qkv bias is fused
with a k part, which softmax ignores: zero on the way in, left out on the way out.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import MaskSSLError

# ours -> released, prefixes; the decoders' suffix is '' for pixels, '_1' for features
_PREFIXES = (
    ("backbone.", ""),
    ("neck.pixel_position", "de_pos_embed"),
    ("neck.to_pixels.", "lm_head.proj."),
    ("neck.to_features.", "lm_head_1."),
    ("neck.pixel.embed.", "down."),
    ("neck.pixel.mask_token", "mask_token"),
    ("neck.pixel.blocks.", "decode_blocks."),
    ("neck.pixel.norm.", "decode_norm."),
    ("neck.feature.embed.", "down_1."),
    ("neck.feature.mask_token", "mask_token_1"),
    ("neck.feature.blocks.", "decode_blocks_1."),
    ("neck.feature.norm.", "decode_norm_1."),
)
_ENCODER_ROOTS = ("cls_token", "pos_embed", "patch_embed.", "blocks.", "norm.")


def to_released(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """maskssl's BootMAE weights under the released names, teacher left out.

    Args:
        state_dict: of a BootMAE model.

    Returns:
        What the release keeps under 'model'.
    """
    released: dict[str, Tensor] = {}
    for name, value in state_dict.items():
        ours, theirs = next(((o, t) for o, t in _PREFIXES if name.startswith(o)), (None, None))
        if ours is None or theirs is None:
            continue
        key = (theirs + name[len(ours) :]).replace(".cross_attn.", ".c_attn.")
        if key.endswith(".attn.qkv.bias"):
            q_bias, _, v_bias = value.chunk(3)
            released[key.replace("qkv.bias", "q_bias")] = q_bias
            released[key.replace("qkv.bias", "v_bias")] = v_bias
        elif key.endswith(".c_attn.q.bias"):
            released[key.replace("q.bias", "q_bias")] = value
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
    ours = {_our_name(key): value for key, value in _fused(model).items()}
    teacher = _fused(model if model_ema is None else model_ema)
    for key, value in teacher.items():
        if key.startswith(_ENCODER_ROOTS):
            ours[f"target_generator.encoder.{key}"] = value
    return ours


def _our_name(key: str) -> str:
    if key.startswith(_ENCODER_ROOTS):
        return f"backbone.{key}"
    known = [(mine, theirs) for mine, theirs in _PREFIXES if theirs and key.startswith(theirs)]
    if known:
        mine, theirs = max(known, key=lambda pair: len(pair[1]))  # mask_token_1 before mask_token
        return mine + key[len(theirs) :]
    raise MaskSSLError(f"{key} is no tensor of a BootMAE release; is this another method's file?")


def _fused(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    fused: dict[str, Tensor] = {}
    for key, value in tensors.items():
        stem, _, leaf = key.rpartition(".")
        name = stem.replace(".c_attn", ".cross_attn")
        cross = stem.endswith(".c_attn")
        if leaf == "q_bias" and cross:
            fused[f"{name}.q.bias"] = value
        elif leaf == "v_bias" and cross:
            fused[f"{name}.kv.bias"] = torch.cat([torch.zeros_like(value), value])
        elif leaf == "q_bias":
            v_bias = tensors[f"{stem}.v_bias"]
            fused[f"{name}.qkv.bias"] = torch.cat([value, torch.zeros_like(v_bias), v_bias])
        elif leaf != "v_bias":
            fused[re.sub(r"\.c_attn\.", ".cross_attn.", key)] = value
    return fused
