"""Saving in real runs: nothing old goes before the new is safe, whatever happens meanwhile."""

import errno
import itertools
import logging
import os
import pickle
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from maskssl.checkpoints import finding, writing
from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.finding import check_checkpoint, newest_valid
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.checkpoints.writing import read_sidecar, remove_checkpoint, sidecar_of
from maskssl.engine.hooks import checkpoint as checkpoint_hook
from maskssl.engine.hooks import saving
from maskssl.engine.runner import resuming
from maskssl.engine.runner import saving as runner_saving
from maskssl.engine.runner.resuming import settle_resume
from maskssl.engine.runner.runner import MaskSSLRunner
from maskssl.errors import MaskSSLError
from tests.killing import killed_after

BATCHES = 4
_runs = itertools.count()


class Line(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(2, 1)

    def forward(self, inputs, mode="loss"):
        found = self.layer(inputs)
        return dict(loss=found.square().mean()) if mode == "loss" else [found]


class Scores(BaseMetric):
    """Hands out the given scores, one at each evaluation."""

    def __init__(self, *scores: dict) -> None:
        super().__init__()
        self.scores = iter(scores)

    def process(self, data_batch, data_samples) -> None:
        self.results.append(0)

    def compute_metrics(self, results) -> dict:
        return next(self.scores)


class At(Hook):
    """Calls a function after an iteration, behind all other hooks."""

    priority = "LOWEST"

    def __init__(self, done: int, call) -> None:
        self.done = done
        self.call = call

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.done:
            self.call(runner)


class Recorder(Hook):
    """What lies in the folder after every epoch or iteration, and what the hub says of it."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.ids: list[list[int]] = []

    def after_train_epoch(self, runner) -> None:
        self.seen.append(checkpoints(runner.work_dir))
        self.ids.append(runner.message_hub.get_info("keep_ckpt_ids"))


@pytest.fixture(autouse=True)
def scopes():
    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


def build(
    folder,
    epochs=4,
    hooks=(),
    iterations=None,
    scores=None,
    resume=None,
    runner=MaskSSLRunner,
    accumulate=1,
    **options,
):
    batches = max(iterations or 0, BATCHES)
    data = TensorDataset(torch.linspace(-1, 1, 4 * batches).reshape(-1, 2))
    model = Line()
    train_cfg = dict(by_epoch=iterations is None)
    train_cfg |= dict(max_iters=iterations) if iterations else dict(max_epochs=epochs)
    testing = dict(
        val_dataloader=DataLoader(data, batch_size=8),
        val_cfg={},
        val_evaluator=Evaluator(Scores(*scores or ())),
    )
    saving = dict(type="SafeCheckpointHook", interval=1) | options
    return runner(
        model,
        work_dir=str(folder),
        train_dataloader=DataLoader(data, batch_size=2),
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.1), accumulative_counts=accumulate),
        param_scheduler=dict(type="LinearLR", by_epoch=False, end=10),
        default_hooks=dict(checkpoint=saving),
        default_scope="mmpretrain",
        randomness=dict(seed=3),
        custom_hooks=list(hooks),
        experiment_name=f"{Path(folder).name}-{next(_runs)}",
        log_level="WARNING",
        load_from=str(resume) if isinstance(resume, Path) else None,
        resume=resume is not None,
        **(testing if scores else {}),
    )


def hook_of(runner) -> checkpoint_hook.SafeCheckpointHook:
    return next(h for h in runner.hooks if isinstance(h, checkpoint_hook.SafeCheckpointHook))


def checkpoints(folder) -> list[str]:
    return sorted(path.name for path in Path(folder).glob("*.pth"))


def without_checksum(folder) -> set[str]:
    """Files that are whole: the kill came before their checksums got their names."""
    return {name for name in checkpoints(folder) if not (folder / f"{name}.sha256").exists()}


def assert_tidy(folder) -> None:
    """All files whole and with checksums; nothing else; the pointer names one."""
    for path in folder.glob("*.pth"):
        assert check_checkpoint(path) is None
    sidecars = sorted(path.name for path in folder.glob("*.sha256"))
    assert sidecars == [f"{name}.sha256" for name in checkpoints(folder)]
    assert list(folder.glob(".*part")) == []
    assert check_checkpoint((folder / "last_checkpoint").read_text()) is None


@pytest.fixture
def warned(caplog):
    """Warnings and errors of a runner."""

    def texts(runner, level=logging.WARNING):
        return [
            record.getMessage()
            for record in caplog.records
            if record.levelno == level and record.filename in ("checkpoint.py", "saving.py")
        ]

    add = MMLogger.callHandlers  # loggers of runners do not propagate

    def call(self, record):
        caplog.records.append(record)
        add(self, record)

    MMLogger.callHandlers = call
    yield texts
    MMLogger.callHandlers = add


both_ways = pytest.mark.parametrize(
    "background", [False, True], ids=["in the step", "in the background"]
)


def fill_disk(monkeypatch, which) -> None:
    """Files whose final name satisfies ``which`` meet a full disk when synced."""
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        if name.endswith("-part") and which(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_a_whole_training_checkpoint(tmp_path):
    """With optimizer, schedulers and message hub: readable with a checksum and without."""
    runner = build(tmp_path, epochs=2, max_keep_ckpts=2)
    runner.train()
    path = tmp_path / "epoch_2.pth"
    facts = read_sidecar(path)
    assert (facts.iter, facts.epoch, facts.resumable) == (8, 2, True)
    sidecar_of(path).unlink()
    assert check_checkpoint(path) is None
    torch.load(path, weights_only=True)  # with no list of classes
    content = read_checkpoint(path)
    assert content.keys() >= {"meta", "state_dict", "message_hub", "optimizer", "param_schedulers"}
    assert "train/loss" in content["message_hub"]["log_scalars"]
    assert content["message_hub"]["runtime_info"]["keep_ckpt_ids"] == [1, 2]
    assert newest_valid(tmp_path) == path
    assert (tmp_path / "last_checkpoint").read_text() == str(path)


class Odd(Hook):
    """Leaves in the message hub what a user's hook may: numpy's numbers, and an object."""

    def before_train(self, runner) -> None:
        runner.message_hub.update_info_dict(dict(score=np.float32(0.5), place=Path("x")))


@both_ways
def test_odd_facts_of_a_hook_are_saved_plain_or_told(background, tmp_path, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr(writing, "print_log", lambda text, *_: told.append(text))
    build(tmp_path, epochs=1, hooks=[Odd()], background=background).train()
    facts = torch.load(tmp_path / "epoch_1.pth", weights_only=True)["message_hub"]["runtime_info"]
    assert facts["score"] == 0.5 and type(facts["score"]) is float and facts["place"] is None
    said = "is saved without message_hub/runtime_info/place (PosixPath)"
    assert len(told) == 1 and said in told[0]
    resumed = build(tmp_path, epochs=2, resume=tmp_path / "epoch_1.pth")
    resumed.train()
    assert len(resumed.message_hub.get_scalar("train/loss").data[0]) == 8  # of both parts


def test_a_checkpoint_of_a_former_release_resumes_as_a_new_one(tmp_path):
    """Its message hub holds mmengine's own objects."""
    build(tmp_path / "new", epochs=1).train()
    content = read_checkpoint(tmp_path / "new" / "epoch_1.pth")
    torch.save(content, tmp_path / "old.pth")
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "old.pth", weights_only=True)
    ends = []
    for path in (tmp_path / "old.pth", tmp_path / "new" / "epoch_1.pth"):
        runner = build(tmp_path / path.stem, epochs=2, resume=path)
        runner.train()
        history = runner.message_hub.get_scalar("train/loss").data[0]
        ends.append((list(history), runner.model.state_dict()))
    assert ends[0][0] == ends[1][0] and len(ends[0][0]) == 8
    torch.testing.assert_close(ends[0][1], ends[1][1], rtol=0, atol=0)


def test_the_count_and_the_milestones(tmp_path):
    seen = Recorder()
    build(tmp_path, epochs=7, hooks=[seen], max_keep_ckpts=2, keep_every=3).train()
    epochs = [[int(name[6:-4]) for name in names] for names in seen.seen]
    assert epochs == [[1], [1, 2], [2, 3], [3, 4], [3, 4, 5], [3, 5, 6], [3, 6, 7]]
    assert seen.ids == [[1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 6], [6, 7]]
    assert_tidy(tmp_path)


def test_the_count_by_iterations(tmp_path):
    options = dict(by_epoch=False, interval=2, max_keep_ckpts=2, keep_every=8)
    build(tmp_path, iterations=14, **options).train()
    assert checkpoints(tmp_path) == ["iter_12.pth", "iter_14.pth", "iter_8.pth"]
    assert read_sidecar(tmp_path / "iter_12.pth").iter == 12
    assert_tidy(tmp_path)


def test_without_a_count_all_stay(tmp_path):
    build(tmp_path, epochs=3).train()
    assert checkpoints(tmp_path) == ["epoch_1.pth", "epoch_2.pth", "epoch_3.pth"]


@both_ways
def test_the_old_goes_after_the_new_is_there(background, tmp_path, monkeypatch):
    events = []

    def write(content, path):
        writing.write_checkpoint(content, path)
        events.append(f"wrote {Path(path).name}")

    def point(text, path):
        writing.write_text(text, path)
        events.append(f"points to {Path(text).name}")

    def remove(path):
        remove_checkpoint(path)
        events.append(f"removed {Path(path).name}")

    monkeypatch.setattr(runner_saving, "write_checkpoint", write)
    monkeypatch.setattr(saving, "write_text", point)
    monkeypatch.setattr(saving, "remove_checkpoint", remove)
    scores = [dict(acc=1.0), dict(acc=2.0)]
    options = dict(max_keep_ckpts=1, save_best="acc", background=background)
    build(tmp_path, epochs=2, scores=scores, **options).train()
    assert events == [
        *["wrote epoch_1.pth", "points to epoch_1.pth"],
        *["wrote best_acc_epoch_1.pth", "wrote epoch_1.pth", "points to epoch_1.pth"],
        *["wrote epoch_2.pth", "points to epoch_2.pth", "removed epoch_1.pth"],
        *["wrote best_acc_epoch_2.pth", "wrote epoch_2.pth", "points to epoch_2.pth"],
        "removed best_acc_epoch_1.pth",
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run never stopped: four epochs, two kept, the first a milestone."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    build(folder, max_keep_ckpts=2, keep_every=3).train()
    return folder


def assert_ends_like(folder, whole) -> None:
    assert checkpoints(folder) == checkpoints(whole)
    ours, theirs = (read_checkpoint(path / "epoch_4.pth") for path in (folder, whole))
    for key in ("state_dict", "optimizer", "param_schedulers"):
        assert str(ours[key]) == str(theirs[key])
    ids = [c["message_hub"]["runtime_info"]["keep_ckpt_ids"] for c in (ours, theirs)]
    assert ids[0] == ids[1] == [2, 3, 4]
    assert_tidy(folder)


def test_killed_at_any_moment_of_the_hook(whole, tmp_path):
    """SIGKILL before every second line of the hook; the resumed run ends like the whole one."""
    build(tmp_path / "first", epochs=2, max_keep_ckpts=2, keep_every=3).train()

    def third_epoch(folder, epochs):
        resume = newest_valid(folder)
        build(folder, epochs, max_keep_ckpts=2, keep_every=3, resume=resume).train()

    resumed_from, seen = [], set()
    for lines in range(0, 500, 2):
        folder = tmp_path / str(lines)
        shutil.copytree(tmp_path / "first", folder)
        pointer = folder / "last_checkpoint"
        pointer.write_text(str(folder / "epoch_2.pth"))
        killed = killed_after(
            lines, lambda to=folder: third_epoch(to, 3), [checkpoint_hook, saving]
        )
        assert check_checkpoint(pointer.read_text()) is None
        assert {"epoch_2.pth"} <= set(checkpoints(folder))
        resumed_from.append(newest_valid(folder).name)
        state = (Path(pointer.read_text()).name, *sorted(p.name for p in folder.glob("*.pth*")))
        if state not in seen:  # a run resumed from the same files ends in the same way
            third_epoch(folder, 4)
            assert_ends_like(folder, whole)
        seen.add(state)
        if not killed:
            break
    assert not killed
    assert lines > 50
    assert resumed_from == sorted(resumed_from)
    assert {"epoch_2.pth", "epoch_3.pth"} == set(resumed_from)
    assert len(seen) == 4  # as before; written; pointed to; the old one removed


def test_killed_at_any_moment_while_a_checkpoint_is_written_in_the_background(whole, tmp_path):
    """SIGKILL while two threads run: lines of the hook and of the writer are counted alike."""
    options = dict(max_keep_ckpts=2, keep_every=3, background=True)
    build(tmp_path / "first", epochs=2, **options).train()
    resumed_from, killed, lines = set(), True, 0
    while killed:
        folder = tmp_path / str(lines)
        shutil.copytree(tmp_path / "first", folder)
        (folder / "last_checkpoint").write_text(str(folder / "epoch_2.pth"))

        def train(epochs, to=folder):
            build(to, epochs, resume=True, **options).train()

        killed = killed_after(
            lines, lambda train=train: train(3), [checkpoint_hook, saving, writing]
        )
        assert check_checkpoint((folder / "last_checkpoint").read_text()) is None
        found = newest_valid(folder).name
        bare = without_checksum(folder)
        assert bare <= {"epoch_3.pth"}
        if found not in resumed_from or bare or lines % 50 == 0:
            train(4)
            assert_ends_like(folder, whole)
        resumed_from.add(found)
        lines += 10
    assert lines > 100
    assert resumed_from == {"epoch_2.pth", "epoch_3.pth"}


def test_killed_at_any_moment_while_the_best_is_written_in_the_background(tmp_path):
    """What the newest whole checkpoint says is the best is there and whole."""
    options = dict(max_keep_ckpts=1, save_best="acc", background=True)
    build(tmp_path / "first", epochs=1, scores=[dict(acc=1.0)], **options).train()
    seen, killed, lines = [], True, 0
    while killed:
        folder = tmp_path / str(lines)
        shutil.copytree(tmp_path / "first", folder)
        for path in folder.glob("*.pth"):  # as if the first epoch had been run here
            content = read_checkpoint(path)
            facts = content["message_hub"]["runtime_info"]
            facts.update(best_ckpt=str(folder / "best_acc_epoch_1.pth"))
            writing.write_checkpoint(content, path)

        def train(folder=folder):
            build(folder, 2, scores=[dict(acc=2.0)], resume=True, **options).train()

        killed = killed_after(lines, train, [checkpoint_hook, saving])
        newest = newest_valid(folder)
        facts = read_checkpoint(newest)["message_hub"]["runtime_info"]
        assert check_checkpoint(facts["best_ckpt"]) is None
        step, score = int(newest.stem[6:]), facts["best_score"]
        seen.append((step, score, (folder / "best_acc_epoch_1.pth").exists()))
        lines += 10
    assert lines > 100
    assert set(seen) <= {(1, 1.0, True), (2, 1.0, True), (2, 2.0, True), (2, 2.0, False)}
    assert len({step for step, *_ in seen}) == len({score for _, score, _ in seen}) == 2
    assert seen[-1] == (2, 2.0, False)


@pytest.mark.parametrize("way", ["config", "runner"])
def test_who_resumes_gives_a_whole_file_its_checksum(way, tmp_path):
    build(tmp_path, epochs=1).train()
    path = tmp_path / "epoch_1.pth"
    text = sidecar_of(path).read_text()
    sidecar_of(path).unlink()
    if way == "config":
        cfg = Config(dict(resume=True, work_dir=str(tmp_path), train_dataloader=dict(batch_size=2)))
        settle_resume(cfg)
        assert cfg.load_from == str(path)
    else:
        build(tmp_path, epochs=2, resume=True).train()
    assert sidecar_of(path).read_text() == text


@pytest.mark.parametrize("kept", [True, False], ids=["given again", "left out"])
@pytest.mark.parametrize("way", ["config", "runner"])
def test_a_run_that_saves_on_another_disk_resumes_from_there(way, kept, tmp_path):
    work_dir, out_dir = tmp_path / "run", str(tmp_path / "big")
    build(work_dir, epochs=2, out_dir=out_dir).train()
    assert checkpoints(work_dir) == []
    options = dict(out_dir=out_dir) if kept else {}
    if way == "config":
        hooks = dict(checkpoint=dict(type="SafeCheckpointHook", **options))
        loader = dict(batch_size=2)
        cfg = Config(dict(resume=True, work_dir=str(work_dir), train_dataloader=loader))
        cfg.default_hooks = hooks
        settle_resume(cfg)
        assert cfg.load_from == str(tmp_path / "big/run/epoch_2.pth")
        return
    again: list[Runner] = []
    build(work_dir, epochs=3, hooks=[At(1, again.append)], resume=True, **options).train()
    assert not again
    saved = ["epoch_1.pth", "epoch_2.pth", "epoch_3.pth"]
    assert checkpoints(tmp_path / "big" / "run") == (saved if kept else saved[:2])


@pytest.mark.parametrize("checksum", [True, False], ids=["checksum", "none"])
@pytest.mark.parametrize("way", ["config", "runner"])
def test_a_given_checkpoint_with_a_flipped_bit_is_refused(way, checksum, tmp_path):
    build(tmp_path, epochs=1).train()
    path = tmp_path / "epoch_1.pth"
    weight = read_checkpoint(path)["state_dict"]["layer.weight"].numpy().tobytes()
    flipped = bytearray(path.read_bytes())
    flipped[flipped.index(weight)] ^= 1
    path.write_bytes(flipped)
    if not checksum:
        sidecar_of(path).unlink()
    assert read_checkpoint(path)["state_dict"]["layer.weight"].numpy().tobytes() != weight
    with pytest.raises(CheckpointError, match=f"{path} is not resumed from: its .* is"):
        if way == "config":
            loader = dict(batch_size=2)
            cfg = dict(load_from=str(path), work_dir=str(tmp_path), train_dataloader=loader)
            settle_resume(Config(dict(cfg, resume=True)))
        else:
            build(tmp_path, epochs=2, resume=path).train()


def test_a_checkpoint_is_looked_through_once_until_it_changes(tmp_path, monkeypatch):
    """A command settles what is resumed, and then the runner that it builds."""
    build(tmp_path, epochs=1).train()
    path = tmp_path / "epoch_1.pth"
    looked: list[Path] = []
    for module in (finding, resuming):
        monkeypatch.setattr(module, "check_checkpoint", lambda path: looked.append(path))
    for given in (None, str(path)):
        cfg = dict(load_from=given, work_dir=str(tmp_path), train_dataloader=dict(batch_size=2))
        settle_resume(Config(dict(cfg, resume=True)))
    assert looked == [path]
    build(tmp_path, epochs=2, resume=path).train()
    assert looked == [path]
    os.utime(path, (1000, 1000))
    build(tmp_path, epochs=2, resume=path).train()
    assert looked == [path] * 2


@pytest.fixture
def gate(monkeypatch):
    """The writer waits for it, in the background; ``wrote`` lists the files that were begun."""
    gate = threading.Event()
    gate.wrote = []

    def write(content, path):
        gate.wrote.append(Path(path).name)
        if threading.current_thread() is not threading.main_thread():
            assert gate.wait(60), "the run did not go on"
        writing.write_checkpoint(content, path)

    monkeypatch.setattr(runner_saving, "write_checkpoint", write)
    return gate


def test_the_run_goes_on_while_a_checkpoint_is_written(whole, tmp_path, gate):
    """Two steps on, only the old one is there; what is written then is the state of the save."""
    gate.set()
    seen = []

    def close(runner) -> None:
        hook_of(runner)._saver.begun[0].written.result()  # epoch 2 is written
        gate.clear()

    def look(runner) -> None:
        seen.append((checkpoints(tmp_path), (tmp_path / "last_checkpoint").read_text()))
        gate.set()

    hooks = [At(12, close), At(14, look)]
    build(tmp_path, hooks=hooks, max_keep_ckpts=1, keep_every=3, background=True).train()
    assert seen == [(["epoch_2.pth"], str(tmp_path / "epoch_2.pth"))]
    assert gate.wrote == [f"epoch_{n}.pth" for n in (1, 2, 3, 4)]
    assert checkpoints(tmp_path) == ["epoch_3.pth", "epoch_4.pth"]
    assert_tidy(tmp_path)
    ours, theirs = (read_checkpoint(folder / "epoch_3.pth") for folder in (tmp_path, whole))
    for key in ("state_dict", "optimizer", "param_schedulers"):
        assert str(ours[key]) == str(theirs[key])


def test_the_run_goes_on_while_the_best_is_written(tmp_path, gate):
    """As it was at its epoch; the former best stays, and what speaks of the new one comes last."""
    scores = [dict(acc=value) for value in (1.0, 2.0, 0.0)]
    options = dict(max_keep_ckpts=1, save_best="acc")
    build(tmp_path / "waiting", epochs=3, scores=scores, **options).train()
    folder, seen = tmp_path / "run", []
    gate.set()

    def close(runner) -> None:  # the save before validation goes through, those behind it do not
        hook_of(runner)._settle(runner)
        gate.clear()

    class Closing(Hook):
        def after_val_iter(self, runner, *args, **kwargs) -> None:
            if runner.epoch == 2:
                close(runner)

    def look(runner) -> None:
        said = read_checkpoint(folder / "epoch_2.pth")["message_hub"]["runtime_info"]
        seen.append((checkpoints(folder), said["best_score"]))
        gate.set()

    hooks = [Closing(), At(10, look)]
    build(folder, epochs=3, scores=scores, hooks=hooks, background=True, **options).train()
    assert seen == [(["best_acc_epoch_1.pth", "epoch_2.pth"], 1.0)]
    best = "best_acc_epoch_2.pth"
    assert checkpoints(folder) == checkpoints(tmp_path / "waiting") == [best, "epoch_3.pth"]
    for name in checkpoints(folder):
        ours, theirs = (read_checkpoint(tmp_path / way / name) for way in ("run", "waiting"))
        assert ours.keys() == theirs.keys()
        for key in ours.keys() - {"meta", "message_hub"}:
            assert str(ours[key]) == str(theirs[key])
    assert_tidy(folder)


def test_one_save_at_most_is_under_way(tmp_path, gate, monkeypatch, warned):
    """The next one waits before it takes a copy, and says how long the run waited."""
    events = []
    copied = MaskSSLRunner.copied_checkpoint

    def copy(runner, folder, name, **options):
        events.append(f"copy {name}, {gate.is_set()}")
        return copied(runner, folder, name, **options)

    settle = checkpoint_hook.SafeCheckpointHook._settle

    def settled(hook, runner):
        if hook._saver.begun:  # epoch 1 is held up until the run waits for it
            gate.set()
        return settle(hook, runner)

    monkeypatch.setattr(MaskSSLRunner, "copied_checkpoint", copy)
    monkeypatch.setattr(checkpoint_hook.SafeCheckpointHook, "_settle", settled)
    runner = build(tmp_path, epochs=2, background=True)
    runner.logger.setLevel(logging.INFO)
    runner.train()
    assert events == ["copy epoch_1.pth, False", "copy epoch_2.pth, True"]
    told = [text for text in warned(runner, logging.INFO) if "the run waited" in text]
    assert [text.split()[-1] for text in told] == ["epoch_1.pth", "epoch_2.pth"]
    assert_tidy(tmp_path)


def test_saving_now_waits_for_the_writer(tmp_path, gate, monkeypatch):
    settle = checkpoint_hook.SafeCheckpointHook._settle

    def settled(hook, runner):
        gate.set()
        return settle(hook, runner)

    def leave(runner):
        monkeypatch.setattr(checkpoint_hook.SafeCheckpointHook, "_settle", settled)
        preempt(runner)

    with pytest.raises(Preempted):
        build(tmp_path, hooks=[At(6, leave)], background=True).train()
    assert checkpoints(tmp_path) == ["epoch_1.pth", "iter_6.pth"]
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "iter_6.pth")
    assert_tidy(tmp_path)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("/epoch_1.pth", {4, 5}), ("/best_acc_epoch_1.pth", {4, 5}), ("/epoch_2.pth", {8})],
    ids=["next step", "best", "end"],
)
def test_an_error_of_the_writer_ends_the_run(name, steps, tmp_path, monkeypatch):
    def write(content, path):
        if path.endswith(name):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        writing.write_checkpoint(content, path)

    def until_written(runner):
        # step 6 raises it, if step 5 came too early
        hook_of(runner)._saver.begun[0].written.exception()

    monkeypatch.setattr(runner_saving, "write_checkpoint", write)
    hooks = [At(5, until_written)] if "1" in name else []
    options = dict(scores=[dict(acc=1.0)] * 2, save_best="acc") if "best" in name else {}
    runner = build(tmp_path, epochs=2, hooks=hooks, background=True, **options)
    with pytest.raises(OSError, match="Input/output error"):
        runner.train()
    assert runner.iter in steps  # done before


def test_a_full_disk_is_as_harmless_in_the_background(tmp_path, monkeypatch, warned):
    runner = build(tmp_path, epochs=5, max_keep_ckpts=2, background=True)
    fill_disk(monkeypatch, lambda name: "epoch_3" in name or "epoch_4" in name)
    runner.train()
    assert checkpoints(tmp_path) == ["epoch_2.pth", "epoch_5.pth"]
    assert runner.message_hub.get_info("keep_ckpt_ids") == [2, 5]
    texts = [text for text in warned(runner) if "was not saved" in text]
    assert len(texts) == 2
    assert f"it resumes from {tmp_path / 'epoch_2.pth'}" in texts[1]
    assert_tidy(tmp_path)


def test_a_full_disk_stops_the_save_and_not_the_run(tmp_path, monkeypatch, warned):
    seen = Recorder()
    runner = build(tmp_path, epochs=5, hooks=[seen], max_keep_ckpts=2)
    fill_disk(monkeypatch, lambda name: "epoch_3" in name or "epoch_4" in name)
    runner.train()
    two = ["epoch_1.pth", "epoch_2.pth"]
    assert seen.seen == [["epoch_1.pth"], two, two, two, ["epoch_2.pth", "epoch_5.pth"]]
    assert seen.ids == [[1], [1, 2], [1, 2], [1, 2], [2, 5]]
    texts = [text for text in warned(runner) if "was not saved" in text]
    assert len(texts) == 2
    assert "epoch_3.pth was not saved, the disk is full" in texts[0]
    assert f"it resumes from {tmp_path / 'epoch_2.pth'}" in texts[1]
    assert warned(runner, logging.ERROR) == []
    assert_tidy(tmp_path)


@both_ways
def test_the_last_save_does_not_fail_in_silence(background, tmp_path, monkeypatch, warned):
    runner = build(tmp_path, epochs=2, background=background)
    fill_disk(monkeypatch, lambda name: "epoch_2" in name)
    runner.train()
    [text] = warned(runner, logging.ERROR)
    assert "its last state is not saved" in text
    assert f"resume from {tmp_path / 'epoch_1.pth'}" in text
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "epoch_1.pth")
    hub = runner.message_hub
    assert hub.get_info("last_ckpt") == str(tmp_path / "epoch_1.pth")
    assert_tidy(tmp_path)


def test_without_space_for_the_pointer_nothing_is_removed(tmp_path, monkeypatch, warned):
    seen = Recorder()
    runner = build(tmp_path, epochs=3, hooks=[seen], max_keep_ckpts=1)
    saves = []

    def which(name):
        saves.append(name)
        return "last_checkpoint" in name and any("epoch_2" in save for save in saves[-3:])

    fill_disk(monkeypatch, which)
    runner.train()
    assert seen.seen == [["epoch_1.pth"], ["epoch_1.pth", "epoch_2.pth"], ["epoch_3.pth"]]
    assert "last_checkpoint was not saved" in warned(runner)[0]
    assert_tidy(tmp_path)


@both_ways
def test_the_best_is_kept(background, tmp_path):
    scores = [dict(acc=value) for value in (1.0, 3.0, 2.0)]
    options = dict(max_keep_ckpts=1, save_best="auto", background=background)
    build(tmp_path, epochs=3, scores=scores, **options).train()
    assert checkpoints(tmp_path) == ["best_acc_epoch_2.pth", "epoch_3.pth"]
    best = read_checkpoint(tmp_path / "best_acc_epoch_2.pth")
    assert best["meta"]["epoch"] == 2
    assert "optimizer" not in best
    said = read_checkpoint(tmp_path / "epoch_3.pth")["message_hub"]["runtime_info"]
    assert said["best_score"] == best["message_hub"]["runtime_info"]["best_score"] == 3.0
    assert said["best_ckpt"] == str(tmp_path / "best_acc_epoch_2.pth")
    assert_tidy(tmp_path)


def test_the_best_of_several_metrics(tmp_path):
    scores = [dict(acc=1.0, loss=1.0), dict(acc=2.0, loss=2.0), dict(acc=0.0, loss=0.5)]
    options = dict(max_keep_ckpts=1, save_best=["acc", "loss"])
    build(tmp_path, epochs=3, scores=scores, **options).train()
    best = ["best_acc_epoch_2.pth", "best_loss_epoch_3.pth"]
    assert checkpoints(tmp_path) == [*best, "epoch_3.pth"]
    resume = tmp_path / "epoch_3.pth"
    build(tmp_path, 4, scores=[dict(acc=3.0, loss=0.6)], resume=resume, **options).train()
    best = ["best_acc_epoch_4.pth", "best_loss_epoch_3.pth"]
    assert checkpoints(tmp_path) == [*best, "epoch_4.pth"]
    assert_tidy(tmp_path)


@both_ways
def test_a_full_disk_costs_no_best(background, tmp_path, monkeypatch, warned):
    """The former best stays, and its score: what beats it later is saved."""
    scores = [dict(acc=value) for value in (1.0, 3.0, 2.0)]
    options = dict(max_keep_ckpts=1, save_best="acc", background=background)
    runner = build(tmp_path, epochs=3, scores=scores, **options)
    fill_disk(monkeypatch, lambda name: "best_acc_epoch_2" in name)
    hub, scored = runner.message_hub, []

    def look(runner) -> None:
        hook_of(runner)._settle(runner)
        assert check_checkpoint(tmp_path / "best_acc_epoch_1.pth") is None
        said = read_checkpoint(tmp_path / "epoch_2.pth")["message_hub"]["runtime_info"]
        scored.extend([said["best_score"], hub.get_info("best_score"), hub.get_info("best_ckpt")])

    runner.register_hook(At(9, look))
    runner.train()
    assert "best_acc_epoch_2.pth was not saved" in warned(runner)[0]
    assert scored == [1.0, 1.0, str(tmp_path / "best_acc_epoch_1.pth")]
    assert warned(runner, logging.ERROR) == []
    assert checkpoints(tmp_path) == ["best_acc_epoch_3.pth", "epoch_3.pth"]
    assert hub.get_info("best_score") == 2.0
    assert_tidy(tmp_path)


def test_published_files_are_written_whole(tmp_path, monkeypatch, warned):
    keys = ["meta", "state_dict"]
    build(tmp_path / "run", epochs=1, published_keys=keys).train()
    [published] = (tmp_path / "run").glob("epoch_1-*.pth")
    assert read_checkpoint(published).keys() == set(keys)
    assert_tidy(tmp_path / "run")
    fill_disk(monkeypatch, lambda name: "epoch_1-" in name)
    runner = build(tmp_path / "full", epochs=1, published_keys=keys)
    runner.train()
    assert checkpoints(tmp_path / "full") == ["epoch_1.pth"]
    assert "was not saved" in warned(runner)[0]


class Preempted(Exception):
    pass


def preempt(runner) -> None:
    hook_of(runner).save_now(runner)
    raise Preempted


def test_saving_now_in_the_middle_of_an_epoch(tmp_path):
    """The file is an extra: the count is as without it, and it goes with the next save."""
    seen = Recorder()
    options = dict(max_keep_ckpts=2)
    with pytest.raises(Preempted):
        build(tmp_path, hooks=[At(10, preempt)], **options).train()
    assert checkpoints(tmp_path) == ["epoch_1.pth", "epoch_2.pth", "iter_10.pth"]
    assert newest_valid(tmp_path) == tmp_path / "iter_10.pth"
    assert (tmp_path / "last_checkpoint").read_text() == str(tmp_path / "iter_10.pth")
    meta = read_checkpoint(tmp_path / "iter_10.pth")["meta"]
    assert (meta["epoch"], meta["iter"]) == (2, 10)

    # mmengine's loop begins the epoch anew and counts on; the files are what matters here
    with pytest.raises(Preempted):
        resume = tmp_path / "iter_10.pth"
        build(tmp_path, hooks=[At(11, preempt)], resume=resume, **options).train()
    assert checkpoints(tmp_path) == ["epoch_1.pth", "epoch_2.pth", "iter_11.pth"]
    resume = tmp_path / "iter_11.pth"
    runner = build(tmp_path, hooks=[seen], resume=resume, **options)
    runner.train()
    assert seen.seen == [["epoch_2.pth", "epoch_3.pth"], ["epoch_3.pth", "epoch_4.pth"]]
    assert seen.ids == [[2, 3], [3, 4]]
    assert "preempt_ckpt" not in runner.message_hub.runtime_info
    assert_tidy(tmp_path)


def stop(runner) -> None:
    hook_of(runner)._settle(runner)  # what was begun is written, as if time had passed
    raise Preempted


@both_ways
@pytest.mark.parametrize(
    ("options", "resumed_from", "iteration"),
    [
        (dict(epochs=3), "epoch_1.pth", 6),  # four iterations each, steps at 3, 6, 9 and 12
        (dict(iterations=11, by_epoch=False, interval=4), "iter_4.pth", 6),
    ],
    ids=["by epoch", "by iteration"],
)
def test_a_save_waits_for_the_gradients_that_are_gathered_up(
    options, resumed_from, iteration, background, tmp_path
):
    """No file holds them: killed and resumed, a run would make a step of a part of its batch."""
    options = dict(options, accumulate=3, background=background)
    build(tmp_path / "whole", **options).train()
    folder = tmp_path / "killed"
    with pytest.raises(Preempted):
        build(folder, hooks=[At(7, stop)], **options).train()
    resume = newest_valid(folder)
    assert resume.name == resumed_from and read_sidecar(resume).iter == iteration
    build(folder, resume=resume, **options).train()
    names = checkpoints(tmp_path / "whole")
    ends = [read_checkpoint(tmp_path / way / names[-1]) for way in ("whole", "killed")]
    for key, value in ends[0]["state_dict"].items():
        assert torch.equal(value, ends[1]["state_dict"][key]), key
    assert str(ends[0]["optimizer"]) == str(ends[1]["optimizer"])


def test_what_is_due_when_a_run_ends_before_its_time_is_saved(tmp_path):
    class Early(Hook):
        def after_val_epoch(self, runner, metrics=None) -> None:
            runner.train_loop.stop_training = True

    scores, options = [dict(acc=1.0)], dict(accumulate=3, save_best="acc", max_keep_ckpts=1)
    build(tmp_path, hooks=[Early()], scores=scores, **options).train()
    assert checkpoints(tmp_path) == ["best_acc_epoch_1.pth", "epoch_1.pth"]
    content = read_checkpoint(tmp_path / "epoch_1.pth")
    assert (content["meta"]["epoch"], content["meta"]["iter"]) == (1, 4)
    assert content["message_hub"]["runtime_info"]["best_score"] == 1.0


def content_of(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.pth*")}


@both_ways
def test_a_run_that_goes_on_elsewhere_leaves_the_files_of_the_first(background, tmp_path):
    """The best, the one of a signal, and those that the count and the publishing speak of."""
    first, second = tmp_path / "first", tmp_path / "second"
    options = dict(max_keep_ckpts=1, save_best="acc", background=background)
    scores = [dict(acc=value) for value in (1.0, 2.0, 3.0, 4.0)]
    with pytest.raises(Preempted):
        build(first, hooks=[At(6, preempt)], scores=scores, **options).train()
    before = content_of(first)
    assert checkpoints(first) == ["best_acc_epoch_1.pth", "epoch_1.pth", "iter_6.pth"]
    second.mkdir()
    (second / "epoch_1.pth").write_text("of another run")

    options |= dict(resume=first / "iter_6.pth", published_keys=["meta", "state_dict"])
    build(second, epochs=3, scores=[dict(acc=0.0)] * 2, **options).train()
    assert content_of(first) == before
    [published] = second.glob("epoch_3-*.pth")
    assert set(checkpoints(second)) == {"epoch_1.pth", "epoch_3.pth", published.name}
    published.unlink()
    build(second, epochs=3, scores=scores[1:], **options).train()
    assert content_of(first) == before
    assert "best_acc_epoch_3.pth" in checkpoints(second)
    assert "best_acc_epoch_2.pth" not in checkpoints(second)
    assert (second / "epoch_1.pth").read_text() == "of another run"


def test_saving_now_when_it_is_the_turn_anyway(tmp_path):
    paths = []
    hooks = [At(done, lambda r: paths.append(hook_of(r).save_now(r))) for done in (4, 5)]
    options = dict(by_epoch=False, interval=2, max_keep_ckpts=1)
    build(tmp_path, iterations=5, hooks=hooks, save_last=False, **options).train()
    assert paths == [str(tmp_path / "iter_4.pth"), str(tmp_path / "iter_5.pth")]
    assert checkpoints(tmp_path) == ["iter_4.pth", "iter_5.pth"]


def test_saving_now_on_a_full_disk(tmp_path, monkeypatch, warned):
    found = []
    fill_disk(monkeypatch, lambda name: "iter_6" in name)
    call = At(6, lambda r: found.append(hook_of(r).save_now(r)))
    runner = build(tmp_path, epochs=2, hooks=[call])
    runner.train()
    assert found == [None]
    assert "iter_6.pth was not saved" in warned(runner)[0]
    assert "preempt_ckpt" not in runner.message_hub.runtime_info
    assert checkpoints(tmp_path) == ["epoch_1.pth", "epoch_2.pth"]


def test_checkpoints_of_another_run_ahead_are_told(tmp_path, warned):
    build(tmp_path, epochs=2).train()
    runner = build(tmp_path, epochs=1)
    runner.train()
    [text] = warned(runner)
    assert "starts at epoch 0, iteration 0, and epoch_1.pth, epoch_2.pth" in text


@pytest.mark.parametrize(
    "options", [dict(interval=2, keep_every=3), dict(keep_every=0), dict(interval=2, save_begin=1)]
)
def test_milestones_that_are_never_saved_are_refused(options):
    message = "must be a positive multiple of interval"
    with pytest.raises(MaskSSLError, match=message):
        checkpoint_hook.SafeCheckpointHook(**dict(keep_every=2, interval=1) | options)


def test_remote_storage_is_refused(tmp_path):
    with pytest.raises(MaskSSLError, match="use mmengine's CheckpointHook there"):
        build(tmp_path, out_dir="http://example.org/runs").train()


def test_a_writer_of_its_own_is_told(tmp_path, warned):
    """mmengine's runner: it saves and resumes all the same."""
    runner = build(tmp_path, epochs=1, runner=Runner)
    runner.train()
    [text] = warned(runner)
    assert "epoch_1.pth was written by Runner in its own way, without checksum" in text
    assert checkpoints(tmp_path) == ["epoch_1.pth"]
    assert build(tmp_path, epochs=2, resume=newest_valid(tmp_path)).train() is not None
    assert checkpoints(tmp_path) == ["epoch_1.pth", "epoch_2.pth"]


def test_what_is_not_written_replaces_nothing(tmp_path):
    class Idle(MaskSSLRunner):
        def save_checkpoint(self, out_dir, filename, *args, **kwargs) -> None:
            if filename != "epoch_2.pth":
                super().save_checkpoint(out_dir, filename, *args, **kwargs)

    with pytest.raises(RuntimeError, match=r"Idle\.save_checkpoint did not write .*epoch_2\.pth"):
        build(tmp_path, epochs=3, runner=Idle, max_keep_ckpts=1).train()
    assert checkpoints(tmp_path) == ["epoch_1.pth"]
    assert_tidy(tmp_path)
