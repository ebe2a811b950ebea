"""Weighted k-nearest-neighbour classification on frozen features."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import MaskSSLError

_SIMILARITIES = 1 << 25  # held at a time: 128 MiB


def unit_length(features: Tensor) -> Tensor:
    """Features (N, C) as they are compared: fp32, of length 1. A bank is so once, not per batch."""
    return F.normalize(features.float(), dim=1)


def nearest(
    features: Tensor, bank: Tensor, k: int, held: int = _SIMILARITIES
) -> tuple[Tensor, Tensor]:
    """The k most similar features of a bank, exactly, in memory that its size does not change.

    Args:
        features: (B, C) of unit length.
        bank: (M, C) of unit length.
        k: neighbours, 1 <= k <= M.
        held: similarities that are held at a time.

    Returns:
        Cosine similarities (B, k), falling, and places in the bank (B, k).

    Raises:
        MaskSSLError: fewer than k features in the bank.
    """
    if not 1 <= k <= len(bank):
        raise MaskSSLError(
            f"k={k} neighbours cannot be taken from a bank of {len(bank)} features; lower k or "
            "use a larger training set"
        )
    step = max(k, held // max(1, len(features)))
    best = features.new_empty(len(features), 0)
    places = torch.empty(len(features), 0, dtype=torch.long, device=features.device)
    for start in range(0, len(bank), step):
        with torch.autocast(features.device.type, enabled=False):  # in fp16 many would be alike
            similarity = features @ bank[start : start + step].T  # (B, step)
        found, place = similarity.topk(min(k, similarity.shape[1]), dim=1)
        best, order = torch.cat([best, found], dim=1).topk(k, dim=1)
        places = torch.cat([places, place + start], dim=1).gather(1, order)
    return best, places


def knn_scores(
    features: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    k: int = 20,
    temperature: float = 0.07,
) -> Tensor:
    """Class scores by the votes of the k most similar features of a bank.

    A neighbour of cosine similarity s votes exp(s / temperature) for its class, as in
    DINO's and iBOT's evaluation.

    Args:
        features: (B, C) of any length.
        bank: (M, C) of unit length, see ``unit_length``.
        bank_labels: (M,) int64.
        num_classes: classes.
        k: neighbours, 1 <= k <= M.
        temperature: lower sharpens the votes.

    Returns:
        (B, num_classes), rows sum to 1.

    Raises:
        MaskSSLError: fewer than k features in the bank.
    """
    (scores,) = swept_votes(features, bank, bank_labels, num_classes, [(k, temperature)])
    return scores / scores.sum(dim=1, keepdim=True)


def swept_votes(
    features: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    settings: Sequence[tuple[int, float]],
) -> list[Tensor]:
    """``knn_scores`` of every setting, up to their scale, from one search of the bank.

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
        # the largest similarity is subtracted so that exp cannot overflow
        votes = ((similarity[:, :k] - similarity[:, :1]) / temperature).exp()
        scores = torch.zeros(len(features), num_classes, device=features.device)
        if labels.ndim == 2:
            found.append(scores.scatter_add_(1, labels[:, :k], votes))
        else:
            found.append((votes[:, :, None] * labels[:, :k]).sum(dim=1))
    return found
