"""Batches of draws: where they begin, what they skip, and how long they go on."""

import copy

import pytest
import torch
from mmdet.datasets.samplers import AspectRatioBatchSampler
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.hooks import DistSamplerSeedHook
from mmpretrain.datasets.samplers import RepeatAugSampler
from torch.utils.data import BatchSampler, DataLoader, SequentialSampler

from maskssl.datasets.draws.sampler import DrawBatchSampler, DrawIterator
from maskssl.datasets.draws.seeded_dataset import SeededDataset
from maskssl.errors import MaskSSLError
from tests.datasets.pictures import content, draw_loader, pictures, write_pictures


class Sizes(list):
    """Images of which a third are upright."""

    def get_data_info(self, index):
        return dict(width=2, height=3 if index % 3 == 0 else 1)


IMAGES = Sizes(range(11))


def epoch_batches():
    return BatchSampler(DefaultSampler(IMAGES, seed=1), 3, drop_last=False)


def shape_batches():
    return AspectRatioBatchSampler(DefaultSampler(IMAGES, seed=1), 3)


def infinite_batches():
    return BatchSampler(InfiniteSampler(IMAGES, seed=1), 3, drop_last=False)


def infinite_shape_batches():
    return AspectRatioBatchSampler(InfiniteSampler(IMAGES, seed=1), 3)


def take(sampler, count):
    iterator = iter(sampler)
    return [next(iterator) for _ in range(count)]


def indices(batches):
    return [[draw.index for draw in batch] for batch in batches]


BY_EPOCH = pytest.mark.parametrize("make", [epoch_batches, shape_batches])
ENDLESS = pytest.mark.parametrize("make", [infinite_batches, infinite_shape_batches])


# By epoch


@BY_EPOCH
def test_an_epoch_has_the_batches_of_the_wrapped_sampler(make):
    wrapped, sampler = make(), DrawBatchSampler(make())
    for epoch in (0, 3):
        wrapped.sampler.set_epoch(epoch)
        sampler.start(epoch)
        batches = list(sampler)
        assert indices(batches) == list(wrapped)
        assert {draw.epoch for batch in batches for draw in batch} == {epoch}
        assert (sampler.epoch, sampler.drawn, sampler.skipped) == (epoch, 11, 0)
    assert len(sampler) == len(wrapped) == 4
    assert (sampler.batch_size, sampler.drop_last) == (3, False)


@BY_EPOCH
@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_an_epoch_goes_on_behind_the_batches_that_were_done(make, done):
    whole = DrawBatchSampler(make())
    whole.start(2)
    expected = list(whole)
    sampler = DrawBatchSampler(make())
    sampler.start(2, done)
    assert list(sampler) == expected[done:]
    assert sampler.drawn == 11
    assert sampler.skipped == sum(map(len, expected[:done]))
    whole.start(3)
    assert list(sampler) == list(whole)  # the next epoch is whole


@BY_EPOCH
def test_an_iteration_that_was_left_leaves_no_trace(make):
    sampler, other = DrawBatchSampler(make()), DrawBatchSampler(make())
    take(sampler, 2)  # mmdet's keeps two started batches
    sampler.start(1)
    other.start(1)
    assert list(sampler) == list(other)


def test_epochs_go_on_where_no_loop_tells_them():
    sampler = DrawBatchSampler(epoch_batches())
    first, second = list(sampler), list(sampler)
    assert second[0][0].epoch == 1 and indices(first) != indices(second)
    told = DrawBatchSampler(epoch_batches())
    told.start(1)
    assert list(told) == second


def test_samplers_without_epochs_are_drawn_anew():
    sampler = DrawBatchSampler(BatchSampler(SequentialSampler(IMAGES), 6, drop_last=True))
    sampler.start(4, 0)
    assert list(sampler) == [[(4, index) for index in range(6)]]
    assert (sampler.drop_last, len(sampler)) == (True, 1)


def test_impossible_places_are_refused():
    sampler = DrawBatchSampler(epoch_batches())
    sampler.start(1, 5)
    with pytest.raises(MaskSSLError, match="behind batch 5 of epoch 1, which has 4; resume with"):
        next(iter(sampler))
    with pytest.raises(MaskSSLError, match="cannot start at epoch -1, batch 0"):
        sampler.start(-1)
    with pytest.raises(MaskSSLError, match="batch -2"):
        sampler.start(0, -2)
    with pytest.raises(MaskSSLError, match="the epoch 0, for this sampler counts batches alone"):
        DrawBatchSampler(infinite_batches()).start(1)


def test_repeated_augmentation_is_refused():
    repeated = BatchSampler(RepeatAugSampler(IMAGES, seed=0), 2, drop_last=False)
    with pytest.raises(MaskSSLError, match="RepeatAugSampler draws every image 3 times"):
        DrawBatchSampler(repeated)
    DrawBatchSampler(BatchSampler(RepeatAugSampler(IMAGES, num_repeats=1, seed=0), 2, False))


# Without end


@ENDLESS
def test_endless_batches_are_numbered(make):
    batches = take(DrawBatchSampler(make()), 20)
    assert indices(batches) == take(make(), 20)
    assert [{draw.epoch for draw in batch} for batch in batches] == [{n} for n in range(20)]


@ENDLESS
@pytest.mark.parametrize("done", [1, 13])
def test_endless_batches_go_on_behind_those_done(make, done):
    expected = take(DrawBatchSampler(make()), 20)
    sampler = DrawBatchSampler(make())
    take(sampler, 5)
    sampler.start(0, done)
    assert take(sampler, 20 - done) == expected[done:]
    assert sampler.skipped == 3 * done
    assert sampler.drawn == 60


@BY_EPOCH
def test_epochs_follow_each_other_without_end(make):
    by_epoch = DrawBatchSampler(make())
    expected = [batch for epoch in range(3) for batch in indices(by_epoch)]
    sampler = DrawBatchSampler(make(), by_epoch=False)
    batches = take(sampler, 12)
    assert indices(batches) == expected
    assert [batch[0].epoch for batch in batches] == list(range(12))
    sampler.start(0, 6)  # in the second pass
    assert take(sampler, 6) == batches[6:]


def test_a_sampler_without_batches_is_no_endless_loop():
    too_few = BatchSampler(DefaultSampler(IMAGES, seed=0), 12, drop_last=True)
    sampler = DrawBatchSampler(too_few, by_epoch=False)
    with pytest.raises(MaskSSLError, match="yields no batch of 12; use a smaller batch"):
        next(iter(sampler))


# In a loader


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("good") / "a", 10)


def test_skipped_batches_are_not_loaded(folder):
    dataset = pictures(folder)
    expected = [content(batch) for batch in draw_loader(SeededDataset(dataset, 0))]
    assert len(dataset.loaded) == 10
    dataset.loaded.clear()
    loader = draw_loader(SeededDataset(dataset, 0))
    loader.batch_sampler.start(0, 2)
    assert [content(batch) for batch in loader] == expected[2:]
    assert len(dataset.loaded) == 4
    assert dataset.loaded == [draw.index for batch in take_from(loader, 0, 2) for draw in batch]


def take_from(loader, epoch, first_batch):
    sampler = copy.copy(loader.batch_sampler)
    sampler.start(epoch, first_batch)
    return list(sampler)


def test_persistent_workers_begin_each_epoch_where_they_are_told(folder):
    data = SeededDataset(pictures(folder), 0)
    single, workers = draw_loader(data), draw_loader(data, num_workers=2)
    for place in [(0, 1), (1, 0), (5, 3)]:
        runs = []
        for loader in (single, workers):
            loader.batch_sampler.start(*place)
            runs.append([content(batch) for batch in loader])
        assert runs[0] == runs[1]
        assert len(runs[0]) == 4 - place[1]


def test_mmengines_seed_hook_reaches_the_sampler():
    loader = draw_loader(SeededDataset(IMAGES, 0))
    runner = type("Runner", (), {})()
    runner.train_loop, runner.epoch = type("Loop", (), dict(dataloader=loader))(), 6
    DistSamplerSeedHook().before_train_epoch(runner)
    assert loader.batch_sampler.sampler.epoch == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_an_iteration_based_loop_skips_once_and_loads_nothing(workers, folder):
    dataset = pictures(folder)
    data = SeededDataset(dataset, 0)
    sampler = InfiniteSampler(dataset, seed=1)
    run = DrawIterator(draw_loader(data, sampler=sampler, num_workers=workers))
    expected = [content(next(run)) for _ in range(8)]
    assert len({sample for batch in expected for sample in batch}) == 24
    loader = draw_loader(data, sampler=InfiniteSampler(dataset, seed=1), num_workers=workers)
    resumed = DrawIterator(loader)
    dataset.loaded.clear()
    resumed.skip_iter(5)
    assert not dataset.loaded
    assert loader.batch_sampler.drawn == 0  # no worker was started
    assert [content(next(resumed)) for _ in range(3)] == expected[5:]


def test_the_iterator_wants_draws_without_end():
    with pytest.raises(MaskSSLError, match=r"not from DrawBatchSampler\(by_epoch=True\)"):
        DrawIterator(draw_loader(SeededDataset(IMAGES, 0)))
    with pytest.raises(MaskSSLError, match="not from BatchSampler"):
        DrawIterator(DataLoader(torch.arange(3)))
