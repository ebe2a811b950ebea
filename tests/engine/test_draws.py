"""Loops and their draws: ranks, loaders, and a run that goes on with other draws."""

import pytest
import torch
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader

from maskssl.checkpoints.reading import read_checkpoint
from maskssl.engine.runner.draws import CHANGED
from maskssl.engine.runner.train_loops import drawn_loader
from maskssl.errors import MaskSSLError
from tests.engine import drawn_ranks


@pytest.fixture(scope="module")
def ranks(tmp_path_factory, run_warm):
    """Folder of a run on two ranks with seeds 5 and 6, and what each has found."""
    folder = tmp_path_factory.mktemp("ranks")
    done = run_warm(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("tests/engine/drawn_ranks.py", folder),
        env=dict(OMP_NUM_THREADS="1", PYTHONPATH="."),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return folder, [torch.load(folder / f"found_{rank}.pt") for rank in (0, 1)]


def test_ranks_with_seeds_of_their_own_share_the_images_and_draw_otherwise(ranks):
    _, found = ranks
    assert [one["seed"] for one in found] == [5, 6]
    assert [one["shared"] for one in found] == [5, 5]
    for epoch in (0, 1):
        seen = [
            image for one in found for batch in one["images"][3 * epoch :][:3] for image in batch
        ]
        assert sorted(seen) == list(range(12))
    assert not set(found[0]["drawn"]) & set(found[1]["drawn"])


def test_the_first_rank_decides_about_restarts_and_errors(ranks):
    folder, found = ranks
    assert [one["restart"] for one in found] == [str(folder / "run" / "epoch_2.pth")] * 2
    assert {one["refusal"] for one in found} == {"the first process alone has seen this"}


def resumed(folder, tmp_path, **options):
    runner = drawn_ranks.run(
        tmp_path / "on",
        load_from=str(folder / "run" / "epoch_1.pth"),
        resume=True,
        **{"randomness": dict(seed=5), **options},
    )
    runner.train()
    return runner


def test_another_number_of_ranks_is_refused_and_accepted_as_new_draws(ranks, tmp_path):
    folder, _ = ranks
    with pytest.raises(MaskSSLError, match=r"ranks 1 instead of 2.*start 2 processes"):
        resumed(folder, tmp_path)
    runner = resumed(folder, tmp_path, new_draws=True)
    # three iterations per epoch on two ranks, six on one: it begins with the second epoch
    assert len(runner.model.images) == 6 and runner.iter == 12
    assert runner.message_hub.get_info(CHANGED) == [6]
    assert sorted(i for batch in runner.model.images for i in batch) == list(range(12))

    whole = drawn_ranks.run(tmp_path / "whole", randomness=dict(seed=5))
    whole.train()
    assert whole.model.images[6:] == runner.model.images
    ends = [read_checkpoint(tmp_path / name / "epoch_2.pth") for name in ("on", "whole")]
    one, other = (end["param_schedulers"][0]["_last_value"] for end in ends)
    assert one == pytest.approx(other, rel=1e-12)


def test_another_seed_of_a_runner_made_by_hand_is_refused(ranks, tmp_path):
    folder, _ = ranks
    with pytest.raises(MaskSSLError, match="seed 7 instead of 5"):
        resumed(folder, tmp_path, randomness=dict(seed=7))


class Built:
    """What a loop asks a runner for when it makes its loader."""

    work_dir = None

    def __init__(self, loader: DataLoader) -> None:
        self.build_dataloader = lambda config, **_: loader


def loader(**options) -> DataLoader:
    images = list(range(4))
    return DataLoader(images, sampler=DefaultSampler(images), batch_size=2, **options)


def test_a_loader_keeps_its_settings():
    generator = torch.Generator()

    def init(worker):
        pass

    options = dict(
        num_workers=2, pin_memory=True, timeout=3.0, worker_init_fn=init, prefetch_factor=5,
        persistent_workers=True, generator=generator, collate_fn=list,
        multiprocessing_context="spawn",
    )  # fmt: skip
    plain = loader(**options)
    drawn = drawn_loader(Built(plain), None, by_epoch=True, seed=0)
    assert drawn.generator is generator
    for name in (*options, "pin_memory_device", "in_order"):
        assert getattr(drawn, name) == getattr(plain, name), name


def test_batches_in_the_order_of_their_arrival_are_refused():
    with pytest.raises(MaskSSLError, match="in_order=False"):
        drawn_loader(Built(loader(in_order=False)), None, by_epoch=True, seed=0)
