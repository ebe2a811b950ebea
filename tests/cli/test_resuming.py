"""--resume, --new-draws and --debug-step, from the command line to the last bit."""

import argparse
import logging
from copy import deepcopy

import pytest
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from maskssl.checkpoints.finding import newest_valid
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.checkpoints.writing import write_checkpoint
from maskssl.cli import launch, resuming
from maskssl.cli.config import ConfigError
from maskssl.cli.train import train
from maskssl.datasets.draws.seeded_dataset import SeededDataset
from maskssl.engine.runner.draws import CHANGED, DRAWS
from maskssl.errors import MaskSSLError
from maskssl.quickstart.scenes.writer import write_scenes
from tests.stress.resume_stress import differing

PRETRAIN = "configs/pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py"
TUNE = "configs/finetune/bootmae_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py"


BY_ITERATION = {
    "train_cfg": dict(_delete_=True, by_epoch=False, max_iters=4),
    "param_scheduler": [dict(type="CosineAnnealingLR", by_epoch=False)],
    "train_dataloader.sampler": dict(_delete_=True, type="InfiniteSampler", shuffle=True),
    "log_processor.by_epoch": False,
    "model.backbone.init_cfg": None,
    "val_dataloader": None,
    "val_cfg": None,
    "val_evaluator": None,
}


class Stop(Exception):
    pass


@HOOKS.register_module()
class StopAt(Hook):
    """End a run as a crash would, before an iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == self.iteration:
            raise Stop


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes") / "s"
    return write_scenes(folder, num_train=24, num_val=8, num_dense_train=8, num_dense_val=2)


@pytest.fixture
def drawn(monkeypatch) -> list[tuple[int, int, int]]:
    """(seed, epoch, image) of every sample that is loaded."""
    found: list[tuple[int, int, int]] = []
    plain = SeededDataset.__getitem__

    def noting(self, draw):
        if isinstance(draw, tuple):  # not what a hook looks at
            found.append((self.draw_seed, *draw))
        return plain(self, draw)

    monkeypatch.setattr(SeededDataset, "__getitem__", noting)
    return found


@pytest.fixture
def run(scenes, drawn, monkeypatch, repository):
    """``run(folder, **options)`` trains as the command does; what it drew and warned of."""
    monkeypatch.chdir(repository)

    def run(folder, config=PRETRAIN, stop=None, options=(), **arguments):
        settings = {
            "train_dataloader.dataset.data_root": str(scenes / "imagefolder"),
            "train_dataloader.num_workers": 0,
            "train_dataloader.persistent_workers": False,
            "default_hooks.checkpoint.by_epoch": False,
            "default_hooks.checkpoint.interval": 1,
            "default_hooks.checkpoint.max_keep_ckpts": 9,
            "default_hooks.checkpoint.background": False,  # Stop leaves in the middle of a save
            "randomness.deterministic": True,
            **({"train_cfg.max_epochs": 2} if config == PRETRAIN else deepcopy(BY_ITERATION)),
            **dict(options),
        }
        if stop is not None:
            settings["custom_hooks"] = [dict(type="StopAt", iteration=stop), *hooks_of(config)]
        args = argparse.Namespace(
            **{
                **dict(config=config, work_dir=str(folder), cfg_options=settings, launcher="none"),
                **dict(seed=None, pretrained=None, amp=False, auto_scale_lr=False, track=None),
                **dict(num_classes=None, classes=None, map_masks=None, boxes_only=False),
                **dict(data=None, channels=None, value_range=None),
                **dict(resume=None, new_draws=False, debug_step=None, stop_after=None),
                **arguments,
            }
        )
        drawn.clear()
        handler = logging.Handler(logging.WARNING)
        said: list[str] = []
        handler.emit = lambda record: said.append(record.getMessage())
        built = launch.build_runner

        def heard(*args, **kwargs):
            runner = built(*args, **kwargs)
            runner.logger.addHandler(handler)
            return runner

        with monkeypatch.context() as patch:
            patch.setattr(launch, "build_runner", heard)
            try:
                train(args)
            except Stop:
                assert stop is not None
        return list(drawn), said

    return run


def hooks_of(config: str) -> list:
    return list(Config.fromfile(config).get("custom_hooks") or [])


def last(folder):
    return read_checkpoint(newest_valid(folder))


BATCH = (("train_dataloader.batch_size", 8),)


def test_a_seed_given_once_holds_for_the_resumed_run(run, tmp_path):
    whole, _ = run(tmp_path / "whole", seed=1, options=BATCH)
    assert len(whole) == 48 and {seed for seed, *_ in whole} == {1}
    first, _ = run(tmp_path / "run", seed=1, stop=4, options=BATCH)
    assert first == whole[:40]  # the fifth batch was loaded and not trained on
    rest, _ = run(tmp_path / "run", resume="auto")  # neither seed nor batch size
    assert rest == whole[32:]
    assert differing(last(tmp_path / "whole"), last(tmp_path / "run")) == []
    facts = last(tmp_path / "run")["message_hub"]["runtime_info"][DRAWS]
    assert facts["seed"] == 1 and facts["batch_size"] == 8 and facts["images"] == 24
    assert facts["ranks"] == 1 and facts["accumulation"] == 1

    _, said = run(tmp_path / "run", resume="auto")
    assert any("has done all 2 epochs: nothing is trained" in text for text in said)
    longer = {"train_cfg.max_epochs": 3}
    _, said = run(tmp_path / "run", resume="auto", options=longer.items())
    assert any("was planned for 2 epochs and has 3 now" in text for text in said)


def test_a_run_in_goes_of_some_steps_ends_as_one_go_does(run, tmp_path):
    options = dict([*BATCH, ("default_hooks.checkpoint.interval", -1)]).items()
    whole, _ = run(tmp_path / "whole", seed=1, options=options)
    assert len(whole) == 48  # six steps
    drawn = []
    for go, resume in ((4, None), (1, "auto")):
        with pytest.raises(SystemExit) as end:
            run(tmp_path / "run", seed=1, options=options, stop_after=go, resume=resume)
        assert end.value.code == 0
        drawn.append(last(tmp_path / "run")["meta"]["iter"])
    assert drawn == [4, 5]
    rest, _ = run(tmp_path / "run", options=options, stop_after=1, resume="auto")  # the last step
    assert rest == whole[40:]
    assert differing(last(tmp_path / "whole"), last(tmp_path / "run")) == []


def test_a_go_has_a_step_at_least(run, tmp_path):
    with pytest.raises(MaskSSLError, match="steps=0: stop after 1 step or more"):
        run(tmp_path, stop_after=0, options=BATCH)


def test_what_a_command_sets_otherwise_is_refused_unless_new_draws_are_asked_for(run, tmp_path):
    run(tmp_path, seed=1, stop=3, options=BATCH)
    saved = read_checkpoint(tmp_path / "iter_3.pth")

    def refused(match, **arguments):
        with pytest.raises(MaskSSLError, match=match) as refusal:
            run(tmp_path, resume="auto", **arguments)
        assert "--new-draws" in str(refusal.value)

    refused("seed 2 instead of 1", seed=2)
    half = {"train_dataloader.batch_size": 4, "train_dataloader.dataset.indices": 12}
    refused("batch_size 4 instead of 8", options=half.items())
    refused("images 12 instead of 24, data_hash", options=[*half.items()][1:])
    refused("accumulation 2 instead of 1", options=[("optim_wrapper.accumulative_counts", 2)])
    refused("sampler .* instead of", options=[("train_dataloader.sampler.shuffle", False)])

    # half the batch: an epoch has six iterations in place of three, and lr is that of such a run
    drawn, said = run(tmp_path, resume="auto", new_draws=True, seed=2, options=[*half.items()][:1])
    assert len(drawn) == 24 and {(seed, epoch) for seed, epoch, _ in drawn} == {(2, 1)}
    assert any("from step 7 (epoch 2) on this is another run" in text for text in said)
    end = last(tmp_path)
    assert end["meta"]["iter"] == 12 and end["meta"]["seed"] == 2
    hub = end["message_hub"]["runtime_info"]
    assert hub[CHANGED] == [6] and hub[DRAWS]["seed"] == 2 and hub[DRAWS]["batch_size"] == 4
    run(tmp_path / "other", seed=2, options=[*half.items()][:1])
    expected = last(tmp_path / "other")
    for one, other in zip(expected["param_schedulers"], end["param_schedulers"], strict=True):
        assert one == other
    for one, other in zip(
        expected["optimizer"]["param_groups"], end["optimizer"]["param_groups"], strict=True
    ):
        assert one["lr"] == pytest.approx(other["lr"], rel=1e-12)
    assert saved["meta"]["iter"] == 3


def test_iterations_are_compared_too(run, tmp_path):
    whole, _ = run(tmp_path / "whole", TUNE, seed=3, options=[("train_dataloader.batch_size", 2)])
    run(tmp_path, TUNE, seed=3, stop=2, options=[("train_dataloader.batch_size", 2)])
    with pytest.raises(MaskSSLError, match="batch_size 4 instead of 2"):
        run(tmp_path, TUNE, resume="auto", options=[("train_dataloader.batch_size", 4)])
    rest, _ = run(tmp_path, TUNE, resume="auto")
    assert rest == whole[4:] and {seed for seed, *_ in rest} == {3}
    with pytest.raises(MaskSSLError, match="images 4 instead of 24"):
        options = [("train_dataloader.dataset.indices", 4), ("train_cfg.max_iters", 5)]
        run(tmp_path, TUNE, resume="auto", options=options)


def test_a_checkpoint_of_an_earlier_version_goes_on_with_its_seed(run, tmp_path):
    import torch

    run(tmp_path / "old", seed=1, stop=4, options=BATCH)
    path = tmp_path / "old" / "iter_4.pth"
    content = read_checkpoint(path)
    content["message_hub"]["runtime_info"].pop(DRAWS)
    torch.save(content, tmp_path / "old.pth")
    whole, _ = run(tmp_path / "whole", seed=1, options=BATCH)
    resume = str(tmp_path / "old.pth")
    drawn, said = run(tmp_path / "new", resume=resume, options=BATCH)
    assert drawn == whole[32:]
    assert any("written by an earlier version" in text for text in said)
    with pytest.raises(MaskSSLError, match="seed 2 instead of 1"):
        run(tmp_path / "new", resume=resume, seed=2, options=BATCH)
    with pytest.raises(MaskSSLError, match="the run had 3 iterations per epoch"):
        run(tmp_path / "new", resume=resume, options=[("train_dataloader.batch_size", 4)])


def test_a_step_of_a_run_is_looked_into(run, tmp_path):
    run(tmp_path, seed=1, stop=4, options=BATCH)
    before = sorted(path.name for path in tmp_path.glob("*.pth"))
    with pytest.raises(SystemExit) as end:
        run(tmp_path, resume="auto", debug_step=0)
    assert end.value.code == 0
    assert sorted(path.name for path in tmp_path.glob("*.pth")) == before


def asked(**given) -> argparse.Namespace:
    options = dict(resume=None, launcher="none", new_draws=False, debug_step=None, seed=None)
    return argparse.Namespace(**{**options, "cfg_options": {}, **given})


def test_where_nothing_is_there_to_resume_a_new_run_has_its_weights(tmp_path):
    """Job scripts give --resume always."""

    def settled() -> Config:
        loader = dict(batch_size=2)
        cfg = Config(dict(work_dir=str(tmp_path), load_from="a.pth", train_dataloader=loader))
        resuming.apply_resume(cfg, asked(resume="auto"))
        return cfg

    cfg = settled()
    assert (cfg.resume, cfg.load_from) == (False, "a.pth")
    content = dict(meta=dict(iter=1, epoch=1, seed=0), state_dict={}, optimizer={})
    write_checkpoint(content, tmp_path / "epoch_1.pth")
    cfg = settled()
    assert (cfg.resume, cfg.load_from) == (True, str(tmp_path / "epoch_1.pth"))


@pytest.mark.parametrize("option", ["new_draws", "debug_step"])
def test_options_about_a_resumed_run_need_one(option, tmp_path):
    cfg = Config(dict(work_dir=str(tmp_path)))
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} is about"):
        resuming.apply_resume(cfg, asked(**{option: 3}))


@pytest.mark.parametrize(
    ("seed", "options", "given"),
    [
        (None, {}, set()),
        (0, {}, {"seed"}),
        (None, {"randomness.seed": 3}, {"seed"}),
        (None, {"randomness": dict(seed=3)}, {"seed"}),
        (None, {"randomness.deterministic": True}, set()),
        (None, {"train_dataloader.batch_size": 3}, {"batch_size"}),
        (None, {"train_dataloader.sampler.shuffle": False}, {"sampler"}),
        (None, {"train_dataloader.num_workers": 3, "optim_wrapper.clip_grad": None}, set()),
        (None, {"optim_wrapper.accumulative_counts": 2}, {"accumulation"}),
        (1, {"train_dataloader": ConfigDict()}, {"seed", "batch_size", "sampler"}),
    ],
)
def test_what_a_command_sets(seed, options, given):
    assert resuming.given_facts(seed, options) == given
