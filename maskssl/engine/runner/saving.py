"""From a run to a checkpoint file: what is taken now, and what writes it whenever."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.dist import is_main_process
from mmengine.fileio import join_path
from mmengine.runner import save_checkpoint
from torch import Tensor

from ...checkpoints.shards import KEY, write_shards
from ...checkpoints.tree import map_leaves
from ...checkpoints.writing import is_local, told_plain, write_checkpoint
from ..sharding.options import ShardingError
from .content import training_content

if TYPE_CHECKING:
    from .runner import MaskSSLRunner

# entries of a checkpoint that hold no weights
_PLAIN = ("meta", "message_hub", "param_schedulers")


def taken(
    runner: "MaskSSLRunner",
    take: Callable[[str, Any], Any],
    out_dir: str,
    filename: str,
    meta: dict[str, Any] | None = None,
    by_epoch: bool = True,
    backend_args: dict | None = None,
    save_optimizer: bool = True,
    save_param_scheduler: bool = True,
) -> Callable[[], None]:
    """What writes a checkpoint, in any thread. All processes call it.

    Args:
        runner: training.
        take: of ``sharding.placing``; what it makes of the run's tensors now is what is written.
        out_dir: as of ``save_checkpoint``, like all that follows.
    """
    if not (runner.shared_out or is_main_process()):
        return _nothing
    done = dict(epoch=runner.epoch + int(by_epoch), iter=runner.iter + int(not by_epoch))
    content = training_content(
        runner, {**done, **(meta or {})}, save_optimizer, save_param_scheduler
    )
    runner.call_hook("before_save_checkpoint", checkpoint=content)
    path = join_path(out_dir, filename, backend_args=backend_args)
    local = is_local(path, backend_args)
    if not runner.saves_in_background and runner.shared_out:
        content = in_shards(content, path, local)
    content = map_leaves(content, take)
    if not is_main_process():
        return _nothing
    if local:
        return partial(write_checkpoint, content, path)
    return partial(save_checkpoint, told_plain(content), path, backend_args=backend_args)


def _nothing() -> None:
    """What a process that does not write has to do."""


def in_shards(content: dict[str, Any], path: str, local: bool) -> dict[str, Any]:
    """The content with its tensors in a folder that all processes write; all call it.

    Raises:
        ShardingError: the path is not on a file system.
    """
    if not local:
        raise ShardingError(
            f"sharding checkpoint='sharded' writes to a file system that all processes share, "
            f"and {path} is none; use checkpoint='whole'"
        )
    tensors: dict[str, Tensor] = {}

    def taken_out(name: str, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        tensors[name] = leaf
        return None

    states = {key: value for key, value in content.items() if key not in _PLAIN}
    rest = map_leaves(states, taken_out)
    return {**content, **rest, KEY: write_shards(tensors, Path(path))}
