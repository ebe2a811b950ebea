"""What config.json and preprocessor_config.json beside a file of weights say of the model.

Both of Hugging Face's and of timm's making; the answer has the form of ``saved_model``.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...checkpoints.errors import CheckpointError


def config_beside(path: str | Path) -> dict[str, Any]:
    """``backbone`` and ``data_preprocessor`` as far as they are told; empty without the files.

    Raises:
        CheckpointError: a file that is no JSON, or a model that PlainViT does not compute.
    """
    folder = Path(path).parent
    config, pictures = (
        _json(folder / name) for name in ("config.json", "preprocessor_config.json")
    )
    _check_activation(config, folder / "config.json")
    backbone: dict[str, Any] = {}
    if isinstance(config.get("num_attention_heads"), int):
        backbone["arch"] = dict(num_heads=config["num_attention_heads"])
    if config.get("num_classes") and "global_pool" in config:  # timm; without a head nobody pools
        backbone["out_type"] = config["global_pool"]
    for theirs, ours in (("layer_norm_eps", "norm_eps"), ("image_size", "img_size")):
        if theirs in config:
            backbone[ours] = config[theirs]
    rope = config.get("rope_theta", (config.get("rope_parameters") or {}).get("rope_theta"))
    if rope is not None:
        backbone["rotary_base"] = rope
    found: dict[str, Any] = dict(backbone=backbone) if backbone else {}
    timm = config.get("pretrained_cfg") or {}
    mean = pictures.get("image_mean") or timm.get("mean")
    std = pictures.get("image_std") or timm.get("std")
    if mean and std:
        found["data_preprocessor"] = dict(mean=_in_255(mean), std=_in_255(std))
    return found


def _check_activation(config: Mapping[str, Any], path: Path) -> None:
    """DINOv2's gated MLPs (``use_swiglu_ffn``) are SiLU's whatever ``hidden_act`` says."""
    gated = bool(config.get("use_gated_mlp"))
    given, computed = config.get("hidden_act", "gelu"), "silu" if gated else "gelu"
    if ("hidden_act" in config or gated) and given != computed:
        raise CheckpointError(
            f"{path} says hidden_act={given!r}; PlainViT computes {computed!r} in "
            f"{'gated' if gated else 'plain'} MLPs"
        )


def _in_255(values: list[float]) -> list[float]:
    """0..1 -> 0..255, without the digits that floating point adds."""
    return [round(255 * value, 6) for value in values]


def _json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise CheckpointError(
            f"{path} cannot be read as JSON ({error}); mend or remove it"
        ) from error
    return content if isinstance(content, dict) else {}
