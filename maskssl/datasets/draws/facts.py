"""What fixes the draws of a run: plain values that a checkpoint holds and two runs compare.

seed         of the run, the same on all ranks
batch_size   images of one process in one forward
accumulation forwards of one optimizer step
sampler      the loader's sampler and batch sampler, as JSON of their config
ranks        processes
images       length of the data list
data_hash    of the data list, see ``data_hash``

A fact that is not known is None or missing, and differs from nothing.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

Facts = Mapping[str, Any]

# what a config can set, and what to do about a difference in the others
SETTABLE = ("seed", "batch_size", "accumulation", "sampler")
GIVEN_BY_PLACE = {
    "ranks": "start {before} processes",
    "images": "give the run its own data",
    "data_hash": "give the run its own data",
}
NAMES = (*SETTABLE, *GIVEN_BY_PLACE)
LOOKED_AT = 100_000  # entries of a data list


class Settled(NamedTuple):
    """How a resumed run is to draw.

    Attributes:
        adopted: what the command leaves unset and the checkpoint says otherwise.
        refused: names of what the command, the data or the processes say otherwise.
    """

    adopted: dict[str, Any]
    refused: list[str]


def settled(before: Facts, now: Facts, given: Collection[str]) -> Settled:
    """Compare a checkpoint's facts with those that a command would train by.

    Args:
        before: of the checkpoint.
        now: as the config stands.
        given: names of SETTABLE facts that the command itself sets, and means.
    """
    known = [name for name in NAMES if before.get(name) is not None]
    differing = [name for name in known if before[name] != now.get(name)]
    adopted = [name for name in differing if name in SETTABLE and name not in given]
    refused = [n for n in differing if n not in adopted and now.get(n) is not None]
    return Settled({name: before[name] for name in adopted}, refused)


def described(names: Collection[str], before: Facts, now: Facts) -> str:
    """The differences as text: ``batch_size 8 instead of 4, ranks 1 instead of 2``."""
    return ", ".join(f"{name} {now.get(name)} instead of {before.get(name)}" for name in names)


def refusal(names: Collection[str], before: Facts, now: Facts) -> str:
    """Why a run cannot go on with the same draws, and the ways out."""
    ways = [
        GIVEN_BY_PLACE[name].format(before=before[name])
        if name in GIVEN_BY_PLACE
        else f"set {name} to {before[name]}, or leave the option out"
        for name in names
    ]
    return (
        f"the run to be resumed draws other images or masks with {described(names, before, now)}. "
        f"To go on with it exactly, {'; '.join(dict.fromkeys(ways))}. To go on from its state "
        "with draws of another run, add --new-draws (train_cfg.new_draws=True)"
    )


def images_per_step(facts: Facts) -> int | None:
    """Images of all processes that make one optimizer step; None if a number is not known."""
    numbers = [facts.get(name) for name in ("batch_size", "ranks", "accumulation")]
    if any(number is None for number in numbers):
        return None
    batch, ranks, accumulation = (int(number) for number in numbers if number is not None)
    return batch * ranks * accumulation


def sampler_fact(loader: Mapping[str, Any]) -> str:
    """The fact of a loader's config."""
    kept = {key: loader.get(key) for key in ("sampler", "batch_sampler")}
    kept["drop_last"] = bool(loader.get("drop_last"))
    return json.dumps(kept, sort_keys=True, default=str)


def data_hash(dataset: Any) -> str | None:
    """A hash of the order of a data list; None for a dataset that does not list its images.

    Files count by folder and name, so that a list whose root has moved is the same one. Of a list
    of more than 100,000 entries as many are looked at, evenly spaced.

    Args:
        dataset: mmengine's, with ``get_data_info``, or a wrapper of one.
    """
    if not hasattr(dataset, "get_data_info"):
        return None
    digest = hashlib.blake2b(digest_size=16)
    for index in range(0, len(dataset), max(1, len(dataset) // LOOKED_AT)):
        path = dataset.get_data_info(index).get("img_path")
        if path is None:
            return None
        name = "/".join(str(path).rsplit("/", 2)[-2:])
        # names of Linux are bytes, and need not be UTF-8
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()
