"""Saves, stops and resumes in corners that no other test looks into: each was broken unnoticed."""

import errno
import json
import logging
import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.hooks import LoggerHook
from mmengine.optim import OptimWrapper
from mmengine.runner import EpochBasedTrainLoop

from maskssl.checkpoints.errors import CheckpointError
from maskssl.checkpoints.finding import newest_written
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.cli import command_line, launch, slurm, trackers
from maskssl.cli import resuming as cli_resuming
from maskssl.cli import test as cli_test
from maskssl.cli import train as cli_train
from maskssl.cli.processes import launch_variables
from maskssl.engine.hooks import compiling, preemption, saving, stop_after
from maskssl.engine.hooks.logs import SafeLoggerHook
from maskssl.engine.hooks.stop_after import StopAfterHook
from maskssl.engine.runner import runner as runner_module
from maskssl.engine.runner.draws import _move_to_new_length
from maskssl.engine.runner.knn_loop import KNNTestLoop
from maskssl.engine.runner.resuming import _adopt
from maskssl.engine.runner.schedules import wind_schedules
from maskssl.engine.runner.train_loops import EpochTrainLoop
from maskssl.errors import MaskSSLError
from maskssl.models.pretrained.loading import read_pretrained
from tests.engine import test_checkpoint_hook as t
from tests.engine.test_checkpoint_hook import scopes, warned  # noqa: F401
from tests.engine.test_finite_guard import wrapped
from tests.engine.test_preemption import FakeRunner

ONE = dict(save_best="acc", scores=[dict(acc=1.0)], epochs=1)


def test_orphans_go_as_a_run_begins(tmp_path):
    (tmp_path / "epoch_9.0123abcd.shards").mkdir()
    t.build(tmp_path, epochs=1).train()
    assert not list(tmp_path.glob("*.shards"))


def test_the_best_by_iterations(tmp_path):
    options = dict(ONE, iterations=4, by_epoch=False, interval=2)
    t.build(tmp_path, **options).train()
    assert t.checkpoints(tmp_path) == ["best_acc_iter_4.pth", "iter_2.pth", "iter_4.pth"]


def test_a_metric_with_a_slash_is_one_name(tmp_path):
    t.build(tmp_path, epochs=1, save_best="acc/top1", scores=[{"acc/top1": 1.0}]).train()
    assert "best_acc_top1_epoch_1.pth" in t.checkpoints(tmp_path)


def test_the_best_is_published_and_holds_no_schedule(tmp_path):
    t.build(tmp_path, **ONE, published_keys=["state_dict"]).train()
    assert len(list(tmp_path.glob("best_acc_epoch_1-*.pth"))) == 1
    assert "param_schedulers" not in read_checkpoint(tmp_path / "best_acc_epoch_1.pth")


@t.both_ways
def test_a_last_best_without_space_is_no_lost_end(background, tmp_path, monkeypatch, warned):  # noqa: F811
    runner = t.build(tmp_path, **ONE, background=background)
    t.fill_disk(monkeypatch, lambda name: "best_acc" in name)
    runner.train()
    assert warned(runner, logging.ERROR) == []


def test_the_best_alone_makes_no_other_file(tmp_path):
    t.build(tmp_path, **ONE, interval=5, save_last=False).train()
    assert t.checkpoints(tmp_path) == ["best_acc_epoch_1.pth"]


def test_one_best_without_space_leaves_the_other(tmp_path, monkeypatch):
    scores = [dict(acc=1.0, loss=1.0)]
    runner = t.build(tmp_path, epochs=1, scores=scores, save_best=["acc", "loss"], background=True)
    t.fill_disk(monkeypatch, lambda name: "best_acc" in name)
    runner.train()
    assert "best_loss_epoch_1.pth" in t.checkpoints(tmp_path)


def test_what_the_first_process_says_of_a_save_holds(tmp_path, monkeypatch):
    def told(shared):
        shared[0] = saving.Outcome(saved=False)

    monkeypatch.setattr(saving, "broadcast_object_list", told)
    runner = t.build(tmp_path, epochs=1)
    runner.train()
    assert "last_ckpt" not in runner.message_hub.runtime_info


def test_steps_are_the_optimizers(monkeypatch):
    events = []
    monkeypatch.setattr(stop_after, "barrier", lambda: events.append("barrier"))
    hook, runner = StopAfterHook(1), FakeRunner()
    runner.max_iters = 99
    hook.before_train(runner)
    runner.forward()
    hook.after_train_iter(runner, 0)
    assert runner.saves == 0
    runner.forward()
    with pytest.raises(SystemExit):
        hook.after_train_iter(runner, 0)
    assert runner.saves == 1 and events == ["barrier"]


def test_all_leave_together_on_a_signal(monkeypatch):
    events = []
    monkeypatch.setattr(preemption, "barrier", lambda: events.append("barrier"))
    hook, runner = preemption.PreemptionHook(), FakeRunner()
    runner.forward(), runner.forward()
    hook._owner = os.getpid()
    hook._note(15, None), hook._note(10, None)
    with pytest.raises(SystemExit):
        hook.after_train_iter(runner, 0)
    assert runner.saves == 1 and events == ["barrier"]
    assert "SIGTERM" in runner.logger.lines[0]


def test_a_validation_without_space_is_left_out(monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(LoggerHook, "after_val_epoch", full)
    told = []
    SafeLoggerHook().after_val_epoch(
        SimpleNamespace(logger=SimpleNamespace(warning=told.append), work_dir="x")
    )
    assert len(told) == 1


def test_a_place_is_that_of_a_whole_step():
    moved = []
    wrapper = SimpleNamespace(_accumulative_counts=2)
    loop = SimpleNamespace(
        runner=SimpleNamespace(optim_wrapper=wrapper),
        iter=2,
        epoch=0,
        epoch_length=6,
        go_to=lambda *place: moved.append(place),
    )
    _move_to_new_length(loop, 4)
    assert moved == [(2, 0)]


def test_accumulation_and_sampler_are_taken_over():
    cfg = Config(dict(train_dataloader=dict(sampler=dict(type="A")), optim_wrapper=dict()))
    _adopt(cfg, "accumulation", 4)
    _adopt(cfg, "sampler", json.dumps(dict(sampler=dict(type="B"), drop_last=True)))
    assert cfg.optim_wrapper.accumulative_counts == 4
    assert cfg.train_dataloader.sampler.type == "B" and cfg.train_dataloader.drop_last


def test_a_loop_goes_back_over_an_epoch(tmp_path):
    runner = t.build(tmp_path, epochs=2)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    loop = runner.train_loop
    for place, epoch in ((5, 1), (3, 0)):
        loop.go_to(place)
        assert (loop.epoch, loop.iter, runner.optim_wrapper.inner_count) == (epoch, place, place)


def test_a_schedule_by_epochs_waits_for_the_end_of_its_epoch(tmp_path):
    runner = t.build(tmp_path, epochs=3)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.cfg.param_scheduler = [dict(type="StepLR", step_size=1, by_epoch=True)]
    wind_schedules(runner, t.BATCHES, 0)
    assert runner.param_schedulers[0].last_step == 0


def test_torchrun_hands_on_slurms_signal():
    told = launch_variables({}, 2, 8, now=0)["PET_SIGNALS_TO_HANDLE"].split(",")
    assert {"SIGTERM", "SIGUSR1"} <= set(told)


def test_the_pointer_decides_before_the_clock(tmp_path):
    for epoch, time in ((1, 3000), (2, 2000)):
        t.writing.write_checkpoint(dict(optimizer={}), path := tmp_path / f"epoch_{epoch}.pth")
        os.utime(path, (time, time))
    (tmp_path / "last_checkpoint").write_text(str(path))
    assert newest_written(tmp_path) == path


def test_a_signal_is_told_as_a_shell_does(monkeypatch):
    monkeypatch.setattr(
        slurm.subprocess, "Popen", lambda *_, **__: SimpleNamespace(wait=lambda: -9)
    )
    monkeypatch.setattr(slurm.signal, "signal", lambda *_: None)
    assert slurm._attached([]) == 137


def test_options_of_train_reach_the_config(monkeypatch):
    used = []
    cfg = Config(dict(train_dataloader=dict(batch_size=1)))
    monkeypatch.setattr(command_line, "configured", lambda args: cfg)
    monkeypatch.setattr(cli_resuming, "apply_resume", lambda *_: None)
    monkeypatch.setattr(launch, "build_runner", lambda *_: SimpleNamespace(train=lambda: None))
    for module, name in (
        (launch, "use_amp"),
        (launch, "use_auto_scale_lr"),
        (trackers, "use_tracker"),
    ):
        monkeypatch.setattr(module, name, lambda *_, name=name: used.append(name))
    args = SimpleNamespace(
        amp=True, auto_scale_lr=True, stop_after=None, track="wandb", launcher="none"
    )
    cli_train.train(args)
    assert used == ["use_amp", "use_auto_scale_lr", "use_tracker"]


def test_options_of_test_reach_the_config(monkeypatch, tmp_path):
    cfg = Config(
        dict(
            work_dir=str(tmp_path),
            default_scope="mmdet",
            default_hooks=dict(visualization=dict(type="D", draw=False)),
        )
    )
    monkeypatch.setattr(command_line, "configured", lambda args: cfg)
    monkeypatch.setattr(launch, "set_tested", lambda *_: None)
    monkeypatch.setattr(launch, "build_runner", lambda *_: SimpleNamespace(test=lambda: dict(a=1)))
    cli_test.test(SimpleNamespace(checkpoint=None, show_dir="d", out=None, launcher="none"))
    hook = cfg.default_hooks.visualization
    assert hook.draw and hook.test_out_dir == os.path.abspath("d")  # not below the work dir


def test_values_that_are_clipped_log_no_norm():
    weight = torch.nn.Parameter(torch.ones(()))
    assert not wrapped(weight, clip_grad=dict(type="value", clip_value=1.0)).logs_norm


def test_nothing_is_fast_forwarded(tmp_path):
    runner = t.build(tmp_path, iterations=4)
    loop = runner.build_train_loop(dict(by_epoch=False, max_iters=4, fast_forward_on_resume=True))
    assert not loop.fast_forward_on_resume


def test_a_runner_settles_what_it_goes_on_from(monkeypatch):
    settled = []
    monkeypatch.setattr(runner_module, "settle_resume", settled.append)
    monkeypatch.setattr(runner_module.Runner, "from_cfg", classmethod(lambda cls, cfg: cfg))
    cfg = Config(dict(a=1))
    assert runner_module.MaskSSLRunner.from_cfg(cfg) is settled[0] is not cfg


def test_weights_loaded_by_hand_stay(tmp_path):
    t.build(tmp_path / "a", epochs=1).train()
    runner = t.build(tmp_path / "b", epochs=1)
    runner.load_checkpoint(str(tmp_path / "a" / "epoch_1.pth"))
    runner.checkpoint = "nowhere.pth"
    runner.train()


def test_recomputed_blocks_keep_graphs_whole_under_ddp(monkeypatch):
    from tests.engine.test_compile_hook import Model, runner

    calls = []
    monkeypatch.setattr(compiling, "get_world_size", lambda: 2)
    monkeypatch.setattr(compiling, "keep_graphs_whole_under_ddp", lambda: calls.append(1))
    monkeypatch.setattr(compiling, "compile_stages", lambda *_: None)
    model = Model()
    model.recomputed = (0,)
    compiling.CompileHook(enabled=True).before_train(runner(model))
    assert calls


@pytest.mark.parametrize("argument", ["meta", "filename", "out_directory", "save_optimizer_state"])
def test_an_argument_that_the_hook_gives_itself_is_refused_at_the_start(argument, tmp_path):
    with pytest.raises(MaskSSLError, match=f"takes no {argument}"):
        t.build(tmp_path, epochs=1, **{argument: None})


def test_a_run_by_iterations_that_saves_by_epochs_is_refused(tmp_path):
    with pytest.raises(MaskSSLError, match=r"nothing would be saved.*by_epoch=False"):
        t.build(tmp_path, iterations=4, by_epoch=True, interval=1).train()
    t.build(tmp_path, iterations=4, by_epoch=True, interval=-1).train()  # the last alone
    assert len(t.checkpoints(tmp_path)) == 1


def test_a_metric_that_validation_does_not_give(tmp_path):
    runner = t.build(
        tmp_path, epochs=2, save_best="acc/top2", scores=[{"acc/top1": 1.0}], rule="greater"
    )
    with pytest.raises(MaskSSLError, match=r"save_best='acc/top2': validation gives acc/top1;"):
        runner.train()
    assert t.checkpoints(tmp_path) == ["epoch_1.pth"]


@pytest.mark.parametrize("kind", [EpochBasedTrainLoop, "mmengine.EpochBasedTrainLoop"])
def test_a_loop_by_its_class_or_scope_is_resumable_too(kind, tmp_path):
    runner = t.build(tmp_path, epochs=1)
    built = runner.build_train_loop(dict(type=kind, max_epochs=1))
    assert isinstance(built, EpochTrainLoop)


@pytest.mark.parametrize("kind", [OptimWrapper, "mmengine.OptimWrapper", "OptimWrapper", None])
def test_amp_reaches_a_wrapper_by_its_class_or_scope(kind):
    wrapper = dict(optimizer=dict(type="SGD", lr=0.1)) | (dict(type=kind) if kind else {})
    cfg = Config(dict(optim_wrapper=wrapper))
    launch.use_amp(cfg)
    assert cfg.optim_wrapper.type == "AutocastOptimWrapper"


def test_a_step_that_the_run_does_not_have_cannot_be_looked_into(tmp_path):
    t.build(tmp_path, epochs=1).train()
    length = t.BATCHES
    hook = dict(type="DebugStepHook", step=2 * length + 1)
    runner = t.build(tmp_path, epochs=2, hooks=[hook], resume=True)
    with pytest.raises(MaskSSLError, match=f"the run has {2 * length} steps"):
        runner.train()


def test_weights_whose_checksum_is_another_are_not_loaded(tmp_path):
    t.build(tmp_path, epochs=1).train()
    path = tmp_path / "epoch_1.pth"
    runner = t.build(tmp_path / "other", epochs=1)
    runner.checkpoint = str(path)
    runner.load_or_resume()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    runner = t.build(tmp_path / "third", epochs=1)
    runner.checkpoint = str(path)
    with pytest.raises(
        CheckpointError,
        match=r"epoch_1.pth is not loaded: its SHA-256 is not that in .*: it is damaged",
    ):
        runner.load_or_resume()
    with pytest.raises(CheckpointError, match=r"is not loaded: its SHA-256 is not that in"):
        read_pretrained(path)


@pytest.mark.parametrize(
    "place", ["file://{folder}/epoch_1.pth", "{folder}", "{folder}/epoch_1.pth"]
)
def test_weights_are_loaded_from_a_url_or_a_work_dir(place, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    first = t.build(tmp_path / "first", epochs=1)
    first.train()
    runner = t.build(tmp_path / "other", epochs=1)
    runner.checkpoint = place.format(folder=tmp_path / "first")
    runner.load_or_resume()
    assert runner.loaded
    for one, other in zip(first.model.parameters(), runner.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_bank_that_leaves_images_out_is_refused():
    loader = SimpleNamespace(drop_last=True, dataset=[0] * 3)
    runner = SimpleNamespace(build_dataloader=lambda config, **_: loader)
    with pytest.raises(MaskSSLError, match=r"bank_dataloader.drop_last=True leaves images"):
        KNNTestLoop(runner, loader, Evaluator([]), dict(drop_last=True))
