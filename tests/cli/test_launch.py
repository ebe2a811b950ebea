"""From config and command line to a runner: slips are named, options do what they say."""

import argparse
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

import maskssl
from maskssl.checkpoints.errors import CheckpointError
from maskssl.cli import arguments, command_line, ending, launch
from maskssl.cli.config import ConfigError, load_config
from maskssl.cli.data_check import DataError
from maskssl.cli.train import train
from maskssl.commands import train as train_command
from maskssl.errors import MaskSSLError

CONFIG = """
model = dict(
    type="ImageClassifier",
    backbone=dict(type="PlainViT", arch="small", init_cfg=dict(type="Pretrained", checkpoint=None,
                  branch="teacher")),
    neck=None,
    head=dict(type="PooledLinearHead", norms=[dict(type="SyncBN", affine=False), dict(type="LN")]),
)
norm_cfg = dict(type="SyncBN", requires_grad=True)
train_pipeline = [dict(type="LoadImage"), dict(type="RandomResizedCrop", scale=64)]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
test_dataloader = dict(batch_size=4, dataset=dict(type="CustomDataset"))
train_cfg = dict(by_epoch=True, max_epochs=3)
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-3))
default_scope = "mmpretrain"
"""


@pytest.fixture
def write(tmp_path):
    def write(more: str = "") -> str:
        path = tmp_path / "some_config.py"
        path.write_text(CONFIG + more)
        return str(path)

    return write


@pytest.fixture
def cfg(write) -> Config:
    return load_config(write())


@pytest.fixture
def said(monkeypatch) -> list[tuple[str, int]]:
    """What launch logs, with the level."""
    lines: list[tuple[str, int]] = []
    monkeypatch.setattr(
        launch, "print_log", lambda text, logger=None, level=20: lines.append((text, level))
    )
    return lines


@pytest.fixture
def built(monkeypatch) -> list[Config]:
    """Configs that would have become runners, on a machine without GPU."""
    configs: list[Config] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Runner, "from_cfg", lambda cfg: configs.append(cfg) or "runner")
    return configs


# Configs


def test_a_config_and_its_options(write):
    cfg = load_config(
        write(),
        {
            "train_cfg.max_epochs": 7,
            "model.backbone.with_cp": True,  # new, and no slip of anything
            "train_dataloader.dataset.pipeline.1.scale": 32,
            "model.head.norms.0.type": "BN",
            "model.neck": "something",
            "resume": True,
            "my_note": "new at the top",
        },
    )
    assert cfg.train_cfg.max_epochs == 7
    assert cfg.model.backbone.with_cp is True
    assert cfg.train_dataloader.dataset.pipeline[1].scale == 32
    assert cfg.train_dataloader.dataset.pipeline[0].type == "LoadImage"
    assert cfg.model.head.norms[0].type == "BN"
    assert cfg.model.neck == "something"
    assert (cfg.resume, cfg.my_note) == (True, "new at the top")


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(ConfigError, match=f"no config at {tmp_path}/none.py"):
        load_config(str(tmp_path / "none.py"))


@pytest.mark.parametrize(
    ("line", "said"),
    [("x = (\n", "never closed"), ("_base_ = ['./none.py']\n", r"No such file.*none\.py")],
)
def test_a_config_that_cannot_be_read_is_named(line, said, tmp_path):
    (tmp_path / "mine.py").write_text(line)
    with pytest.raises(ConfigError, match=rf"mine\.py cannot be read as a config: .*{said}"):
        load_config(str(tmp_path / "mine.py"))


def test_a_defect_in_a_config_keeps_its_traceback(tmp_path):
    (tmp_path / "mine.py").write_text("lr = 1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        load_config(str(tmp_path / "mine.py"))


@pytest.mark.parametrize("prefix", ["", "configs/"])
def test_a_shipped_config_goes_by_its_name(prefix, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = min(name for name in maskssl.config_files() if name.startswith("pretrain/bootmae"))
    assert load_config(prefix + name).model.type == "BootMAE"
    slip = name.replace("bootmae", "botmae")
    with pytest.raises(ConfigError, match=f"no config at {prefix}{slip}.*did you mean.*{name}"):
        load_config(prefix + slip)


@pytest.mark.parametrize(
    ("line", "key", "meant"),
    [
        ("optim_wraper = dict(type='OptimWrapper')", "optim_wraper", "optim_wrapper"),
        ("train_dataloder = dict(batch_size=2)", "train_dataloder", "train_dataloader"),
        ("custom_hook = []", "custom_hook", "custom_hooks"),
        ("param_schedulers = []", "param_schedulers", "param_scheduler"),
        ("val_evaluater = []", "val_evaluater", "val_evaluator"),
    ],
)
def test_a_misspelt_key_of_a_config_is_named(line, key, meant, write):
    with pytest.raises(ConfigError, match=f"{key!r} is unknown; did you mean {meant!r}"):
        load_config(write(line + "\n"))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("train_cfg.max_epoch", "'train_cfg.max_epoch' is unknown; did you mean 'max_epochs'"),
        ("model.backbone.archs", "did you mean 'arch'"),
        ("optim_wrappers.type", "did you mean 'optim_wrapper'"),
        ("modle.backbone.arch", "did you mean 'model'"),
        ("loadfrom", "did you mean 'load_from'"),
        (
            "model.bakbone.arch",
            "'model.bakbone.arch' is unknown; did you mean 'backbone'",
        ),
        (
            "model.decoder.depth",
            "the config has no 'model.decoder'; known there are type, backbone, neck, head",
        ),
        ("val_dataloader.batch_size", "the config has no 'val_dataloader'"),
        ("train_cfg.max_epochs.more", "train_cfg.max_epochs is 3, which has no 'more'"),
        ("model.neck.type", "model.neck is None, which has no 'type'"),
        ("train_pipeline.2.scale", "'2' is no index of a list of 2"),
        ("train_pipeline.first.scale", "'first' is no index of a list of 2"),
        ("model.head.norms.-1.type", "'-1' is no index of a list of 2"),
    ],
)
def test_a_misspelt_option_is_named(option, message, write):
    with pytest.raises(ConfigError) as refusal:
        load_config(write(), {option: 1})
    assert option in str(refusal.value)
    assert message in str(refusal.value)


# --pretrained


@pytest.fixture
def checkpoint(tmp_path) -> str:
    """The last of two epochs of a run; where it lay when it was written does not matter."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("epoch_1.pth", "epoch_2.pth"):
        torch.save(dict(state_dict={}), run / name)
    (run / "last_checkpoint").write_text("/elsewhere/run/epoch_2.pth\n")
    return str(run / "epoch_2.pth")


def test_a_dict_in_place_of_another_value_is_said_to_need_a_word_more(write):
    config = write("model = dict(arch='mini')")
    with pytest.raises(ConfigError, match=r"--cfg-options model\.arch: .*_delete_=True"):
        load_config(config, {"model.arch": dict(embed_dims=48)})
    options = {"model.arch": dict(embed_dims=48, _delete_=True)}
    assert load_config(config, options).model.arch == dict(embed_dims=48)


def test_pretrained_sets_the_checkpoint_and_keeps_the_branch(cfg, checkpoint):
    launch.set_pretrained(cfg, checkpoint)
    expected = dict(type="Pretrained", checkpoint=checkpoint, branch="teacher")
    assert dict(cfg.model.backbone.init_cfg) == expected
    cfg.model.backbone.pop("init_cfg")
    launch.set_pretrained(cfg, checkpoint)
    assert dict(cfg.model.backbone.init_cfg) == dict(type="Pretrained", checkpoint=checkpoint)


def test_a_work_dir_stands_for_its_last_checkpoint(cfg, checkpoint):
    launch.set_pretrained(cfg, str(Path(checkpoint).parent))
    assert cfg.model.backbone.init_cfg.checkpoint == checkpoint


def test_a_missing_checkpoint_is_named(cfg, tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):  # no file; no finished run
        with pytest.raises(CheckpointError, match=f"no checkpoint at {path}; give a .pth or"):
            launch.set_pretrained(cfg, str(path))


def test_pretrained_none_means_random_weights(cfg):
    launch.set_pretrained(cfg, "none")
    assert cfg.model.backbone.init_cfg is None


def test_pretrained_needs_a_backbone(cfg):
    cfg.model.pop("backbone")
    with pytest.raises(ConfigError, match=r"needs a config with model\.backbone"):
        launch.set_pretrained(cfg, "none")


# --amp, --auto-scale-lr


def test_amp_is_bf16_autocast(cfg, said):
    launch.use_amp(cfg)
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.dtype) == ("AutocastOptimWrapper", "bfloat16")
    assert not said
    launch.use_amp(cfg)
    assert said[0][0] == "--amp: optim_wrapper is AutocastOptimWrapper already"
    assert cfg.optim_wrapper.optimizer.lr == 1e-3


def test_amp_of_a_detector_is_that_of_its_backbone(cfg, said):
    cfg.default_scope = "mmdet"
    launch.use_amp(cfg)
    assert cfg.model.backbone.autocast is True
    assert cfg.optim_wrapper.type == "OptimWrapper"
    assert "heads in fp32" in said[0][0]


def test_auto_scale_lr_needs_a_base_batch_size(cfg):
    for given in (None, dict(enable=False)):
        if given is not None:
            cfg.auto_scale_lr = given
        with pytest.raises(ConfigError, match=r"auto_scale_lr=dict\(base_batch_size="):
            launch.use_auto_scale_lr(cfg)
    cfg.auto_scale_lr = dict(base_batch_size=256, enable=False)
    launch.use_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable is True


# Testing


def test_testing_needs_an_existing_checkpoint(cfg, tmp_path, checkpoint):
    with pytest.raises(ConfigError, match="give the checkpoint of the trained model"):
        launch.set_tested(cfg, None)
    with pytest.raises(CheckpointError, match=f"no checkpoint at {tmp_path}/none.pth"):
        launch.set_tested(cfg, str(tmp_path / "none.pth"))
    Path(tmp_path, "cut.pth").write_bytes(Path(checkpoint).read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"cut\.pth .* is no complete checkpoint"):
        launch.set_tested(cfg, str(tmp_path / "cut.pth"))
    for given in (checkpoint, str(Path(checkpoint).parent)):
        cfg.resume = True
        launch.set_tested(cfg, given)
        assert (cfg.load_from, cfg.resume) == (checkpoint, False)


def test_a_pretraining_cannot_be_tested(cfg, checkpoint):
    cfg.pop("test_dataloader", None)
    for given in (None, checkpoint):
        with pytest.raises(ConfigError, match="has nothing to test.*kNN.*--pretrained.*visualize"):
            launch.set_tested(cfg, given)


@pytest.mark.parametrize("options", [(), ("--amp",), ("--resume",)])
def test_what_trains_nothing_cannot_be_trained(options, tmp_path):
    parser = argparse.ArgumentParser()
    train_command.add_arguments(parser)
    knn = "finetune/bootmae_vit-mini-p8_knn_1xb128_scenes.py"
    args = parser.parse_args([knn, "--work-dir", str(tmp_path), *options])
    with pytest.raises(ConfigError, match="nothing to train.*maskssl test CONFIG --pretrained"):
        train(args)


def test_knn_tests_its_backbone(cfg, checkpoint):
    cfg.model.type = "KNNClassifier"
    launch.set_tested(cfg, checkpoint)
    assert cfg.model.backbone.init_cfg.checkpoint == checkpoint
    assert "load_from" not in cfg
    launch.set_tested(cfg, None)
    assert cfg.model.backbone.init_cfg.checkpoint == checkpoint


# Hardware


def test_without_gpus_syncbn_becomes_bn_with_a_warning(cfg, built, said):
    before = cfg.model.to_dict()
    assert launch.build_runner(cfg, []) == "runner"
    norms = built[0].model.head.norms
    assert [norm.type for norm in norms] == ["BN", "LN"]
    assert norms[0].affine is False
    before["head"]["norms"][0]["type"] = "BN"
    assert built[0].model.to_dict() == before  # nothing else changed
    ((text, level),) = said
    assert "no GPU: 1 SyncBN" in text and "BN" in text
    assert level == 30
    said.clear()
    launch.build_runner(cfg, [])
    assert not said


def test_with_gpus_nothing_changes(cfg, built, said, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    launch.build_runner(cfg, [])
    assert built[0].model.head.norms[0].type == "SyncBN"
    assert not said and built[0].launcher == "none"
    assert "model_wrapper_cfg" not in built[0]


@pytest.fixture
def groups(monkeypatch) -> list[tuple[str, dict]]:
    """Backends and options that process groups would have been made with."""
    made: list[tuple[str, dict]] = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: bool(made))
    monkeypatch.setattr(
        torch.distributed,
        "init_process_group",
        lambda name, **options: made.append((name, options)),
    )
    return made


def test_processes_without_gpus_talk_over_gloo(cfg, built, groups, said, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    cfg.model_wrapper_cfg = dict(type="MMDistributedDataParallel", find_unused_parameters=True)
    launch.build_runner(cfg, [], "pytorch")
    assert groups == [("gloo", dict(timeout=timedelta(minutes=30)))]
    assert dict(built[0].model_wrapper_cfg) == dict(
        type="MMDistributedDataParallel",
        broadcast_buffers=False,
        find_unused_parameters=True,
        device_ids=None,
    )
    assert built[0].launcher == "pytorch"
    launch.build_runner(cfg, [], "pytorch")
    assert len(groups) == 1  # a process has one group


def test_a_rank_waits_for_the_others_as_long_as_the_config_says(
    cfg, built, groups, said, monkeypatch
):
    monkeypatch.setenv("RANK", "0")
    cfg.env_cfg = dict(dist_cfg=dict(backend="gloo", timeout=90))
    launch.build_runner(cfg, [], "pytorch")
    assert groups == [("gloo", dict(timeout=timedelta(seconds=90)))]


def test_sharding_wraps_the_model_in_its_own_way(cfg, built, groups, said, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    cfg.sharding = dict(type="fsdp2")
    launch.build_runner(cfg, [], "pytorch")
    assert len(groups) == 1 and "model_wrapper_cfg" not in built[0]


@pytest.mark.parametrize(("launcher", "rank"), [("slurm", "0"), ("mpi", "0"), ("pytorch", None)])
def test_other_launchers_without_gpus_are_refused(launcher, rank, cfg, built, groups, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    if rank:
        monkeypatch.setenv("RANK", rank)
    with pytest.raises(ConfigError, match=rf"launcher='{launcher}' without GPUs.*--nproc N"):
        launch.build_runner(cfg, [], launcher)
    assert not built and not groups


# Data


def dataset(root: Path, **more):
    images = dict(type="IndexedImages", with_label=False, data_root=str(root), **more)
    return dict(dataset=dict(type="RepeatDataset", dataset=images))


def test_data_that_is_not_there_is_named(cfg, built, tmp_path):
    used = ["train_dataloader", "val_dataloader"]

    def refusal(folder: Path, **more) -> str:
        cfg.train_dataloader = dataset(folder, **more)
        with pytest.raises(DataError) as refused:
            launch.build_runner(cfg, used)
        assert not built
        assert "--cfg-options train_dataloader.dataset.data_root=DIR" in str(refused.value)
        return str(refused.value)

    assert f"there is no folder {tmp_path}/none" in refusal(tmp_path / "none")
    assert f"there is no folder {tmp_path}/val" in refusal(tmp_path, data_prefix=dict(img="val"))
    (tmp_path / "val" / "empty").mkdir(parents=True)
    assert f"no images in {tmp_path}/val" in refusal(tmp_path, data_prefix="val")
    missing = refusal(tmp_path, ann_file="instances.json")
    assert f"there is no annotation file {tmp_path}/instances.json" in missing

    Image.new("RGB", (8, 8)).save(tmp_path / "val" / "empty" / "one.JPG")
    cfg.train_dataloader = dataset(tmp_path, data_prefix="val")
    launch.build_runner(cfg, used)
    assert len(built) == 1
    cfg.test_dataloader = dataset(tmp_path / "none")  # not used by this run
    launch.build_runner(cfg, used)


# The command line


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments.add_run_arguments(parser)
    return parser.parse_args(words)


def test_the_command_line_fills_the_config(write, checkpoint):
    cfg = command_line.configured(parsed(write()))
    assert cfg.work_dir == "work_dirs/some_config"
    assert "randomness" not in cfg
    options = ["--seed", "5", "--pretrained", checkpoint, "--work-dir", "here"]
    options += ["--cfg-options", "train_cfg.max_epochs=2"]
    cfg = command_line.configured(parsed(write(), *options))
    assert cfg.work_dir == "here"
    assert cfg.randomness.seed == 5
    assert cfg.model.backbone.init_cfg.checkpoint == checkpoint
    assert cfg.train_cfg.max_epochs == 2
    own = write("work_dir = 'mine'\nrandomness = dict(seed=1, a=2)\n")
    cfg = command_line.configured(parsed(own, "--seed", "0"))
    assert cfg.work_dir == "mine"
    assert dict(cfg.randomness) == dict(seed=0, a=2)


def test_the_number_of_classes_is_one_option(write):
    own = write(
        "model.update(head=dict(type='LinearClsHead', num_classes=8),"
        " data_preprocessor=dict(num_classes=8))\n"
    )
    cfg = command_line.configured(parsed(own, "--num-classes", "3"))
    assert cfg.model.head.num_classes == cfg.model.data_preprocessor.num_classes == 3


def ended(main, debug: bool = False) -> None:
    ending.run_to_end(main, argparse.Namespace(debug=debug))


@pytest.mark.parametrize("debug", [False, True])
def test_a_command_ends_with_one_sentence(debug, capsys):
    def main(args):
        raise ConfigError("that cannot be")

    with pytest.raises(SystemExit) as end:
        ended(main, debug)
    assert end.value.code == "ConfigError: that cannot be"
    assert ("Traceback" in capsys.readouterr().err) == debug


def test_of_an_error_in_a_loader_process_the_sentence_is_kept():
    def main(args):
        told = "Caught ConfigError in DataLoader worker process 0.\nOriginal Traceback (most recent"
        raise ConfigError(f"{told} call last):\n  File x\nmaskssl.cli.ConfigError: that: is bad\n")

    with pytest.raises(SystemExit) as end:
        ended(main)
    assert end.value.code == "ConfigError: that: is bad"


@pytest.mark.parametrize(
    "defect",
    [
        lambda: {}["a defect of the program"],
        lambda: np.ones(2) + np.ones(3),  # a ValueError
        lambda: torch.ones(2) + torch.ones(3),  # a RuntimeError
        lambda: Path("/no/such/file").read_text(),
    ],
)
def test_a_defect_keeps_its_type_and_traceback(defect):
    with pytest.raises((KeyError, ValueError, RuntimeError, OSError)) as kept:
        ended(lambda args: defect())
    assert not isinstance(kept.value, MaskSSLError)
    assert any(entry.path == Path(__file__) for entry in kept.traceback)


def test_every_error_of_ours_is_one_that_a_user_can_mend():
    """Whatever class the package raises by name is a MaskSSLError, and no ValueError of Python."""
    found = []
    for file in Path(maskssl.__file__).parent.rglob("*.py"):
        for name in re.findall(r"^class (\w+Error)\((.*)\):", file.read_text(), re.MULTILINE):
            found.append(name)
    assert ("MaskSSLError", "Exception") in found
    known = {"Exception"}
    while more := {name for name, bases in found if known & {bases}} - known:
        known |= more
    assert {name for name, _ in found} <= known - {"Exception"}


@pytest.mark.parametrize("code", [None, 0, 3])
def test_the_exit_status_is_the_commands(code):
    if not code:
        ended(lambda args: code)
        return
    with pytest.raises(SystemExit) as end:
        ended(lambda args: code)
    assert end.value.code == code


@pytest.mark.parametrize("end", [None, SystemExit(75), KeyError("a defect"), ConfigError("no")])
def test_the_process_group_ends_with_the_run(end, monkeypatch, tmp_path):
    """Its threads could take a finished process down with SIGABRT while Python shuts down."""

    def main(args):
        store = f"file://{tmp_path}/store"
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        if end:
            raise end

    left = []
    monkeypatch.setattr(ending.os, "_exit", left.append)
    monkeypatch.setattr(ending, "run_exit_functions", lambda: left.append("at exit"))
    try:
        with suppress(SystemExit, KeyError):
            ended(main)
        # after an error nobody waits for ranks that will not come
        failed = isinstance(end, (KeyError, ConfigError))
        assert torch.distributed.is_initialized() == failed
        assert left == ([] if failed else ["at exit", end.code if end else 0])
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
