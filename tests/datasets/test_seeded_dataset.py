"""A draw gives the same picture whoever loads it; unreadable ones are replaced and listed."""

import copy
import json
import pickle
import random
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from maskssl.datasets.draws.draw import Draw
from maskssl.datasets.draws.seeded_dataset import SeededDataset
from maskssl.datasets.draws.unreadable_list import UnreadableList
from maskssl.datasets.transforms.loading import UnreadableImageError
from maskssl.errors import MaskSSLError
from tests.datasets.pictures import content, draw_loader, pictures, write_pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("good") / "a", 10)


def epochs(loader, count=2):
    return [[content(batch) for batch in loader] for _ in range(count)]


def records(folder):
    return [json.loads(line) for line in (folder / "unreadable_images.jsonl").open()]


# The same picture


def test_any_number_of_workers_gives_the_same_pictures(folder):
    runs = [epochs(draw_loader(SeededDataset(pictures(folder), seed=3), num_workers=workers))
            for workers in (0, 1, 4)]  # fmt: skip
    assert runs[0] == runs[1] == runs[2]
    assert [len(batch) for batch in runs[0][0]] == [3, 3, 3, 1]
    first, second = ({sample for batch in epoch for sample in batch} for epoch in runs[0])
    assert len(first) == len(second) == 10
    assert not first & second


def test_a_picture_depends_on_seed_epoch_and_index_alone(folder):
    data = SeededDataset(pictures(folder), seed=3)

    def pixels(dataset, *draw):
        return dataset[Draw(*draw)]["inputs"].numpy().tobytes()

    before = pixels(data, 1, 4)
    pixels(data, 0, 4)
    np.random.seed(99)
    assert pixels(data, 1, 4) == before
    assert pixels(SeededDataset(pictures(folder), seed=3), 1, 4) == before
    others = [pixels(data, 2, 4), pixels(data, 1, 5), pixels(SeededDataset(data, 4), 1, 4)]
    assert before not in others
    assert data[4]["inputs"].equal(data[Draw(0, 4)]["inputs"])
    assert data[Draw(0, np.int64(4))]["inputs"].equal(data[4]["inputs"])


def test_loading_leaves_the_generators_of_the_process_alone(folder):
    data = SeededDataset(pictures(folder), seed=3)
    state = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
    data[Draw(0, 1)]
    assert random.getstate() == state[0]
    assert str(np.random.get_state()) == state[1]
    assert torch.get_rng_state().equal(state[2])


def test_images_that_mmengine_draws_anew_are_the_same_too(folder):
    def fetched():
        dataset = pictures(folder)
        dataset.pipeline = lambda info: info["sample_idx"] if info["sample_idx"] > 5 else None
        data = SeededDataset(dataset, seed=0)
        return [data[Draw(epoch, 0)] for epoch in range(12)]

    first = fetched()
    assert set(first) <= {6, 7, 8, 9} and len(set(first)) > 1
    np.random.seed(1)
    assert fetched() == first


# The wrapped dataset shows through


def test_attributes_are_read_from_and_set_on_the_wrapped_dataset(folder):
    dataset = pictures(folder)
    data = SeededDataset(dataset, seed=3)
    assert data.metainfo == dataset.metainfo
    assert data.get_data_info(2) == dataset.get_data_info(2)
    data.full_init()
    assert len(data) == 10
    data.pipeline = "another"  # as mmdet's PipelineSwitchHook does
    assert dataset.pipeline == "another" and "pipeline" not in vars(data)
    with pytest.raises(AttributeError, match="nonsense"):
        data.nonsense  # noqa: B018


def test_batches_are_not_fetched_past_the_seeds():
    class Batched(list):
        def __getitems__(self, indices):
            raise AssertionError

    data = SeededDataset(Batched("abc"), seed=0)
    assert not hasattr(data, "__getitems__")
    batches = list(draw_loader(data, batch_size=2))
    assert sorted(letter for batch in batches for letter in batch) == ["a", "b", "c"]


def test_it_can_be_copied_and_sent_to_spawned_workers(folder, tmp_path):
    data = SeededDataset(pictures(folder), seed=3, folder=tmp_path, max_tries=7)
    sent = pickle.loads(ForkingPickler.dumps(data))  # noqa: S301
    for twin in (copy.copy(data), copy.deepcopy(data), sent):
        assert twin[Draw(1, 2)]["inputs"].equal(data[Draw(1, 2)]["inputs"])
        assert (twin.max_tries, twin.unreadable.path) == (7, data.unreadable.path)


# Unreadable images


@pytest.fixture
def damaged(tmp_path):
    return write_pictures(tmp_path / "data", 12, broken=(2, 7))


def test_a_broken_file_is_replaced_alike_in_each_repetition(damaged, tmp_path):
    runs, lists = [], []
    for workers in (0, 2, 0):
        work_dir = tmp_path / f"run{len(runs)}"
        loader = draw_loader(SeededDataset(pictures(damaged), 5, work_dir), num_workers=workers)
        runs.append(epochs(loader, count=3))
        lists.append(sorted(records(work_dir), key=lambda r: (r["epoch"], r["index"])))
    assert runs[0] == runs[1] == runs[2]
    assert [len(batch) for batch in runs[0][0]] == [3, 3, 3, 3]
    assert lists[0] == lists[1] == lists[2]
    asked = {(record["epoch"], record["index"]) for record in lists[0]}
    assert asked == {(epoch, index) for epoch in range(3) for index in (2, 7)}
    for record in lists[0]:
        assert record["message"].startswith(str(damaged / f"{record['tried']:03d}.jpg"))
        assert record["replaced_by"] not in (2, 7)
    assert len({record["replaced_by"] for record in lists[0]}) > 2


def test_a_replacement_is_the_image_that_is_named(damaged, tmp_path):
    dataset = pictures(damaged)
    data = SeededDataset(dataset, 5, tmp_path)
    sample = data[Draw(0, 2)]
    assert dataset.loaded[0] == 2
    assert dataset.loaded[-1] == records(tmp_path)[0]["replaced_by"]
    path = dataset.get_data_info(dataset.loaded[-1])["img_path"]
    assert sample["data_samples"].img_path == path


def test_a_replayed_draw_counts_once(damaged, tmp_path):
    data = SeededDataset(pictures(damaged), 5, tmp_path)
    for _ in range(3):
        data[Draw(4, 7)]
    draws, _ = data.unreadable.read()
    assert len(draws) >= 3 and set(draws) == {(4, 7)}


def test_an_unreadable_image_as_the_cause_of_another_error_is_replaced(folder, tmp_path):
    class Wrapping:
        def __len__(self):
            return 4

        def __getitem__(self, index):
            try:
                if index == 1:
                    raise UnreadableImageError("x.jpg cannot be read")
            except UnreadableImageError as error:
                raise KeyError("mosaic") from error
            return index

    data = SeededDataset(Wrapping(), 0, tmp_path)
    assert data[Draw(0, 1)] in (0, 2, 3)
    assert records(tmp_path)[0]["message"] == "x.jpg cannot be read"


def test_other_errors_stay_as_they_are(tmp_path):
    data = SeededDataset([1, 2], 0, tmp_path)
    with pytest.raises(IndexError):
        data[Draw(0, 5)]
    assert not data.unreadable.path.exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_where_nothing_can_be_read_the_run_stops(workers, tmp_path):
    bad = write_pictures(tmp_path / "data", 3, broken=(0, 1, 2))
    data = SeededDataset(pictures(bad), 0, tmp_path, max_tries=5)
    said = "cannot be read, nor can the 4 others that were drawn in its place; check the disk"
    with pytest.raises(MaskSSLError, match=said) as error:
        next(iter(draw_loader(data, batch_size=1, num_workers=workers)))
    assert ".jpg cannot be read as an image" in str(error.value)
    listed = records(tmp_path)
    assert [record["replaced_by"] for record in listed[:5]] == [None] * 5
    with pytest.raises(MaskSSLError, match="max_tries=0"):
        SeededDataset([], 0, max_tries=0)


def test_replacements_are_logged(damaged, tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(
        "maskssl.datasets.draws.seeded_dataset.print_log", lambda text, **_: logged.append(text)
    )
    data = SeededDataset(pictures(damaged), 5)
    data[Draw(0, 2)], data[Draw(1, 2)]
    assert len(logged) == 2  # without a list, each one
    assert str(damaged / "002.jpg") in logged[0] and "epoch 1, image 2 is" in logged[1]
    data = SeededDataset(pictures(damaged), 5, tmp_path)
    data[Draw(0, 2)], data[Draw(1, 2)]
    assert len(logged) == 3  # with a list, where it stands
    assert str(tmp_path / "unreadable_images.jsonl") in logged[2]


# The list


def test_a_list_is_read_from_where_one_stopped(tmp_path, monkeypatch):
    logged = []
    name = "maskssl.datasets.draws.unreadable_list.print_log"
    monkeypatch.setattr(name, lambda text, **_: logged.append(text))
    unreadable = UnreadableList(tmp_path / "new")
    assert unreadable.read() == ([], 0)
    unreadable.append([dict(epoch=0, index=3), dict(epoch=0, index=3)])
    draws, offset = unreadable.read()
    assert draws == [(0, 3), (0, 3)]
    unreadable.append([dict(epoch=1, index=4)])
    with unreadable.path.open("a") as file:
        file.write('{"epoch": 2')  # not yet written to its end
    draws, end = unreadable.read(offset)
    assert draws == [(1, 4)]
    with unreadable.path.open("a") as file:
        file.write(', "index": 9}\n')
    assert unreadable.read(end) == ([(2, 9)], unreadable.path.stat().st_size)
    assert not logged  # no line was read twice, or cut


def test_damaged_lines_are_told(tmp_path, monkeypatch):
    logged = []
    name = "maskssl.datasets.draws.unreadable_list.print_log"
    monkeypatch.setattr(name, lambda text, **_: logged.append(text))
    unreadable = UnreadableList(tmp_path)
    unreadable.append([dict(epoch=0, index=3)])
    with unreadable.path.open("a") as file:
        file.write('{"epo\n[1]\n{"epoch": 1}\n')
    unreadable.append([dict(epoch=0, index=4)])
    assert unreadable.read()[0] == [(0, 3), (0, 4)]
    assert logged == [f"3 lines of {unreadable.path} are damaged and not counted"]


def test_a_full_disk_stops_no_training(tmp_path, monkeypatch):
    logged = []
    name = "maskssl.datasets.draws.unreadable_list.print_log"
    monkeypatch.setattr(name, lambda text, **_: logged.append(text))
    unreadable = UnreadableList(tmp_path)
    monkeypatch.setattr("os.write", lambda file, data: len(data) // 2)
    unreadable.append([dict(epoch=0, index=3)])
    assert "No space left on device" in logged[0] and '"index": 3' in logged[0]


def test_the_list_of_an_earlier_run_is_kept(tmp_path):
    unreadable = UnreadableList(tmp_path)
    assert unreadable.set_aside() is None
    unreadable.append([dict(epoch=0, index=3)])
    aside = unreadable.set_aside()
    assert json.loads(aside.read_text()) == dict(epoch=0, index=3)
    assert unreadable.read() == ([], 0)
