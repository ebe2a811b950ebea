"""How long a recipe trains on other data than it was made for: one rule, in numbers alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_EMA_MOMENTUM = 0.5


@dataclass(frozen=True)
class Length:
    """The length of a training.

    Attributes:
        passes: over the training images.
        steps: of the optimizer.
    """

    passes: int
    steps: int


def steps_of_a_pass(images: int, batch_size: int, drop_last: bool) -> int:
    """Of a run by epochs: the rest of a pass is a batch of its own, or is left out."""
    return max(1, images // batch_size if drop_last else math.ceil(images / batch_size))


def length_on(
    recipe: Length,
    recipe_images: int,
    images: int,
    batch_size: int,
    share: float = 1.0,
    of_a_pass: int | None = None,
) -> Length:
    """The recipe's number of images seen, times the square root of how much larger the data is.

    A tenth of the images is passed over 3.2 times as often, so that 3.2 times fewer are seen in
    all; ten times the images are passed over 3.2 times less often.

    Args:
        recipe: its own length.
        recipe_images: training images that it was made for.
        images: training images here.
        batch_size: images of a step here.
        share: of the length that the preset pays for.
        of_a_pass: steps of each, where a run goes by epochs; None: batches cross their ends.
    """
    growth = math.sqrt(recipe_images / images)
    passes = max(1, round(share * recipe.passes * growth))
    steps = passes * images // batch_size if of_a_pass is None else passes * of_a_pass
    return Length(passes, max(1, steps))


def fitted_schedulers(
    schedulers: Sequence[Mapping[str, Any]], recipe: Length, length: Length
) -> list[dict[str, Any]]:
    """Warm-up, milestones and ends at the same shares of the training as in the recipe.

    Args:
        schedulers: of the recipe, in epochs or in steps.
        recipe: its length.
        length: the new one.
    """
    fitted = []
    for scheduler in schedulers:
        entry = dict(scheduler)
        by_epoch = entry.get("by_epoch", True)
        longest = length.passes if by_epoch else length.steps
        factor = longest / (recipe.passes if by_epoch else recipe.steps)
        for key in ("begin", "end", "T_max"):
            if entry.get(key) is not None:
                entry[key] = min(longest, round(entry[key] * factor))
        if "milestones" in entry:
            entry["milestones"] = [max(1, round(at * factor)) for at in entry["milestones"]]
        if entry.get("end") is None or entry["end"] > entry.get("begin", 0):
            fitted.append(entry)  # else a warm-up of no step
    return fitted


def ema_momentum(momentum: float, recipe: Length, length: Length) -> float:
    """The average reaches back over the same share of the training."""
    return min(MAX_EMA_MOMENTUM, momentum * recipe.steps / length.steps)
