"""A collated batch as tensors and plain values, which torch.load reads without running code.

Data samples, instances, boxes and masks of OpenMMLab become dicts that name their class; going
back, only classes of the four ``structures`` packages are made.
"""

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import MaskSSLError

KIND = "__kind__"  # marks a dict that stands for something else
PACKAGES = tuple(f"{scope}.structures" for scope in ("mmengine", "mmpretrain", "mmseg", "mmdet"))


def to_plain(value: Any, dropped: list[str]) -> Any:
    """A copy of a value, on the CPU, that ``torch.load(weights_only=True)`` can read.

    Args:
        value: tensors, arrays, numbers, text, data samples, and containers of them. An object of
            a class derived from a known one becomes the known one, with all its fields.
        dropped: gets the type of each object that cannot be kept; None takes its place.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, np.generic):
        return to_plain(value.item(), dropped)
    if isinstance(value, np.ndarray):
        return _plain_array(value, dropped)
    if isinstance(value, dict):
        return {key: to_plain(item, dropped) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [to_plain(item, dropped) for item in value]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, (set, frozenset)):
        return {KIND: "set", "items": [to_plain(item, dropped) for item in value]}
    known = next((kind for kind in type(value).__mro__ if _is_structure(kind)), None)
    if known is None:
        dropped.append(f"{type(value).__module__}.{type(value).__qualname__}")
        return None
    state = to_plain(vars(value), dropped)
    return {KIND: "object", "module": known.__module__, "name": known.__name__, "state": state}


def from_plain(value: Any) -> Any:
    """The batch that ``to_plain`` was given.

    Raises:
        MaskSSLError: an object of a class outside the four ``structures`` packages.
    """
    if isinstance(value, list):
        return [from_plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(from_plain(item) for item in value)
    if not isinstance(value, dict):
        return value
    kind = value.get(KIND)
    if kind == "set":
        return {from_plain(item) for item in value["items"]}
    if kind == "array":
        content = value["value"]
        content = content.numpy() if isinstance(content, Tensor) else content
        return np.array(content, dtype=value["dtype"])
    if kind == "object":
        made: Any = object.__new__(_structure(value["module"], value["name"]))
        vars(made).update(from_plain(value["state"]))
        return made
    return {key: from_plain(item) for key, item in value.items()}


def _plain_array(array: np.ndarray, dropped: list[str]) -> Any:
    """Text and odd number types go as lists, the rest as tensors."""
    if array.dtype.hasobject or array.dtype.names:
        dropped.append(f"numpy array of {array.dtype}")
        return None
    try:
        content: Any = torch.from_numpy(np.ascontiguousarray(array).copy()).reshape(array.shape)
    except TypeError:  # torch has no such number type
        content = array.tolist()
    return {KIND: "array", "dtype": array.dtype.str, "value": content}


def _is_structure(kind: type) -> bool:
    return any(f"{kind.__module__}.".startswith(f"{package}.") for package in PACKAGES)


def _structure(module: str, name: str) -> type:
    """A class of the structures packages by its name."""
    found = None
    if any(f"{module}.".startswith(f"{package}.") for package in PACKAGES):
        found = getattr(import_module(module), name, None)
    if not isinstance(found, type) or not _is_structure(found):
        raise MaskSSLError(
            f"the record refers to {module}.{name}, which is no data structure of "
            f"{', '.join(PACKAGES)}; it was not written by FiniteStepHook"
        )
    return found
