"""How long kNN takes, on a CPU beside a brute force in NumPy."""

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...evaluation.knn import nearest, unit_length
from .timing import synchronise

_BATCH = 1024
_WORKING_MEMORY = 1 << 30  # bytes of distances, scikit-learn's default


def measure_neighbours(
    queries: int, bank: int, width: int, device: str, k: int = 20
) -> dict[str, Any]:
    """Find the neighbours of random features.

    On a CPU the same is done as scikit-learn's KNeighborsClassifier(metric='cosine',
    algorithm='brute') does: all distances of as many queries as 1 GiB takes, argpartition, sort.
    The library itself is not called.

    Returns:
        What JSON can hold: seconds, bytes that the device held at most, and whether both agree.
    """
    where = torch.device(device)
    generator = torch.Generator().manual_seed(0)
    features, known = (torch.randn(count, width, generator=generator) for count in (queries, bank))
    features_there, known_there = features.to(where), unit_length(known.to(where))
    nearest(unit_length(features_there[:_BATCH]), known_there, k)  # warms up
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
    synchronise(where)
    start = time.perf_counter()
    places = [
        nearest(unit_length(batch), known_there, k)[1] for batch in features_there.split(_BATCH)
    ]
    synchronise(where)
    found: dict[str, Any] = dict(
        queries=queries, bank=bank, width=width, k=k, seconds=time.perf_counter() - start
    )
    if where.type == "cuda":
        found["memory_bytes"] = torch.cuda.max_memory_allocated(where)
        return found
    start = time.perf_counter()
    expected = brute_force(features.numpy(), known.numpy(), k)
    found["brute_force_seconds"] = time.perf_counter() - start
    found["agreement"] = float((torch.cat(places).numpy() == expected).mean())
    start = time.perf_counter()
    for batch in features.split(_BATCH):
        batch @ known.T
    found["product_seconds"] = time.perf_counter() - start
    return found


def brute_force(
    features: NDArray[np.float32], bank: NDArray[np.float32], k: int
) -> NDArray[np.int64]:
    """Places of the k nearest by cosine distance (N, k), nearest first."""
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    bank = bank / np.linalg.norm(bank, axis=1, keepdims=True)
    rows = max(1, _WORKING_MEMORY // (8 * len(bank)))
    found = []
    for start in range(0, len(features), rows):
        distances = features[start : start + rows] @ bank.T
        distances *= -1
        distances += 1
        np.clip(distances, 0, 2, out=distances)
        places = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.take_along_axis(distances, places, 1).argsort(axis=1)
        found.append(np.take_along_axis(places, order, 1))
    return np.concatenate(found)


def neighbours_table(found: dict[str, Any]) -> str:
    """What ``measure_neighbours`` found, as text."""
    text = (
        f"{found['k']} nearest of {found['bank']:,} to {found['queries']:,} features of "
        f"{found['width']}: {found['seconds']:.2f} s"
    )
    if "memory_bytes" in found:
        return f"{text}, {found['memory_bytes'] / 2**30:.1f} GiB"
    ratio = found["brute_force_seconds"] / found["seconds"]
    return (
        f"{text}; brute force in NumPy {found['brute_force_seconds']:.2f} s (x {ratio:.2f}), "
        f"{found['agreement']:.2%} of the places alike; the matrix product alone takes "
        f"{found['product_seconds']:.2f} s"
    )
