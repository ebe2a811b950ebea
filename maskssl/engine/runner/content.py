"""What a training checkpoint holds."""

import time
from typing import Any

import mmengine
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from ...checkpoints.errors import CheckpointError
from ...errors import MaskSSLError
from ..unwrapping import unwrapped


def training_content(
    runner: Runner, meta: dict[str, Any], save_optimizer: bool, save_param_scheduler: bool
) -> dict[str, Any]:
    """The content of a checkpoint, as mmengine lays it out and resumes it.

    Tensors are the run's own, wherever they lie. Every process of a sharded run calls it.

    Args:
        runner: training.
        meta: 'epoch' and 'iter' that the checkpoint stands at.
        save_optimizer: with the optimizer's state.
        save_param_scheduler: with the schedules'.
    """
    facts = dict(
        cfg=runner.cfg.pretty_text,
        seed=runner.seed,
        experiment_name=runner.experiment_name,
        time=time.strftime("%Y%m%d_%H%M%S"),
        mmengine_version=mmengine.__version__,
    )
    metainfo = getattr(runner.train_dataloader.dataset, "metainfo", None)
    if metainfo is not None:
        facts["dataset_meta"] = metainfo
    content: dict[str, Any] = dict(
        meta={**meta, **facts},
        state_dict=unwrapped(runner.model).state_dict(),
        message_hub=runner.message_hub.state_dict(),
    )
    if save_optimizer:
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            raise MaskSSLError(
                f"the optimizer {runner.optim_wrapper!r} is not built yet, so its state cannot be "
                "saved; save in training, or with save_optimizer=False"
            )
        content["optimizer"] = runner.optim_wrapper.state_dict()
    if save_param_scheduler and runner.param_schedulers is not None:
        content["param_schedulers"] = _scheduler_states(runner.param_schedulers)
    return content


def _scheduler_states(schedulers: Any) -> Any:
    if isinstance(schedulers, dict):  # of several optimizers
        return {name: _scheduler_states(own) for name, own in schedulers.items()}
    return [scheduler.state_dict() for scheduler in schedulers]


def check_resumable(checkpoint: dict[str, Any], filename: str) -> None:
    """Refuse what ``training_content`` did not make, with the optimizer's state.

    Raises:
        CheckpointError: says what is missing.
    """
    missing = {"meta", "optimizer", "message_hub", "state_dict"} - checkpoint.keys()
    if missing:
        raise CheckpointError(
            f"{filename} was not saved in the middle of a training: it has no "
            f"{', '.join(sorted(missing))}. To start from its weights use load_from, or "
            "--pretrained for a backbone"
        )
