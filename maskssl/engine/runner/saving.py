"""From a run to a checkpoint file: what is taken now, and what writes it whenever."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from mmengine.dist import is_main_process
from mmengine.fileio import join_path
from mmengine.runner import save_checkpoint
from torch import Tensor

from ...checkpoints.shards import KEY, ShardsWriter
from ...checkpoints.tree import map_leaves
from ...checkpoints.writing import is_local, told_plain, write_checkpoint
from ..sharding.options import ShardingError
from .content import training_content

if TYPE_CHECKING:
    from .runner import MaskSSLRunner

# entries of a checkpoint that hold no weights
_PLAIN = ("meta", "message_hub", "param_schedulers")


class Taken(NamedTuple):
    """A checkpoint that is not on the disk yet.

    Attributes:
        write: what takes long, in any thread of each process.
        finish: what all processes do together when each has written, in their main threads: the
            checkpoint counts from then on, or is removed if it is not wanted. None where ``write``
            does all.
    """

    write: Callable[[], None]
    finish: Callable[[bool], None] | None = None


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
) -> Taken:
    """Take a checkpoint. All processes call it.

    Args:
        runner: training.
        take: of ``sharding.placing``; what it makes of the run's tensors now is what is written.
        out_dir: as of ``save_checkpoint``, like all that follows.
    """
    if not (runner.shared_out or is_main_process()):
        return Taken(_nothing)
    done = dict(epoch=runner.epoch + int(by_epoch), iter=runner.iter + int(not by_epoch))
    content = training_content(
        runner, {**done, **(meta or {})}, save_optimizer, save_param_scheduler
    )
    runner.call_hook("before_save_checkpoint", checkpoint=content)
    path = join_path(out_dir, filename, backend_args=backend_args)
    local = is_local(path, backend_args)
    if runner.shared_out and getattr(runner.sharding, "checkpoint", "whole") == "sharded":
        content, tensors = without_tensors(content, path, local)
        shards = ShardsWriter(tensors, path)
        return Taken(shards.write, partial(_finish, shards, map_leaves(content, take), path))
    content = map_leaves(content, take)
    if not is_main_process():
        return Taken(_nothing)
    if local:
        return Taken(partial(write_checkpoint, content, path))
    content = told_plain(content)
    return Taken(partial(save_checkpoint, content, path, backend_args=backend_args))


def _nothing() -> None:
    """What a process that does not write has to do."""


def _finish(shards: ShardsWriter, content: dict[str, Any], path: str, wanted: bool) -> None:
    facts = shards.finish(wanted)
    if wanted and is_main_process():
        write_checkpoint({**content, KEY: facts}, path)


def without_tensors(
    content: dict[str, Any], path: str, local: bool
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The content for a file that lies beside its shards, and the tensors that these hold.

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
    return {**content, **rest}, tensors
