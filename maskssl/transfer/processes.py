"""Work that several processes share: each does a part, and all know all results."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from ..errors import MaskSSLError

Result = TypeVar("Result")
_ALONE = ContextVar("alone", default=False)
PATIENCE = timedelta(days=7)  # the first process may train while the others wait


def join_processes(device: str | None) -> str | None:
    """Join those that torchrun started on this node, over gloo: little is said between them.

    Args:
        device: asked for; None for a GPU of each process's own, if there are any.

    Returns:
        The device of this process.
    """
    dist.init_process_group("gloo", timeout=PATIENCE)
    if device or not torch.cuda.is_available():
        return device
    return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"


def usable_device(name: str) -> torch.device:
    """A device by name.

    Raises:
        MaskSSLError: torch knows none of that name, or cannot use it here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        told = str(error).splitlines()[0]
        raise MaskSSLError(f"--device {name} cannot be used ({told}); give cpu or cuda") from error
    return device


def rank_and_world() -> tuple[int, int]:
    """Number of this process, and how many there are."""
    if _ALONE.get() or not dist.is_initialized():
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this process shares no work: the others do something else, or wait."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def wait_for_all() -> None:
    """Go on when every process is here."""
    if rank_and_world()[1] > 1:
        dist.barrier()


def spread(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Results of all tasks, in order, of which each process does every so-manieth.

    Raises:
        MaskSSLError: a task raised it, in whichever process: then all of them do.
    """
    rank, world = rank_and_world()
    own: dict[int, Result | MaskSSLError] = {}
    for number in range(rank, len(tasks), world):
        try:
            own[number] = tasks[number]()
        except MaskSSLError as error:  # the others would wait for ever
            own[number] = error
            break
    found: list[dict[int, Result | MaskSSLError]] = [own]
    if world > 1:
        found = [{} for _ in range(world)]
        dist.all_gather_object(found, own)
    results: dict[int, Result] = {}
    for part in found:
        for number, result in part.items():
            if isinstance(result, MaskSSLError):
                raise result
            results[number] = result
    return [results[number] for number in range(len(tasks))]
