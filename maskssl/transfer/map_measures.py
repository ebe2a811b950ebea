"""What is measured of label maps: kNN on patches, and a linear head on frozen patches."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MaskSSLError
from ..evaluation.knn import swept_votes, unit_length
from ..evaluation.linear_sweep import HeadSetting, train_heads
from .budgets import Budget
from .feature_store import SHARES, TOKENS, FeatureSet
from .map_set import MapSet
from .measure import MAPS, Measure, Part, Setting

PIXELS_AT_ONCE = 1 << 24  # scores of pixels that are held


def patch_knn_settings(features: FeatureSet, budget: Budget, count: int) -> list[Setting]:
    """k and temperature."""
    num_patches = features.grid_size[0] * features.grid_size[1]
    bank = min(budget.patch_bank, count * num_patches)
    return [
        dict(k=k, temperature=temperature, bank=bank)
        for k in budget.patch_neighbours
        if k <= bank
        for temperature in budget.temperatures
    ]


def patch_knn_areas(
    fitted: Part, scored: Part, settings: Sequence[Setting], seed: int
) -> np.ndarray:
    """Each of the nearest patches votes for the classes in it; the bank is drawn by the seed."""
    bank, shares = _bank(fitted, int(settings[0]["bank"]), seed)
    pairs = [(int(s["k"]), float(s["temperature"])) for s in settings]

    def scores(patches: Tensor) -> list[Tensor]:
        return swept_votes(patches, bank, shares, shares.shape[1], pairs)

    return _areas(scored, scores, len(settings))


def _bank(part: Part, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """As many patches of every image: features of unit length (M, C) and shares (M, K)."""
    generator = torch.Generator().manual_seed(seed)
    rows, count = part.features.patches(part.ids), len(part.ids)
    each = -(-size // count)
    found, shares = [], []
    for place in torch.randperm(count, generator=generator).split(1):
        features, own = rows.batch(place)  # (P, C), (P, K)
        drawn = torch.randperm(len(features), generator=generator)[:each].to(features.device)
        drawn = drawn[own[drawn].sum(dim=1) > 0]  # nothing is learnt of ignored pixels
        found.append(unit_length(features[drawn]))
        shares.append(own[drawn])
    bank, labels = torch.cat(found)[:size], torch.cat(shares)[:size]
    if not len(bank):
        raise MaskSSLError("the maps ignore every pixel; see what label is ignored")
    return bank, labels


def patch_linear_settings(features: FeatureSet, budget: Budget, count: int) -> list[Setting]:
    """Learning rate and weight decay."""
    return [
        dict(
            lr=lr,
            weight_decay=decay,
            epochs=budget.patch_epochs,
            batch_size=min(budget.patch_batch_size, count),
        )
        for lr in budget.patch_lrs
        for decay in budget.linear_decays
    ]


def patch_linear_areas(
    fitted: Part, scored: Part, settings: Sequence[Setting], seed: int
) -> np.ndarray:
    """Heads on standardised patches; a patch's truth is the share of each class in it."""
    heads = [HeadSetting(TOKENS, True, float(s["lr"]), float(s["weight_decay"])) for s in settings]
    rows = {TOKENS: fitted.features.patches(fitted.ids)}
    epochs, batch_size = int(settings[0]["epochs"]), int(settings[0]["batch_size"])
    trained = train_heads(rows, heads, fitted.features.num_classes, epochs, batch_size, seed)
    return _areas(scored, lambda patches: [head(patches) for head in trained], len(settings))


def _areas(part: Part, scores: Callable[[Tensor], list[Tensor]], num_settings: int) -> np.ndarray:
    """Intersections and unions (settings, N, 2, K) with the maps at their own size.

    Args:
        part: images to score.
        scores: patches (P, C) -> per setting scores (P, K).
        num_settings: how many.
    """
    images, num_classes = part.features.images, part.features.num_classes
    if not isinstance(images, MapSet):
        raise TypeError(f"{images.root} has no maps")
    rows, found = part.features.rows(TOKENS, part.ids), []
    for place, index in enumerate(part.ids.tolist()):
        patches, _ = rows.batch(torch.tensor([place]))
        truth = torch.from_numpy(images.label_map(index))
        for own in scores(patches[0]):
            predicted = predicted_map(own, part.features.grid_size, tuple(truth.shape)).cpu()
            found.append(overlap(predicted, truth, num_classes))
    return np.stack(found).reshape(len(part.ids), num_settings, 2, -1).swapaxes(0, 1)


def predicted_map(scores: Tensor, grid: tuple[int, int], size: tuple[int, ...]) -> Tensor:
    """Classes (H, W) of a picture: the highest of its patches' scores, interpolated bilinearly.

    Some rows at a time, as all scores of a large picture of many classes would take gigabytes.

    Args:
        scores: (P, K).
        grid: rows and columns of the patches.
        size: H and W.
    """
    maps = scores.float().T.reshape(1, -1, *grid)  # (1, K, h, w)
    wide = F.interpolate(maps, (grid[0], size[1]), mode="bilinear")[0]  # (K, h, W)
    # centre of each row of pixels, in rows of patches
    place = ((torch.arange(size[0]) + 0.5) * grid[0] / size[0] - 0.5).clamp(0, grid[0] - 1)
    low = place.floor().long()
    high, share = (low + 1).clamp(max=grid[0] - 1), (place - low).to(wide)[:, None]
    found = []
    for rows in torch.arange(size[0]).split(max(1, PIXELS_AT_ONCE // wide[:, 0].numel())):
        mixed = wide[:, low[rows]] * (1 - share[rows]) + wide[:, high[rows]] * share[rows]
        found.append(mixed.argmax(dim=0))
    return torch.cat(found)


def overlap(predicted: Tensor, truth: Tensor, num_classes: int) -> np.ndarray:
    """Pixels of the intersection and of the union of every class.

    Args:
        predicted: (H, W), 0 to K - 1.
        truth: (H, W), K where ignored; such pixels count for nothing.
        num_classes: K.

    Returns:
        (2, K) int64.
    """
    seen = truth < num_classes
    predicted, truth = predicted[seen], truth[seen]
    shared = torch.bincount(truth[predicted == truth], minlength=num_classes)
    both = torch.bincount(truth, minlength=num_classes)
    both += torch.bincount(predicted, minlength=num_classes)
    return torch.stack([shared, both - shared]).numpy()


MAP_MEASURES = (
    Measure(
        "patch-knn",
        "kNN on patches",
        patch_knn_settings,
        patch_knn_areas,
        seeded=True,
        kinds=(TOKENS, SHARES),
        labels=MAPS,
        metric="mIoU",
    ),
    Measure(
        "patch-linear",
        "linear segmentation head",
        patch_linear_settings,
        patch_linear_areas,
        seeded=True,
        kinds=(TOKENS, SHARES),
        labels=MAPS,
        metric="mIoU",
    ),
)
