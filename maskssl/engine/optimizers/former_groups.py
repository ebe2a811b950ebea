"""Checkpoints from when the optimizer had a group for every parameter."""

from typing import Any

from ...checkpoints.errors import CheckpointError

# lists of a schedule's state with an entry for each group, and one more for mmengine's base lr
_PER_GROUP = ("base_values", "_last_value")


def in_present_groups(checkpoint: dict[str, Any], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """A training checkpoint whose optimizer and schedules are laid out as the present groups.

    Args:
        checkpoint: with a group for each parameter, which names it (``param_name``); any other
            is returned as it is.
        groups: of the optimizer, each with its ``param_names``.

    Raises:
        CheckpointError: it names other parameters, or gave parameters that are one group now
            different settings.
    """
    optimizer = checkpoint["optimizer"]
    saved = optimizer.get("param_groups", ())
    present = [group["param_names"] for group in groups if "param_names" in group]
    if not present or not saved or not all("param_name" in group for group in saved):
        return checkpoint
    place = {group["param_name"]: index for index, group in enumerate(saved)}
    wanted = [name for names in present for name in names]
    if set(wanted) != set(place):
        raise CheckpointError(
            f"the checkpoint's optimizer holds {len(saved)} parameters, this run's {len(wanted)}, "
            "and they are not the same; resume with the config that the run began with"
        )
    order = [place[name] for name in wanted]
    firsts: list[int] = []
    laid_out: list[dict[str, Any]] = []
    for names in present:
        start = sum(len(group["params"]) for group in laid_out)
        members = order[start : start + len(names)]
        settings = [_settings(saved[index]) for index in members]
        if any(other != settings[0] for other in settings):
            raise CheckpointError(
                f"the checkpoint's optimizer has other settings for {names[0]} than for others "
                "of its lr and decay; resume with the config that the run began with"
            )
        firsts.append(members[0])
        indices = list(range(start, start + len(names)))
        laid_out.append(dict(settings[0], params=indices, param_names=list(names)))
    states = {
        new: optimizer["state"][old] for new, old in enumerate(order) if old in optimizer["state"]
    }
    result = dict(checkpoint, optimizer=dict(optimizer, state=states, param_groups=laid_out))
    if "param_schedulers" in checkpoint:
        result["param_schedulers"] = [
            _per_group(schedule, firsts, len(saved)) for schedule in checkpoint["param_schedulers"]
        ]
    return result


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key not in ("params", "param_name")}


def _per_group(schedule: dict[str, Any], firsts: list[int], count: int) -> dict[str, Any]:
    lists = {
        key: [schedule[key][index] for index in firsts] + list(schedule[key][count:])
        for key in _PER_GROUP
        if key in schedule
    }
    return {**schedule, **lists}
