"""Schedules beside the length and the lr of a run: what of them it does not come to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...errors import MaskSSLError


def cut_off(schedulers: Any, epochs: int | None, iterations: int) -> list[str]:
    """What a run ends before: the rest of a warm-up, steps of the lr.

    Args:
        schedulers: ``param_scheduler`` of a config; what is built by hand is left alone.
        epochs: of the run; None if its loop counts none.
        iterations: of the run.

    Returns:
        A sentence for each schedule that is cut off.

    Raises:
        MaskSSLError: one would not act at all, or counts epochs where none are.
    """
    return [
        text
        for name, one in _configs(schedulers)
        for text in _cut_off(name, one, epochs, iterations)
    ]


def refuse_rising(schedulers: Any, groups: Iterable[Mapping[str, Any]]) -> None:
    """Refuse a schedule of the lr that ends above where it begins, as an absolute eta_min may.

    Args:
        schedulers: ``param_scheduler`` of a config; what is built by hand is left alone.
        groups: of the optimizer, their lr scaled to the images of a step.

    Raises:
        MaskSSLError: names the schedule and both values.
    """
    lr = max(group["lr"] for group in groups)
    for name, one in _configs(schedulers):
        lowest = one.get("eta_min") or 0.0
        kind = one["type"] if isinstance(one["type"], str) else one["type"].__name__
        if lowest > lr and kind.endswith("LR"):
            raise MaskSSLError(
                f"{name} ({kind}) ends at eta_min={lowest:g}, above the lr of this run, "
                f"{lr:g}: the lr would rise to the end. Set {name}.eta_min lower (scaled with the "
                "images of a step as the lr is), or train on more images a step"
            )


def _configs(schedulers: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Those that are configs, by the names that --cfg-options has for them."""
    if isinstance(schedulers, Mapping) and "type" in schedulers:
        yield "param_scheduler", schedulers
    elif isinstance(schedulers, Sequence):
        for number, one in enumerate(schedulers):
            if isinstance(one, Mapping):
                yield f"param_scheduler.{number}", one


def _cut_off(
    name: str, config: Mapping[str, Any], epochs: int | None, iterations: int
) -> Iterator[str]:
    by_epoch = config.get("by_epoch", True)
    if by_epoch and epochs is None:
        if config.get("convert_to_iter_based") and "end" in config:
            return  # in epochs of the training set, whatever the loop counts
        raise MaskSSLError(
            f"{name} ({config['type']}) counts epochs, and the run counts iterations: it would "
            f"act for one epoch at most. Set {name}.by_epoch=False, and its begin, end or "
            "milestones in iterations"
        )
    unit, key, last = "iteration", "max_iters", iterations
    if epochs is not None:
        key = "max_epochs"
        if by_epoch:
            unit, last = "epoch", epochs
    begin, end = config.get("begin", 0), config.get("end", last)
    run = f"the run ends at {unit} {last:,} (train_cfg.{key}={epochs or iterations})"
    if end <= begin and "end" in config:
        raise MaskSSLError(
            f"{name} ({config['type']}) begins at {unit} {begin:,} and ends at {end:,}: set "
            f"{name}.end beyond {name}.begin"
        )
    if begin >= last:
        raise MaskSSLError(
            f"{name} ({config['type']}) begins at {unit} {begin:,}, and {run}: nothing of it "
            f"would act. Set train_cfg.{key} so that the run is longer, or let what stands before "
            f"it end sooner, and {name}.begin with it; to try the first steps of a long run, leave "
            "its length and give --stop-after STEPS"
        )
    if "end" in config and end > last:
        yield f"{name} ({config['type']}) goes on to {unit} {end:,}, and {run}"
    missed = [one for one in config.get("milestones", ()) if one >= last]
    if missed:
        steps = " and ".join(f"{one:,}" for one in missed)
        yield f"{name} ({config['type']}) would step at {unit} {steps}, and {run}"
