"""Parts of a labelled training set: what settings are chosen on, and a few images of each class."""

import torch
from torch import Tensor

from ..errors import MaskSSLError


def hold_out(
    labels: Tensor, share: float, seed: int, most: int | None = None
) -> tuple[Tensor, Tensor]:
    """Split a set, class by class, into a part to fit on and a part to choose settings on.

    Args:
        labels: (N,) int64.
        share: of every class that is held out, at least one image, and never all of them.
        seed: of the draw.
        most: images of both parts together, about; each class loses the same share of its images,
            and keeps two of them. None: all.

    Returns:
        Ids of the fitted part and of the held out one, each ascending.

    Raises:
        MaskSSLError: a class has one image, and so no part to choose on.
    """
    kept, held = [], []
    for label, ids in _shuffled_classes(labels, seed):
        if len(ids) < 2:
            raise MaskSSLError(
                f"class {label} has one training image; settings are chosen on a part of the "
                "training images, so that each class needs 2 or more"
            )
        if most is not None and most < len(labels):
            ids = ids[: max(2, round(most / len(labels) * len(ids)))]
        count = min(max(1, round(share * len(ids))), len(ids) - 1)
        held.append(ids[:count])
        kept.append(ids[count:])
    return torch.cat(kept).sort().values, torch.cat(held).sort().values


def few_per_class(labels: Tensor, amount: int | float, seed: int) -> Tensor:
    """Ids of a few images of every class, ascending.

    Args:
        labels: (N,) int64.
        amount: images of a class as an int, or as a float the share of its images, at least one.
        seed: of the draw.

    Raises:
        MaskSSLError: a class has fewer images.
    """
    drawn = []
    for label, ids in _shuffled_classes(labels, seed):
        count = amount if isinstance(amount, int) else max(1, round(amount * len(ids)))
        if count > len(ids):
            raise MaskSSLError(
                f"class {label} has {len(ids)} training images, and {count} of a class were asked "
                "for; leave this amount out"
            )
        drawn.append(ids[:count])
    return torch.cat(drawn).sort().values


def _shuffled_classes(labels: Tensor, seed: int) -> list[tuple[int, Tensor]]:
    """(label, its ids in an order drawn by the seed)."""
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    shuffled = labels[order]
    return [(label, order[shuffled == label]) for label in labels.unique().tolist()]
