"""What a config says of optimizer and schedules, beside what a checkpoint has put in its place."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mmengine.runner import Runner

from .schedules import INITIAL

# what a scheduler counts or works out, not what it was told
_PROGRESS = ("last_step", "base_values", "verbose")


class Configured(NamedTuple):
    """Values that training was given.

    Attributes:
        groups: of the optimizer, in order, where schedules began.
        schedules: settings of each; none where they are not built, or not a list.
    """

    groups: list[dict[str, Any]]
    schedules: list[dict[str, Any]]


def configured(runner: Runner) -> Configured:
    """What a run goes by now: its config's values, or a checkpoint's once one is loaded."""
    groups, schedules = runner.optim_wrapper.param_groups, runner.param_schedulers
    return Configured(
        [_began(group) for group in groups if isinstance(group, dict)],
        [
            {key: value for key, value in vars(one).items() if _is_setting(key)}
            for one in (schedules if isinstance(schedules, list) else [])
            if hasattr(one, "last_step")
        ],
    )


def differing_groups(wanted: Configured, found: Configured) -> list[str]:
    """Each value of the optimizer that is another one, as ``lr 0.001 instead of 0.1``, once."""
    said: dict[str, str] = {}
    for ours, theirs in zip(wanted.groups, found.groups, strict=False):
        for key, text in _differing(ours, theirs):
            said.setdefault(key, text)
    return list(said.values())


def differing_schedules(wanted: Configured, found: Configured) -> list[str]:
    """Likewise of the schedules, by the names that --cfg-options has for them."""
    return [
        f"param_scheduler.{number}.{text}"
        for number, pair in enumerate(zip(wanted.schedules, found.schedules, strict=False))
        for _, text in _differing(*pair)
    ]


def _began(group: dict[str, Any]) -> dict[str, Any]:
    return {
        key: group.get(f"{INITIAL}{key}", value)
        for key, value in group.items()
        if key != "params" and not key.startswith(INITIAL)
    }


def _is_setting(key: str) -> bool:
    return not key.startswith("_") and key not in _PROGRESS


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key in ours.keys() & theirs.keys():
        one, other = _numbers(ours[key]), _numbers(theirs[key])
        if one is None or other is None or _alike(one, other):
            continue
        shown = [", ".join(f"{number:.6g}" for number in numbers) for numbers in (one, other)]
        yield key, f"{key} {shown[0]} instead of {shown[1]}"


def _numbers(value: Any) -> list[float] | None:
    """Numbers alone are compared: torch sets flags such as ``fused`` by the device."""
    values = list(value) if isinstance(value, list | tuple) else [value]
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in values)
    return values if numbers else None


def _alike(ours: list[float], theirs: list[float]) -> bool:
    # an lr that was scaled on the way differs from the config's by rounding
    return len(ours) == len(theirs) and all(
        math.isclose(one, other, rel_tol=1e-6) for one, other in zip(ours, theirs, strict=True)
    )
