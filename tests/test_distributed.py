"""Two processes over gloo: every stage by tools/dist_train.sh, and so by ``maskssl train``."""

import importlib.util
import json
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
import torch

from maskssl.checkpoints.finding import newest_valid
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.checkpoints.writing import read_sidecar
from maskssl.quickstart.scenes.writer import write_scenes
from tests.stress.resume_stress import differing, environment
from tests.support import python

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="written for machines without GPU"
)


needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="no deepspeed: pip install .[deepspeed]"
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(
        tmp_path_factory.mktemp("scenes") / "s",
        num_train=64,
        num_val=16,
        num_dense_train=8,
        num_dense_val=4,
    )


def dist_train(config, scenes, work_dir, port, *options, arguments=(), code=0):
    folder = dict(seg="seg", det="det").get(config.split("/")[0], "imagefolder")
    loaders = ["train_dataloader", *(["val_dataloader"] if "pretrain/" not in config else [])]
    fixed = [f"{loader}.dataset.data_root={scenes / folder}" for loader in loaders]
    small = ("num_workers=0", "persistent_workers=False", "batch_size=4")
    fixed += [f"{loader}.{setting}" for loader in loaders for setting in small]
    fixed.append("default_hooks.logger.interval=1")
    if folder == "det":
        fixed.append(f"val_evaluator.ann_file={scenes / folder / 'instances_val.json'}")
    command = ["bash", "tools/dist_train.sh", str(Path("configs", config)), "2"]
    command += ["--work-dir", str(work_dir)]
    if "pretrain/" not in config:
        command += ["--pretrained", "none"]
    done = subprocess.run(
        [*command, *arguments, "--cfg-options", *fixed, *options],
        cwd=ROOT,
        env={
            **environment(),
            "MASKSSL_PYTHON": python(),
            "PORT": str(port),
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode == 0) == (code == 0), done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.mark.parametrize("feature_weight", [1.0, 0.0])
def test_pretraining(scenes, tmp_path, feature_weight):
    log = dist_train(
        "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py", scenes, tmp_path, 29611,
        "train_cfg.max_epochs=1", "train_dataloader.dataset.indices=32",
        f"model.head.feature_weight={feature_weight}",
    )  # fmt: skip
    assert ("loss_feature" in log) == bool(feature_weight)
    weights = torch.load(tmp_path / "epoch_1.pth", weights_only=False)["state_dict"]
    assert any(key.startswith("target_generator.encoder.") for key in weights)
    assert all(value.isfinite().all() for value in weights.values())


# a stage of each kind: its length, and what is logged that only this kind logs
STAGES = {
    "pretrain/extrema_vit-mini-p8_1xb32-amp-coslr-10e_scenes.py": (
        ("train_cfg.max_epochs=1", "train_dataloader.dataset.indices=32"),
        ("loss_infonce", "spread_teacher"),  # its keys come from both processes
    ),
    "finetune/bootmae_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py": (
        (
            *("train_cfg.max_epochs=2", "train_dataloader.dataset.indices=32"),
            *("default_hooks.checkpoint.by_epoch=False", "default_hooks.checkpoint.interval=3"),
        ),
        ("accuracy/top1",),
    ),
    "seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py": (
        ("train_cfg.max_iters=3",),
        ("mIoU",),
    ),
    "det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py": (
        ("train_cfg.max_epochs=1",),
        ("coco/segm_mAP",),
    ),
}
OTHERS = {
    "finetune/extrema_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py": (
        ("train_cfg.max_epochs=2",),
        ("accuracy/top1",),
    ),
    "seg/extrema_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py": (
        ("train_cfg.max_iters=3",),
        ("mIoU",),
    ),
}


@pytest.fixture(scope="module")
def replicated(scenes, tmp_path_factory):
    """config -> (work dir, log) of its run with a whole model on each process, once."""

    @cache
    def run(config):
        work_dir = tmp_path_factory.mktemp("whole") / "run"
        return work_dir, dist_train(
            config, scenes, work_dir, 29612, *{**STAGES, **OTHERS}[config][0]
        )

    return run


SHARDING = dict(
    fsdp2=("sharding.type=fsdp2", "sharding.checkpoint=sharded"),
    deepspeed=("sharding.type=deepspeed",),
)


@pytest.fixture(scope="module")
def sharded(scenes, tmp_path_factory):
    """(config, kind of sharding) -> (work dir, log) of its run, once."""

    @cache
    def run(config, kind):
        work_dir = tmp_path_factory.mktemp(kind) / "run"
        options = (*STAGES[config][0], *SHARDING[kind])
        return work_dir, dist_train(config, scenes, work_dir, 29614, *options)

    return run


@pytest.mark.parametrize("config", [*STAGES, *OTHERS])
def test_every_stage(config, replicated):
    work_dir, log = replicated(config)
    # each process takes its share: two with four images each make a step of eight
    steps = dict(pretrain=32 // 8, finetune=2 * 32 // 8, seg=3, det=8 // 8)[config.split("/")[0]]
    steps = 2 * 64 // 8 if "linear" in config else steps
    assert max(line["step"] for line in logged(work_dir) if "loss" in line) == steps
    replaced = "SyncBN entries of the model become BN" in log
    assert replaced == (config.startswith(("seg/", "det/")) or "_linear_" in config)
    assert all(name in log for name in {**STAGES, **OTHERS}[config][1])


def logged(work_dir):
    lines = next(work_dir.glob("*/vis_data/scalars.json")).read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("config", STAGES)
@pytest.mark.parametrize("sharding", ["fsdp2", pytest.param("deepspeed", marks=needs_deepspeed)])
def test_sharding_trains_every_stage_alike(config, sharding, replicated, sharded):
    """Losses, gradient norms, metrics, and from its shards the weights of whole models."""
    whole, _ = replicated(config)
    split, log = sharded(config, sharding)
    assert re.search(r"(sharded|ZeRO stage 1) over\s+2 processes", log)
    ours, expected = logged(split), logged(whole)
    assert len(ours) == len(expected)
    names = ("loss", "grad_norm", "accuracy/top1", "mIoU", "coco/segm_mAP", "spread_student")
    for one, two in zip(ours, expected, strict=True):
        found = {name: value for name, value in two.items() if name in names}
        assert found
        assert {name: one[name] for name in found} == pytest.approx(found, rel=1e-3, abs=0.02)
    last = newest_valid(split)
    assert bool(read_sidecar(last).shards) == (sharding == "fsdp2")
    assert last.name == newest_valid(whole).name
    one, two = read_checkpoint(last), read_checkpoint(whole / last.name)
    assert one.keys() == two.keys()
    close = dict(rtol=1e-3, atol=2e-4)
    if config.startswith("seg/"):  # BN over the four values of a pooled map makes rounding large
        close = dict(rtol=0.02, atol=0.005)
    for state in {"state_dict", "ema_state_dict"} & one.keys():
        assert one[state].keys() == two[state].keys()
        for name, value in two[state].items():
            torch.testing.assert_close(one[state][name], value, **close, msg=name)


def test_a_killed_run_goes_on_from_its_shards(scenes, sharded, tmp_path):
    """With EMA; bit for bit as a run that was left alone."""
    config = "finetune/bootmae_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py"
    undisturbed, _ = sharded(config, "fsdp2")
    options = (*STAGES[config][0], *SHARDING["fsdp2"])
    shot = dict(type="KillHook", iteration=5, delay=0.02, in_save=True)  # in that of step 6
    armed = tmp_path / "armed.py"
    base = f"_base_ = {str(ROOT / 'configs' / config)!r}"
    imports = ["maskssl.registration", "tests.stress.kill_hook"]
    armed.write_text(
        f"{base}\ndefault_hooks = dict(kill={shot})\ncustom_imports = dict(imports={imports})"
    )
    log = dist_train(str(armed), scenes, tmp_path / "killed", 29615, *options, code=1)
    assert "SIGKILL" in log
    found = newest_valid(tmp_path / "killed").name
    assert found in ("iter_3.pth", "iter_6.pth")
    again = dict(arguments=("--resume",))
    log = dist_train(config, scenes, tmp_path / "killed", 29615, *options, **again)
    assert f"{found}, the newest whole checkpoint" in log
    folders = (undisturbed, tmp_path / "killed")
    ends = [read_checkpoint(newest_valid(folder)) for folder in folders]
    assert ends[0]["meta"]["iter"] == 8 and not list(differing(*ends))
    assert not list((tmp_path / "killed").glob("*part"))
