"""The order of mmengine's DefaultSampler, in a fraction of its memory."""

import tracemalloc

import pytest
from mmengine.dataset import DefaultSampler

from maskssl.datasets.draws.tensor_sampler import TensorSampler


def pair(size, rank=0, world_size=1, **options):
    for kind in (TensorSampler, DefaultSampler):
        sampler = kind(range(size), seed=3, **options)
        sampler.rank, sampler.world_size = rank, world_size
        per_rank = -(-size // world_size)
        rounded = options.get("round_up", True)
        sampler.total_size = per_rank * world_size if rounded else size
        sampler.set_epoch(2)
        yield sampler


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("round_up", [True, False])
@pytest.mark.parametrize(("size", "world_size"), [(10_001, 4), (8, 8), (3, 8), (5000, 1)])
def test_the_order_is_that_of_mmengine(shuffle, round_up, size, world_size):
    for rank in range(world_size):
        ours, theirs = pair(size, rank, world_size, shuffle=shuffle, round_up=round_up)
        assert list(ours) == list(theirs)
    assert len(list(ours)) or not round_up


def test_python_holds_a_block_at_a_time():
    peaks = []
    for sampler in pair(1_000_000):
        tracemalloc.start()
        next(iter(sampler))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    ours, theirs = peaks
    assert ours < 1_000_000 < 20_000_000 < theirs  # bytes
