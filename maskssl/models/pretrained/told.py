"""What a file, or config.json beside it, says of its model: read as values, never run, and checked.

Both of Hugging Face's and timm's config.json and preprocessor_config.json are known.
"""

import ast
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F

from ...checkpoints.errors import CheckpointError
from ..layers.position import RESIZES


def told_config(content: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """``backbone`` and ``data_preprocessor`` of the config in a file, or else of those beside it.

    Args:
        content: as ``read_checkpoint`` returns it.
        path: of the file.

    Raises:
        CheckpointError: a file beside it that is no JSON, a model that PlainViT does not compute,
            or a value of another kind than it has to be.
    """
    saved = saved_model(content)
    place = "in" if saved else "beside"
    return _checked(saved or config_beside(path), f"the config {place} {path}")


def saved_model(content: Mapping[str, Any]) -> dict[str, Any]:
    """The ``model`` of the config that mmengine saves in a checkpoint; empty without one.

    The text is read as literals and calls of ``dict``, and not executed; an entry that is neither
    is left out. A preprocessor beside the model, as mmpretrain has it, counts as the model's own.

    Args:
        content: as ``read_checkpoint`` returns it.
    """
    meta = content.get("meta")
    text = meta.get("cfg") if isinstance(meta, Mapping) else None
    if not isinstance(text, str):
        return {}
    entries: dict[str, Any] = {}
    try:
        lines = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # not of mmengine's writing
        return {}
    for line in lines:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
            with suppress(ValueError, TypeError, RecursionError):  # no literal
                entries[line.targets[0].id] = _literal(line.value)
    model = entries.get("model")
    model = dict(model) if isinstance(model, dict) else {}
    if "data_preprocessor" in entries and not model.get("data_preprocessor"):
        model["data_preprocessor"] = entries["data_preprocessor"]
    return model


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {word.arg: _literal(word.value) for word in node.keywords if word.arg}
    if isinstance(node, ast.Dict):
        pairs = zip(node.keys, node.values, strict=True)
        return {_literal(key): _literal(value) for key, value in pairs if key}
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(item) for item in node.elts]
    return ast.literal_eval(node)


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
    if "num_attention_heads" in config:
        backbone["arch"] = dict(num_heads=config["num_attention_heads"])
        if "hidden_size" in config:
            backbone["arch"]["embed_dims"] = config["hidden_size"]
    if config.get("num_classes") and "global_pool" in config:  # timm; without a head nobody pools
        backbone["out_type"] = config["global_pool"]
    for theirs, ours in (("layer_norm_eps", "norm_eps"), ("image_size", "img_size")):
        if theirs in config:
            backbone[ours] = config[theirs]
    for told in (config.get("rope_parameters"), config):
        if isinstance(told, dict) and "rope_theta" in told:
            backbone["rotary_base"] = told["rope_theta"]
    stated = config.get("pretrained_cfg")
    of_timm: dict[str, Any] = stated if isinstance(stated, dict) else {}
    size = of_timm.get("input_size")  # channels, height, width
    if isinstance(size, list) and len(size) == 3:
        backbone.setdefault("img_size", size[1:])
    found: dict[str, Any] = dict(backbone=backbone) if backbone else {}
    mean = pictures.get("image_mean") or of_timm.get("mean")
    std = pictures.get("image_std") or of_timm.get("std")
    if mean and std:
        found["data_preprocessor"] = dict(mean=_in_255(mean), std=_in_255(std))
    return found


def _check_activation(config: Mapping[str, Any], path: Path) -> None:
    if config.get("use_swiglu_ffn"):  # DINOv2's are SiLU's, whatever else it says
        return
    gated = bool(config.get("use_gated_mlp"))
    _check_architecture(config.get("architecture"), path)
    given, computed = config.get("hidden_act", "gelu"), "silu" if gated else "gelu"
    if ("hidden_act" in config or gated) and given != computed:
        raise CheckpointError(
            f"{path} says hidden_act={given!r}; PlainViT computes {computed!r} in "
            f"{'gated' if gated else 'plain'} MLPs"
        )


def _check_architecture(name: Any, path: Path) -> None:
    """timm's config.json names an architecture alone, and its activation stands in timm's code."""
    if not isinstance(name, str) or not timm.is_model(name):
        return
    with torch.device("meta"):
        blocks = getattr(timm.create_model(name), "blocks", None)
    activation = getattr(getattr(blocks and blocks[0], "mlp", None), "act", None)
    one = torch.ones(1)
    if activation is None or activation(one).item() in (F.gelu(one).item(), F.silu(one).item()):
        return
    raise CheckpointError(
        f"{path} says architecture={name!r}, whose MLPs compute {type(activation).__name__}; "
        "PlainViT computes 'gelu'"
    )


def _in_255(values: Any) -> Any:
    """0..1 -> 0..255, without the digits that floating point adds; no numbers stay as they are."""
    return [round(255 * value, 6) for value in values] if _channels(values) else values


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


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and value > 0


def _whole(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _size(value: Any) -> bool:
    return _whole(value) or (
        isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_whole, value))
    )


def _channels(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(v, (int, float)) for v in value)


def _arch(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, dict) and ("num_heads" not in value or _whole(value["num_heads"]))
    )


_KINDS: dict[str, dict[str, tuple[Callable[[Any], bool], str]]] = dict(
    backbone=dict(
        arch=(_arch, "a name, or a dict whose num_heads is a whole number"),
        img_size=(_size, "a side in pixels, or two"),
        norm_eps=(_number, "a number above 0"),
        rotary_base=(_number, "a number above 0"),
        pos_resize=(lambda value: value in RESIZES, f"one of {RESIZES}"),
    ),
    data_preprocessor=dict(
        mean=(_channels, "a list of numbers"), std=(_channels, "a list of numbers")
    ),
)


def _checked(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The two parts that are read, without what is None."""
    found: dict[str, Any] = {}
    for part, kinds in _KINDS.items():
        given = config.get(part)
        if not isinstance(given, Mapping):
            continue
        found[part] = {key: value for key, value in given.items() if value is not None}
        for key, (fits, kind) in kinds.items():
            if key in found[part] and not fits(found[part][key]):
                raise CheckpointError(
                    f"{where} says {part}.{key}={found[part][key]!r}, which should be {kind}; mend "
                    "it, or take the config away"
                )
    return found
