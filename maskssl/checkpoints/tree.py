"""Nested dicts and lists, as checkpoints are made of, leaf by leaf."""

import copy
from collections.abc import Callable
from typing import Any


def map_leaves(node: Any, function: Callable[[str, Any], Any], path: str = "") -> Any:
    """A copy with every leaf replaced; the node itself is not touched.

    Args:
        node: dicts, lists and tuples in each other; everything else is a leaf.
        function: (path, leaf) -> what stands there in the copy. Paths are like
            'state_dict/backbone.cls_token' and 'optimizer/state/0/exp_avg'.
        path: of the node.
    """
    if isinstance(node, dict):
        found = copy.copy(node)  # with the versions that a state_dict carries as an attribute
        for key, value in node.items():
            found[key] = map_leaves(value, function, _join(path, key))
        return found
    if isinstance(node, (list, tuple)):
        return type(node)(
            map_leaves(value, function, _join(path, index)) for index, value in enumerate(node)
        )
    return function(path, node)


def _join(path: str, key: Any) -> str:
    return f"{path}/{key}" if path else str(key)
