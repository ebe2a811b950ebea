"""All that the package takes from mmengine, torch and Python without their promise to keep it.

Each function stands for one name that begins with an underscore and has no public counterpart;
tests/test_private_names.py tries them all and names the release that broke one.
"""

import atexit
from collections.abc import Callable
from typing import Any


def accumulative_counts(wrapper: Any) -> int:
    """Backward passes for each optimizer step, of an mmengine OptimWrapper."""
    return wrapper._accumulative_counts


def put_loop_at(loop: Any, iteration: int, epoch: int | None = None) -> None:
    """Let an mmengine training loop stand behind so many iterations (and epochs)."""
    loop._iter = iteration
    if epoch is not None:
        loop._epoch = epoch


def is_initialised(dataset: Any) -> bool:
    """Whether an mmengine dataset has read its list; its decorator force_full_init asks too."""
    return getattr(dataset, "_fully_initialized", False)


def mark_initialised(dataset: Any) -> None:
    """Note that an mmengine dataset has read its list."""
    dataset._fully_initialized = True


def tensors_of(module: Any) -> tuple[list[Any], list[Any]]:
    """Parameters and buffers of a torch module and those below it, each once.

    In the order of parameters() and buffers(), which make a name for each and take four times as
    long; that counts where it is done in every step.
    """
    parameters: dict[int, Any] = {}
    buffers: dict[int, Any] = {}

    def walk(part: Any) -> None:
        for tensor in part._parameters.values():
            if tensor is not None:
                parameters[id(tensor)] = tensor
        for tensor in part._buffers.values():
            if tensor is not None:
                buffers[id(tensor)] = tensor
        for child in part._modules.values():
            if child is not None:
                walk(child)

    walk(module)
    return list(parameters.values()), list(buffers.values())


def inductor_options(mode: str) -> dict[str, Any]:
    """Options that a mode of torch.compile stands for."""
    import torch  # light commands, which use this file too, do without it

    return dict(torch._inductor.list_mode_options(mode))


def inductor_knows(option: str) -> bool:
    """Whether this torch's inductor has an option."""
    import torch

    return option in torch._inductor.list_options()


def run_exit_functions() -> None:
    """Run what atexit has registered, now; it is not run again at the exit."""
    atexit._run_exitfuncs()


def keep_graphs_whole_under_ddp() -> None:
    """Have DistributedDataParallel not cut compiled graphs where its buckets end."""
    import torch

    torch._dynamo.config.optimize_ddp = False


def collate_by(kind: type, joined: Callable[..., Any]) -> None:
    """Have torch's default_collate join samples of a kind; its documentation shows it so."""
    from torch.utils.data._utils.collate import default_collate_fn_map

    default_collate_fn_map[kind] = joined
