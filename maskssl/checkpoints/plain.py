"""Tensors and plain values alone: what ``torch.load(weights_only=True)`` reads with no list."""

from collections import OrderedDict
from collections.abc import Mapping
from copy import copy
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device)
HISTORIES = "histories"  # of the message hub: what mmengine has as HistoryBuffers in log_scalars


def plain(node: Any, left_out: dict[str, str], path: str = "") -> Any:
    """A copy of a checkpoint's content that shares its tensors; the node itself is not touched.

    numpy's numbers and arrays become Python's, a module its state_dict, mappings dicts.

    Args:
        node: anything.
        left_out: takes up path -> type of what is none of these, in whose place None stands.
        path: of the node, as ``tree.map_leaves`` has it.
    """
    if isinstance(node, nn.Module):
        node = node.state_dict()
    if isinstance(node, Mapping):
        # with the versions that a state_dict carries as an attribute
        found = copy(node) if type(node) is OrderedDict else {}
        for key, value in node.items():
            if type(key) in (str, int):
                found[key] = plain(value, left_out, f"{path}/{key}".lstrip("/"))
            else:
                left_out[f"{path}/{key}"] = f"keys of {type(key).__name__}"
                found.pop(key, None)
        return found
    if isinstance(node, (list, tuple, set, frozenset)):
        kind = next((kind for kind in (list, tuple) if isinstance(node, kind)), set)
        return kind(plain(value, left_out, f"{path}/{at}") for at, value in enumerate(node))
    if isinstance(node, Tensor):
        return node if type(node) is Tensor else node.detach().as_subclass(Tensor)
    if isinstance(node, (np.ndarray, np.generic)):
        return plain(node.tolist(), left_out, path)
    if type(node) in PLAIN:
        return node
    if isinstance(node, (int, float)):  # of an enumeration, say
        return int(node) if isinstance(node, int) else float(node)
    if isinstance(node, str):
        return str.__str__(node)
    left_out[path] = type(node).__name__
    return None


def plain_content(content: Any, left_out: dict[str, str]) -> Any:
    """The same of a whole checkpoint, whose message hub keeps its logs: see ``mmengine_hub``."""
    hub = content.get("message_hub") if isinstance(content, dict) else None
    if isinstance(hub, dict) and "log_scalars" in hub:
        content = {**content, "message_hub": _plain_hub(hub)}
    return plain(content, left_out)


def _plain_hub(hub: Mapping[str, Any]) -> dict[str, Any]:
    """A message hub's state with its logs as tensors.

    mmengine's own reading finds no log in it, and everything else.
    """
    logs = {key: log for key, log in hub["log_scalars"].items() if isinstance(log, HistoryBuffer)}
    flags = hub.get("resumed_keys", {})
    kept = {key: flag for key, flag in flags.items() if key in hub["runtime_info"]}
    histories = {
        key: dict(
            log=torch.from_numpy(log.data[0]),
            count=torch.from_numpy(log.data[1]),
            max_length=log.max_length,
        )
        for key, log in logs.items()
    }
    histories = {**hub.get(HISTORIES, {}), **histories}
    return {**hub, "log_scalars": {}, "resumed_keys": kept, HISTORIES: histories}


def mmengine_hub(hub: Mapping[str, Any]) -> dict[str, Any]:
    """Back to the state that ``MessageHub.load_state_dict`` takes; one of mmengine's own stays."""
    found = dict(hub)
    logs = {
        key: HistoryBuffer(log["log"].numpy(), log["count"].numpy(), log["max_length"])
        for key, log in found.pop(HISTORIES, {}).items()
    }
    if logs:
        found["log_scalars"] = logs
        found["resumed_keys"] = {**found["resumed_keys"], **dict.fromkeys(logs, True)}
    return found
