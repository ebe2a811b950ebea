"""mmengine's own loading of files, once this is imported: nothing in them can run code.

Of itself it falls back to unpickling anything: in ``load_from``, in ``init_cfg`` of any model, in
the stock tools.
"""

from collections.abc import Callable
from typing import Any

import torch
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor

from .reading import checkpoint_at, read_file
from .tree import map_leaves

# '' stands for a path without a scheme, which is tried last
PREFIXES = ("", "file://", "http://", "https://")


@CheckpointLoader.register_scheme(prefixes=PREFIXES, force=True)
def load_safely(
    filename: str, map_location: str | torch.device | Callable[..., Any] | None = None
) -> dict[str, Any]:
    """A checkpoint as ``read_file`` reads it.

    Args:
        filename: a path, or the address of a download.
        map_location: a device; anything else leaves the tensors on the CPU.

    Raises:
        CheckpointError: as there.
    """
    content = read_file(checkpoint_at(filename.removeprefix("file://")))
    if not isinstance(map_location, (str, torch.device)):
        return content

    def moved(_: str, leaf: Any) -> Any:
        return leaf.to(map_location) if isinstance(leaf, Tensor) else leaf

    return map_leaves(content, moved)
