"""Replaced images are counted and reported, and too many of them stop every rank."""

import json
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, DefaultScope
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import distributed, multiprocessing
from torch.utils.data import DataLoader

from maskssl.datasets.draws.draw import Draw
from maskssl.datasets.draws.sampler import DrawIterator
from maskssl.datasets.draws.seeded_dataset import SeededDataset
from maskssl.datasets.draws.unreadable_list import UnreadableList
from maskssl.engine.hooks import unreadable
from maskssl.engine.hooks.unreadable import UnreadableImagesHook
from maskssl.errors import MaskSSLError
from tests.datasets.pictures import draw_loader, pictures, write_pictures

IMAGES = 20


class Tiny(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=self.weight**2)


@pytest.fixture
def run(tmp_path):
    """``run(loader, **hook_options)`` trains for two epochs or ten iterations; its warnings."""
    scopes = dict(DefaultScope._instance_dict)
    runners = []

    def train(loader, epochs=2, done=(0, 0), **options):
        by_epoch = loader.batch_sampler.by_epoch
        model = Tiny()
        runner = Runner(
            model=model,
            work_dir=str(tmp_path / "work"),
            train_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=epochs)
            if by_epoch
            else dict(by_epoch=False, max_iters=10),
            optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)),
            custom_hooks=[UnreadableImagesHook(**options)],
            default_hooks=dict(logger=dict(type="LoggerHook", interval=1000)),
            default_scope="mmpretrain",
            experiment_name=f"{tmp_path.name}-{len(runners)}",
        )
        runners.append(runner)
        warned = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: warned.append(record.getMessage())
        runner.logger.addHandler(handler)
        loop = runner.train_loop
        if not by_epoch:
            loop.dataloader_iterator = DrawIterator(loader)
        loop._epoch, loop._iter = done
        runner.warned = warned
        runner.train()
        return runner

    train.runners = runners
    yield train
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(scopes)


@pytest.fixture
def data(tmp_path):
    def make(broken=(), folder="work"):
        root = write_pictures(tmp_path / "data", IMAGES, broken=broken)
        return SeededDataset(pictures(root), 0, folder and tmp_path / folder)

    return make


def said(runner, part="could not be read"):
    return [text for text in runner.warned if part in text]


def endless_loader(dataset):
    return draw_loader(dataset, 4, sampler=InfiniteSampler(dataset, seed=0))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_epoch_tells_how_many_images_were_replaced(run, data, tmp_path, workers):
    runner = run(draw_loader(data(broken=(3, 8)), 4, num_workers=workers), max_share=0.1)
    path = tmp_path / "work" / "unreadable_images.jsonl"
    assert said(runner) == [
        f"2 of 20 images drawn in epoch {epoch} could not be read and were replaced by others; "
        f"they are listed in {path}"
        for epoch in (1, 2)
    ]
    drawn = {(record["epoch"], record["index"]) for record in map(json.loads, path.open())}
    assert drawn == {(0, 3), (0, 8), (1, 3), (1, 8)}


def test_nothing_is_said_where_all_can_be_read(run, data):
    assert not said(run(draw_loader(data(), 4), max_share=0, interval=2, min_draws=1))
    assert not said(run(endless_loader(data()), max_share=0, interval=2, min_draws=1))


def test_above_the_share_the_run_stops_after_the_epoch_is_saved(run, data, tmp_path):
    with pytest.raises(MaskSSLError) as stop:
        run(draw_loader(data(broken=(3, 8)), 4), max_share=0.099)
    said, _, last = str(stop.value).partition(" The last: ")
    assert "cannot be read as an image" in last
    assert said == (
        "2 of 20 images drawn (10.00%) could not be read, more than max_share=9.90%; they are "
        f"listed in {tmp_path / 'work' / 'unreadable_images.jsonl'}. Restore them or remove them "
        "from the data, or raise max_share of UnreadableImagesHook."
    )
    assert run.runners[0].iter == 5
    assert (tmp_path / "work" / "epoch_1.pth").exists()


def test_a_hopeless_run_stops_within_the_epoch(run, data):
    broken = tuple(range(0, IMAGES, 2))
    with pytest.raises(MaskSSLError, match="of 12 images drawn"):
        run(draw_loader(data(broken), 4), max_share=0.2, interval=1, min_draws=10)
    assert run.runners[0].iter == 2  # the third iteration
    with pytest.raises(MaskSSLError, match="10 of 20 images drawn"):  # too few draws to say before
        run(draw_loader(data(broken), 4), max_share=0.2, interval=1, min_draws=21)


def test_a_resumed_epoch_counts_what_was_listed_before_it(run, data):
    """Listed by the killed process: two draws of batches done, one still to come again."""
    dataset = data(broken=(3, 8, 11))
    loader = draw_loader(dataset, 4)
    loader.batch_sampler.start(1)
    order = [draw.index for batch in loader.batch_sampler for draw in batch]
    killed = order[:12]
    for index in killed:
        dataset[Draw(1, index)]
    dataset[Draw(0, 3)], dataset[Draw(2, 3)]  # of other epochs
    loader.batch_sampler.start(1, 2)
    # a share judged within the epoch knows nothing of draws before this process
    runner = run(loader, done=(1, 7), max_share=0.17, interval=5, min_draws=1)
    assert [text[:35] for text in said(runner)] == ["3 of 20 images drawn in epoch 2 cou"]


def test_images_listed_before_a_resume_stop_no_epoch_that_has_just_begun(run, data):
    dataset = data(broken=(3,))
    for index in range(IMAGES):
        dataset.unreadable.append([dict(epoch=0, index=index)])
    loader = draw_loader(dataset, 4)
    loader.batch_sampler.start(0, 1)
    with pytest.raises(MaskSSLError, match="20 of 20"):  # only the whole epoch is above
        run(loader, done=(0, 1), max_share=0.3, interval=2, min_draws=1)
    assert run.runners[0].iter == 5


def test_a_run_without_epochs_reports_at_intervals(run, data):
    """Ten batches of four from 20 images: each image comes twice."""
    runner = run(endless_loader(data(broken=(3,))), max_share=0.2, interval=1, min_draws=1000)
    texts = said(runner)
    assert [text.split(" images")[0].split(" of ")[0] for text in texts] == ["1", "2"]
    assert "drawn until now could not" in texts[0]
    with pytest.raises(MaskSSLError, match="2 of 40 images"):
        run(endless_loader(data(broken=(3,))), max_share=0.04, interval=1, min_draws=1000)
    assert run.runners[1].iter == 10
    with pytest.raises(MaskSSLError, match="more than max_share=20.00%"):
        broken = tuple(range(0, IMAGES, 2))
        run(endless_loader(data(broken)), max_share=0.2, interval=2, min_draws=10)
    assert run.runners[2].iter == 3


def test_a_resumed_run_without_epochs_counts_all_its_draws(run, data):
    run(endless_loader(data(broken=(3,))), max_share=0.2, interval=1000)
    loader = endless_loader(data(broken=(3,)))
    runner = run(loader, done=(0, 9), max_share=0.2, interval=1000)
    assert loader.batch_sampler.skipped == 36
    assert said(runner)[0].startswith("2 of 40 images drawn until now")


def test_batches_done_before_a_resume_do_not_hide_that_it_is_hopeless(run, data):
    """Four of the last eight draws or more fail; of all forty that is below the limit."""
    loader = endless_loader(data(broken=tuple(range(15))))
    with pytest.raises(MaskSSLError, match="of 8 images drawn"):
        run(loader, done=(0, 8), max_share=0.3, interval=1, min_draws=5)


def test_another_run_in_the_same_folder_counts_anew(run, data, tmp_path):
    run(draw_loader(data(broken=(3,)), 4), max_share=0.05)
    (tmp_path / "data" / "008.jpg").rename(tmp_path / "data" / "020.jpg")
    runner = run(draw_loader(data(), 4), max_share=0)  # all files are whole again
    aside = tmp_path / "work" / "unreadable_images.earlier.jsonl"
    assert said(runner, "earlier run") == [
        f"the unreadable images of an earlier run are in {aside}"
    ]
    assert len(aside.read_text().splitlines()) >= 2
    assert not (tmp_path / "work" / "unreadable_images.jsonl").exists()


def test_runs_that_cannot_count_say_so(run, data):
    def plain(dataset):
        return DataLoader(dataset, batch_size=4, collate_fn=lambda samples: dict(inputs=samples))

    loader = plain(data())
    loader.batch_sampler.by_epoch = True
    assert len(said(run(loader), "to have it replaced, load from SeededDataset")) == 1
    runner = run(draw_loader(data(broken=(3,), folder=None), 4), max_share=0)
    assert len(said(runner, "give SeededDataset a folder")) == 1


def test_an_iteration_based_run_that_draws_by_epochs_is_refused(data):
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    loop.dataloader = draw_loader(data(), 4)
    with pytest.raises(MaskSSLError, match="by_epoch=False"):
        UnreadableImagesHook().before_train(SimpleNamespace(train_loop=loop))


@pytest.mark.parametrize(
    "options", [dict(max_share=1), dict(max_share=-0.1), dict(max_share=1.1), dict(interval=0)]
)
def test_settings_are_checked(options):
    if options == dict(max_share=1):
        assert HOOKS.build(dict(type="UnreadableImagesHook", **options)).max_share == 1
    else:
        with pytest.raises(MaskSSLError, match="the share must lie in 0..1"):
            UnreadableImagesHook(**options)


# Two ranks


class TellingOnce:
    """Lets rank 1 go on: when rank 0 waits for it, or has counted without waiting."""

    told = False

    def tell(self):
        if not self.told:
            self.told = True
            distributed.send(torch.zeros(1), 1)

    def before(self, function):
        return lambda *args: (self.tell(), function(*args))[1]

    def behind(self, function):
        return lambda *args: (function(*args), self.tell())[0]


def rank_that_checks(rank, folder, results):
    """Rank 1 lists its image when rank 0 is at the end of its epoch; both must hear of it."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    loader = draw_loader(SeededDataset(list(range(IMAGES)), 0, folder), 4)
    runner = SimpleNamespace(
        train_loop=SimpleNamespace(dataloader=loader), iter=0, epoch=0,
        logger=logging.getLogger("quiet"),
    )  # fmt: skip
    hook = UnreadableImagesHook(max_share=0.04)
    if rank == 0:
        UnreadableList(folder).append([dict(epoch=0, index=number) for number in range(9)])
    hook.before_train(runner)
    hook.before_train_epoch(runner)
    for batch in loader.batch_sampler:
        assert len(batch) in (2, 4)
    if rank == 1:
        distributed.recv(torch.zeros(1), 0)
        UnreadableList(folder).append([dict(epoch=0, index=1)])
    else:
        telling = TellingOnce()
        unreadable.barrier = telling.before(unreadable.barrier)
        hook._count = telling.behind(hook._count)
    try:
        hook.after_train_epoch(runner)
        results.put((rank, "went on"))
    except MaskSSLError as error:
        results.put((rank, str(error)))
    distributed.barrier()
    distributed.destroy_process_group()


def test_all_ranks_stop_together(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    ranks = [context.Process(target=rank_that_checks, args=(rank, tmp_path, results))
             for rank in range(2)]  # fmt: skip
    for process in ranks:
        process.start()
    said = dict(results.get(timeout=60) for _ in ranks)
    for process in ranks:
        process.join(60)
        assert process.exitcode == 0
    assert said[0] == said[1]
    assert said[0].startswith("1 of 20 images drawn (5.00%) could not be read")
