"""Let mmengine write and read its checkpoints whole or not at all."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import mmengine.runner
import mmengine.runner.checkpoint
import mmengine.runner.runner
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, get_file_backend

from ...checkpoints.reading import read_checkpoint
from ...checkpoints.writing import write_checkpoint

Joined = Callable[[dict[str, Any], str], dict[str, Any]]
# Where mmengine looks its save_checkpoint up: Runner; strategies; publishing.
_CALLERS: tuple[ModuleType, ...] = (
    mmengine.runner.runner,
    mmengine.runner.checkpoint,
    mmengine.runner,
)


@contextmanager
def whole_files(joined: Joined | None = None) -> Iterator[None]:
    """Let mmengine save local checkpoints through ``write_checkpoint`` meanwhile.

    mmengine builds the content and then calls one function to write it; that function is
    replaced and nothing else. Files on other storage are written as before.

    Args:
        joined: (checkpoint, path) -> what the main process writes; all processes call it if
            all of them save.
    """
    before = [caller.save_checkpoint for caller in _CALLERS]
    stock = before[0]

    def save(
        checkpoint: dict[str, Any],
        filename: str,
        file_client_args: dict[str, Any] | None = None,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        if joined is not None:
            checkpoint = joined(checkpoint, filename)
        if not is_main_process():
            return
        if file_client_args is None and is_local(filename, backend_args):
            write_checkpoint(checkpoint, filename)
        else:
            stock(checkpoint, filename, file_client_args, backend_args)

    try:
        for caller in _CALLERS:
            caller.save_checkpoint = save  # type: ignore[attr-defined]
        yield
    finally:
        for caller, function in zip(_CALLERS, before, strict=True):
            caller.save_checkpoint = function  # type: ignore[attr-defined]


@contextmanager
def whole_reads() -> Iterator[None]:
    """Let mmengine read checkpoints through ``read_checkpoint`` meanwhile, shards included."""
    stock = mmengine.runner.checkpoint._load_checkpoint
    mmengine.runner.checkpoint._load_checkpoint = read_checkpoint
    try:
        yield
    finally:
        mmengine.runner.checkpoint._load_checkpoint = stock


def is_local(path: str, backend_args: dict[str, Any] | None) -> bool:
    """Whether mmengine would write a path to this machine's file system."""
    return isinstance(get_file_backend(path, backend_args=backend_args), LocalBackend)
