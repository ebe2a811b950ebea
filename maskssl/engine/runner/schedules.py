"""Put schedules of lr, momentum and weight decay at any place of a run."""

import copy

from mmengine.hooks import ParamSchedulerHook
from mmengine.runner import Runner

INITIAL = "initial_"  # what schedulers prefix a group's values with, to keep where they began


def scale_initial(runner: Runner, ratio: float) -> None:
    """Let the lr begin at another value, for ``wind_schedules``, and be it in proportion."""
    for group in runner.optim_wrapper.param_groups:
        group[f"{INITIAL}lr"] = group.get(f"{INITIAL}lr", group["lr"]) * ratio
        group["lr"] *= ratio  # stays where no schedule is wound


def wind_schedules(runner: Runner, iterations: int, epochs: int) -> bool:
    """Build the config's schedules anew and step them to where such a run would have them.

    For a run whose epochs have another length than those of its checkpoint, in which schedules
    count the old iterations, or whose lr begins elsewhere.

    Args:
        runner: with its optimizer's state loaded.
        iterations: done.
        epochs: finished.

    Returns:
        Whether the config names any.
    """
    config = runner.cfg.get("param_scheduler")
    if not config:
        runner.logger.warning(
            "the config names no param_scheduler: schedules, if there are any, go on by the "
            "number of iterations that the checkpoint counts"
        )
        return False
    for group in runner.optim_wrapper.param_groups:
        for key in [key for key in group if key.startswith(INITIAL)]:
            group[key.removeprefix(INITIAL)] = group[key]
    runner.param_schedulers = runner.build_param_scheduler(copy.deepcopy(config))
    hook, length = ParamSchedulerHook(), len(runner.train_dataloader)
    for done in range(1, iterations + 1):
        hook.after_train_iter(runner, 0)
        if done % length == 0 and done // length <= epochs:
            hook.after_train_epoch(runner)
    return True
