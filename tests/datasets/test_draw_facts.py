"""What fixes the draws of a run: compared, refused, taken over."""

import os

import pytest

from maskssl.datasets.draws.facts import (
    LOOKED_AT,
    data_hash,
    images_per_step,
    refusal,
    sampler_fact,
    settled,
)

BEFORE = dict(
    seed=1, batch_size=8, accumulation=2, sampler="{s}", ranks=4, images=1000, data_hash="a"
)


@pytest.mark.parametrize(
    ("change", "given", "adopted", "refused"),
    [
        ({}, (), {}, []),
        # left unset by the command: the checkpoint's
        (dict(seed=0), (), dict(seed=1), []),
        (dict(seed=None), (), dict(seed=1), []),
        (dict(batch_size=4), (), dict(batch_size=8), []),
        (dict(accumulation=1), (), dict(accumulation=2), []),
        (dict(sampler="{t}"), (), dict(sampler="{s}"), []),
        (dict(seed=0, batch_size=4), ("batch_size",), dict(seed=1), ["batch_size"]),
        # set by the command, and meant
        (dict(seed=0), ("seed",), {}, ["seed"]),
        (dict(seed=1), ("seed",), {}, []),
        (dict(batch_size=4, images=500), ("batch_size",), {}, ["batch_size", "images"]),
        (dict(accumulation=1), ("accumulation",), {}, ["accumulation"]),
        (dict(sampler="{t}"), ("sampler",), {}, ["sampler"]),
        # nothing that a config could give back
        (dict(ranks=2), (), {}, ["ranks"]),
        (dict(images=999), (), {}, ["images"]),
        (dict(data_hash="b"), (), {}, ["data_hash"]),
        # not known before the data are there
        (dict(images=None, data_hash=None), (), {}, []),
    ],
)
def test_a_resumed_run_keeps_to_the_draws_of_its_checkpoint(change, given, adopted, refused):
    assert settled(BEFORE, {**BEFORE, **change}, given) == (adopted, refused)


def test_a_checkpoint_of_an_earlier_version_tells_what_it_holds():
    now = {**BEFORE, "seed": 0, "batch_size": 4, "ranks": 1}
    assert settled(dict(seed=1), now, ()) == (dict(seed=1), [])
    assert settled(dict(seed=1), now, ("seed",)) == ({}, ["seed"])
    assert settled(dict(seed=None), now, ()) == ({}, [])


def test_a_refusal_names_values_and_ways_out():
    text = refusal(["batch_size", "ranks", "images"], BEFORE, dict(batch_size=4, ranks=2, images=9))
    assert "batch_size 4 instead of 8, ranks 2 instead of 4, images 9 instead of 1000" in text
    for way in ("set batch_size to 8, or leave the option out", "start 4 processes", "--new-draws"):
        assert way in text


def test_images_of_an_optimizer_step():
    assert images_per_step(BEFORE) == 8 * 2 * 4
    assert images_per_step(dict(seed=1)) is None


def test_samplers_are_compared_by_their_config():
    one = dict(sampler=dict(type="DefaultSampler", shuffle=True), batch_size=3)
    assert sampler_fact(one) == sampler_fact(dict(one, num_workers=9, batch_size=7))
    for other in (
        dict(sampler=dict(type="DefaultSampler", shuffle=False)),
        dict(one, drop_last=True),
        dict(one, batch_sampler=dict(type="AspectRatioBatchSampler")),
    ):
        assert sampler_fact(one) != sampler_fact(other)


class Listed:
    def __init__(self, *paths: str) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def get_data_info(self, index: int) -> dict:
        return dict(img_path=self.paths[index], gt_label=0)


def test_the_hash_is_that_of_the_list_in_its_order_wherever_it_lies():
    files = [f"{folder}/{name}.jpg" for folder in "ab" for name in "123"]
    first = data_hash(Listed(*(f"data/x/{file}" for file in files)))
    assert first == data_hash(Listed(*(f"/elsewhere/{file}" for file in files)))
    changed = [
        files[::-1],
        files[1:],
        [*files[:5], "b/4.jpg"],
        [*files[:3], *(file.replace("b/", "c/") for file in files[3:])],
    ]
    hashes = {data_hash(Listed(*(f"data/x/{file}" for file in files))) for files in changed}
    assert len(hashes | {first}) == 5


def test_of_a_long_list_every_part_is_looked_at():
    class Long:
        shift = None

        def __len__(self):
            return 4 * LOOKED_AT

        def get_data_info(self, index):
            moved = self.shift is not None and index >= self.shift
            return dict(img_path=f"{index + moved}.jpg")

    plain, inserted = Long(), Long()
    for inserted.shift in (0, 2 * LOOKED_AT, 4 * LOOKED_AT - 4):
        assert data_hash(plain) != data_hash(inserted)


def test_data_that_list_no_files_have_no_hash():
    class Unnamed(Listed):
        def get_data_info(self, index):
            return dict(gt_label=index)

    assert data_hash([1, 2]) is None
    assert data_hash(Unnamed("x", "y")) is None


def test_names_that_are_no_text_are_hashed_by_their_bytes():
    """Names of Linux are bytes; what is no UTF-8 in them comes as Python's surrogates."""

    class Listed(list):
        def get_data_info(self, index):
            return dict(img_path=self[index])

    one, other = (Listed([f"a/{os.fsdecode(name)}"]) for name in (b"\xe4.jpg", b"\xf6.jpg"))
    assert data_hash(one) != data_hash(other)
