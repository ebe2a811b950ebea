"""What ``maskssl check-data`` prints: one screen, or JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from ...datasets.checks.duplicates import duplicates
from ...datasets.checks.pictures import sample
from . import length_of, look_at_data
from .cost import cost, cost_line
from .labels import batch_size
from .looked_at import Found
from .nodes import BANK, LOADERS, loader_config

_TRAINED = ("train_dataloader", BANK)
_TESTED = 512  # test pictures that are looked for among the training's, where not all are
_AMONG = 200_000  # of these; the sizes of 1.3 million files alone take a minute to read
_SHOWN = 3


def report(cfg: Config, thorough: bool = False, processes: int | None = None) -> dict[str, Any]:
    """Look at all loaders of a config, in JSON's types.

    Args:
        cfg: the run's config.
        thorough: open every file, and look for every test picture among the training's.
        processes: of the run; None for those that there are.

    Raises:
        DataError: what a training would be refused for.
    """
    found = look_at_data(cfg, LOADERS, thorough)
    length = length_of(cfg, found, processes)
    return dict(
        loaders=[_facts(cfg, one) for one in found],
        duplicates=_leaks(found, thorough),
        run=str(length) if length else None,
        cost=cost(cfg, length) if length else None,
        thorough=thorough,
    )


def _facts(cfg: Config, one: Found) -> dict[str, Any]:
    batch = batch_size(cfg, one.loader)
    part = 0 if (loader_config(cfg, one.loader) or {}).get("drop_last") else batch - 1
    facts: dict[str, Any] = dict(
        loader=one.loader,
        kind=one.kind,
        source=one.source,
        images=one.images,
        used=one.used,
        times=one.times,
        batches=None if one.drawn is None else (one.drawn + part) // batch,
        unit=one.unit,
        counts=None,
        opened=len(one.pictures),
        notes=one.notes,
    )
    if one.counts is not None:
        names = [one.name_of(label).strip("'") for label in range(len(one.counts))]
        facts["counts"] = dict(zip(names, map(int, one.counts), strict=True))
    if one.pictures:
        sizes = sorted(picture.size for picture in one.pictures)
        facts["sizes"] = [sizes[0], sizes[len(sizes) // 2], sizes[-1]]
        facts["modes"] = dict(Counter(picture.mode for picture in one.pictures))
    return facts


def _leaks(found: Sequence[Found], thorough: bool) -> list[dict[str, Any]]:
    """Test sets with pictures that are trained on."""
    trained = [one for one in found if one.loader in _TRAINED and one.files]
    leaks: list[dict[str, Any]] = []
    seen = set()
    for one in found:
        if one.loader in _TRAINED or not one.files or one.source in seen:
            continue
        seen.add(one.source)  # validation and test are often one set
        tested = [one.files[n] for n in sample(len(one.files), None if thorough else _TESTED)]
        among = [
            (train.files, number)
            for train in trained
            for number in sample(len(train.files), None if thorough else _AMONG)
        ]
        pairs = duplicates((files[number] for files, number in among), tested)
        if pairs:
            first = [list(pair) for pair in pairs[:_SHOWN]]
            leaks.append(
                dict(
                    loader=one.loader,
                    found=len(pairs),
                    looked_at=len(tested),
                    among=len(among),
                    first=first,
                )
            )
    return leaks


def as_text(facts: Mapping[str, Any]) -> str:
    """The report for a screen."""
    lines = []
    for one in facts["loaders"]:
        lines.append(f"{one['loader']}: {one['source']}")
        if one["images"] is not None:
            left = "" if one["used"] == one["images"] else f", of which {one['used']:,} are used"
            often = f", {one['times']} times an epoch" if one.get("times", 1) > 1 else ""
            lines.append(f"  {one['images']:,} images{left}{often}; {one['batches']:,} batches")
        if one["counts"]:
            lines.append(f"  {_balance(one['counts'], one['unit'])}")
        if one["opened"]:
            small, middle, large = ("x".join(map(str, size)) for size in one["sizes"])
            modes = ", ".join(f"{count} {mode}" for mode, count in one["modes"].items())
            of = "" if one["opened"] == one["images"] else f" of {one['images']:,}"
            lines.append(
                f"  {one['opened']:,}{of} opened: {small} to {large}, {middle} between; {modes}"
            )
        lines += [f"  ! {note}" for note in one["notes"]]
    for leak in facts["duplicates"]:
        trained, tested = leak["first"][0]
        lines.append(
            f"! {leak['found']:,} of {leak['looked_at']:,} pictures of {leak['loader']} "
            f"looked at are among {leak['among']:,} that are trained on, "
            f"e.g. {tested}, which is {trained}: scores on them say little"
        )
    if facts["run"]:
        lines.append(f"run: {facts['run']}")
        lines.append(f"cost: {cost_line(facts['cost'])}")
    # names of Linux are bytes: what is no UTF-8 in them cannot be printed
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")


def _balance(counts: Mapping[str, int], unit: str) -> str:
    ordered = sorted(counts.items(), key=lambda item: item[1])
    if len(ordered) <= 2 * _SHOWN:
        return f"{unit} by class: " + ", ".join(f"{name} {n:,}" for name, n in counts.items())
    few = ", ".join(f"{name} {n:,}" for name, n in ordered[:_SHOWN])
    many = ", ".join(f"{name} {n:,}" for name, n in ordered[-_SHOWN:])
    total = sum(counts.values())
    return (
        f"{total:,} {unit} in {len(counts)} classes, {total / len(counts):,.1f} each on average; "
        f"fewest {few}; most {many}"
    )
