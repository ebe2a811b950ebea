"""kNN for several numbers of neighbours and temperatures from one search of the bank."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .knn import nearest, unit_length


def swept_votes(
    features: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    settings: Sequence[tuple[int, float]],
) -> list[Tensor]:
    """``knn_scores`` of every setting, up to their scale.

    Args:
        features: (B, C) of any length.
        bank: (M, C) of unit length.
        bank_labels: (M,) int64, or shares (M, K) that a neighbour's vote is divided by.
        num_classes: K.
        settings: (k, temperature) each.

    Returns:
        Scores (B, K), one tensor per setting.

    Raises:
        MaskSSLError: the bank has fewer features than the largest k.
    """
    similarity, places = nearest(unit_length(features), bank, max(k for k, _ in settings))
    labels = bank_labels[places]  # (B, k) or (B, k, K), nearest first
    found = []
    for k, temperature in settings:
        votes = ((similarity[:, :k] - similarity[:, :1]) / temperature).exp()
        scores = torch.zeros(len(features), num_classes, device=features.device)
        if labels.ndim == 2:
            found.append(scores.scatter_add_(1, labels[:, :k], votes))
        else:
            found.append((votes[:, :, None] * labels[:, :k]).sum(dim=1))
    return found
