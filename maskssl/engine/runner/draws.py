"""What fixes a training loop's draws goes into its checkpoints, and a resumed run keeps to it."""

from typing import Any

from mmengine.dist import broadcast_object_list, get_world_size
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from ...datasets.draws.facts import (
    Facts,
    data_hash,
    described,
    images_per_step,
    refusal,
    sampler_fact,
    settled,
)
from ...errors import MaskSSLError
from ...private_names import accumulative_counts
from .configured import configured, differing_groups, differing_schedules
from .schedules import scale_initial, wind_schedules

# keys of the message hub
DRAWS = "draws"
CHANGED = "draws_changed_at"  # iterations done when new draws were accepted
EPOCH_LENGTH = "iterations_per_epoch"


def loader_facts(loader: DataLoader, config: Any, seed: int) -> dict[str, Any]:
    """All facts but the accumulation, which belongs to the optimizer."""
    plain = loader.dataset.dataset  # inside SeededDataset
    by_config = not isinstance(config, DataLoader)
    sampler = sampler_fact(config) if by_config else type(loader.batch_sampler.sampler).__name__
    return dict(
        seed=seed,
        batch_size=loader.batch_sampler.batch_size,
        sampler=sampler,
        ranks=get_world_size(),
        images=len(plain),
        data_hash=data_hash(plain),
    )


def take_up_draws(loop: Any) -> None:
    """Compare a resumed run's facts with its checkpoint's, and note those of now.

    Called by a loop of ``train_loops`` when the checkpoint is loaded, before the first step.

    Args:
        loop: with ``facts``, ``new_draws`` and ``epoch_length`` (None if it counts no epochs).

    Raises:
        MaskSSLError: they differ and new draws were not asked for.
    """
    runner, hub = loop.runner, loop.runner.message_hub
    now = dict(loop.facts, accumulation=accumulative_counts(runner.optim_wrapper))
    if loop.iter:
        before = hub.get_info(DRAWS)
        if before is None:
            before = dict(seed=shared_seed(runner))
            runner.logger.warning(
                "the checkpoint was written by an earlier version: of what fixes the draws it "
                "holds the seed and the iterations per epoch, so batch size, number of processes "
                "and data are not compared with those that the run began with"
            )
        rewound = _compare(loop, before, now)
        _say_if_the_plan_has_changed(loop, rewound)
    hub.update_info(DRAWS, now)
    if loop.epoch_length is not None:
        hub.update_info(EPOCH_LENGTH, loop.epoch_length)
    else:
        hub.pop_info(EPOCH_LENGTH)  # of a run by epochs that this one goes on from


def shared_seed(runner: Runner) -> int:
    """The first process's seed, by which all share the images out; every process calls it.

    With ``diff_rank_seed`` the others add their rank to it.
    """
    seed = [runner.seed]
    broadcast_object_list(seed)
    return seed[0]


def _compare(loop: Any, before: Facts, now: Facts) -> bool:
    """Refuse other draws, or go over to them; returns whether schedules are the config's now."""
    runner, hub = loop.runner, loop.runner.message_hub
    differing = settled(before, now, given=now).refused
    length = hub.get_info(EPOCH_LENGTH) or _never_counted(loop)
    moved = length != loop.epoch_length
    if differing and not loop.new_draws:
        raise MaskSSLError(refusal(differing, before, now))
    if moved and not loop.new_draws:
        raise MaskSSLError(
            f"the run had {length or 'no'} iterations per epoch, and an epoch has "
            f"{loop.epoch_length or 'none'} here; resume with the data, batch size and number of "
            "processes that the run began with, or add --new-draws (train_cfg.new_draws=True)"
        )
    if moved and length and loop.epoch_length:
        _move_to_new_length(loop, length)
    elif moved:  # between epochs and iterations: these alone say where it stands
        loop.go_to(loop.iter)
    rewound = _rewound(loop, moved, before, now)
    if "seed" in differing and runner.cfg.get("randomness"):
        runner.set_randomness(**runner.cfg.randomness)  # mmengine has taken the checkpoint's
    if differing or moved:
        hub.update_info(CHANGED, [*hub.get_info(CHANGED, []), loop.iter])
        steps = [images_per_step(facts) for facts in (now, before)]
        epoch = f" (epoch {loop.iter // loop.epoch_length + 1})" if loop.epoch_length else ""
        runner.logger.warning(
            f"new draws: from step {loop.iter + 1}{epoch} on this is another run than the one it "
            f"goes on from: {described(differing, before, now)}; an optimizer step has {steps[0]} "
            f"images, before {steps[1] or 'unknown'}"
        )
    return rewound


def _never_counted(loop: Any) -> int | None:
    """The epoch's length here, unless the checkpoint is of a run that counted iterations alone."""
    if (
        not loop.epoch_length
        or 0 <= loop.iter - loop.epoch * loop.epoch_length <= loop.epoch_length
    ):
        return loop.epoch_length
    return None


def _move_to_new_length(loop: Any, length: int) -> None:
    """Keep the place in the epoch."""
    runner = loop.runner
    done = loop.iter - loop.epoch * length
    if not 0 <= done <= length:
        raise MaskSSLError(
            f"the checkpoint stands at iteration {loop.iter} in epoch {loop.epoch} of {length} "
            "iterations, which no run can have written"
        )
    every, start = accumulative_counts(runner.optim_wrapper), loop.epoch * loop.epoch_length
    place = start + done * loop.epoch_length // length
    loop.go_to(max(start, place // every * every), loop.epoch)


def _rewound(loop: Any, moved: bool, before: Facts, now: Facts) -> bool:
    """Put schedules where iterations of this length, and an lr for these images, lead.

    Args:
        loop: where it goes on.
        moved: its epochs have another length than the checkpoint's.
        before: the checkpoint's facts.
        now: those of this run.

    Returns:
        Whether the schedules are the config's now.
    """
    runner = loop.runner
    old, new = images_per_step(before), images_per_step(now)
    if (runner.auto_scale_lr or {}).get("enable") and old and new and old != new:
        scale_initial(runner, new / old)
        moved = True
    return moved and wind_schedules(runner, loop.iter, loop.epoch)


def _say_if_the_plan_has_changed(loop: Any, rewound: bool) -> None:
    """A run that is over, longer or shorter than its schedules, or of other values than asked."""
    runner, hub = loop.runner, loop.runner.message_hub
    by_epoch = loop.epoch_length is not None
    unit, key = ("epochs", "max_epochs") if by_epoch else ("iterations", "max_iters")
    now, before = getattr(loop, key), hub.get_info(key)
    if loop.iter >= loop.max_iters:
        runner.logger.warning(
            f"the checkpoint has done all {now} {unit}: nothing is trained. To train longer give "
            f"train_cfg.{key} more"
        )
        return
    planned_otherwise = before is not None and now != before and not rewound
    if planned_otherwise:
        lr = runner.optim_wrapper.param_groups[0]["lr"]
        end = (
            f"stays at its old end behind {unit} {before}"
            if now > before
            else f"does not come to its end, which is at {unit} {before}"
        )
        runner.logger.warning(
            f"the run was planned for {before} {unit} and has {now} now. Its schedules come from "
            f"the checkpoint and end where they were to end: lr, {lr:.3g} now, {end}. For a "
            f"schedule of {now} start anew from its weights (load_from without --resume)"
        )
    wanted = getattr(runner, "configured", None)
    if wanted is None:  # another runner's
        return
    found = configured(runner)
    differing = differing_groups(wanted, found)
    if not (rewound or planned_otherwise):  # else they are the config's, or were just told
        differing += differing_schedules(wanted, found)
    if differing:
        runner.logger.warning(
            "a resumed run goes on with the optimizer and schedules of its checkpoint, and the "
            f"config is not followed where it has {', '.join(differing)}. To train by the config "
            "start anew from its weights (load_from without --resume)"
        )
