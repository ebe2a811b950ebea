"""Killed and resumed runs of every stage end as if never stopped, bit for bit."""

import os
import subprocess
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from maskssl.checkpoints.finding import newest_valid
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.quickstart.scenes.writer import write_scenes
from tests.stress.resume_stress import (
    Shot,
    StressError,
    differing,
    differing_logs,
    draw_shots,
    environment,
    stress_resume,
    with_kill_hook,
)
from tests.support import python, tool_command

ROOT = Path(__file__).resolve().parents[1]
BY_ITERATION = {
    "default_hooks.checkpoint.by_epoch": False,
    "default_hooks.checkpoint.interval": 2,
    "default_hooks.logger.interval": 1,
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(
        tmp_path_factory.mktemp("resume") / "s",
        num_train=24,
        num_val=8,
        num_dense_train=8,
        num_dense_val=2,
    )


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def options(config: str, scenes: Path, batch: int = 8) -> dict:
    folder = dict(seg="seg", det="det").get(config.split("/")[0], "imagefolder")
    found = dict(BY_ITERATION)
    loaders = (
        ["train_dataloader"] if "pretrain/" in config else ["train_dataloader", "val_dataloader"]
    )
    for loader in loaders:
        found[f"{loader}.dataset.data_root"] = str(scenes / folder)
        found[f"{loader}.num_workers"] = 0
        found[f"{loader}.persistent_workers"] = False
    found["train_dataloader.batch_size"] = batch
    if folder == "det":
        found["val_evaluator.ann_file"] = str(scenes / folder / "instances_val.json")
    if "pretrain/" not in config:
        found["model.backbone.init_cfg"] = None
    return found


def stress(config, scenes, folder, shots, **changes):
    stress_resume(
        f"configs/{config}",
        folder,
        len(shots),
        {**options(config, scenes), **changes},
        say=lambda line: None,
        shots=shots,
    )
    torch.load(newest_valid(folder / "whole"), weights_only=True)  # with no list of classes


@pytest.fixture(scope="module")
def pretraining(scenes, tmp_path_factory):
    """Nine steps in three epochs; killed at the second, across an epoch, and within a save."""
    folder = tmp_path_factory.mktemp("pretraining")
    os.environ["OMP_NUM_THREADS"] = "1"
    # saved after each second step: the second kill comes between the epochs, behind step 3
    shots = [Shot(1, 0.0, False), Shot(3, 0.0, False), Shot(6, 0.003, True)]
    changes = {"train_cfg.max_epochs": 3}
    stress(
        "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py",
        scenes,
        folder,
        shots,
        **changes,
    )
    return folder


def test_pretraining_with_three_kills(pretraining):
    runs = sorted((pretraining / "killed").glob("*/vis_data/scalars.json"))
    assert len(runs) >= 3, "each kill starts another run"
    last = read_checkpoint(newest_valid(pretraining / "killed"))
    assert last["meta"]["iter"] == 9
    assert any(key.startswith("target_generator.") for key in last["state_dict"])


@pytest.mark.parametrize(
    ("config", "changes", "shot"),
    [
        (
            "pretrain/extrema_vit-mini-p8_1xb32-amp-coslr-10e_scenes.py",
            {"train_cfg.max_epochs": 2},
            Shot(4, 0.0, False),
        ),
        (
            "finetune/bootmae_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py",
            {"train_cfg.max_epochs": 2},
            Shot(4, 0.0, False),
        ),
        (
            "seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py",
            {"train_cfg.max_iters": 5},
            Shot(3, 0.0, False),
        ),
        (
            "det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py",
            {"train_cfg.max_epochs": 2},
            Shot(3, 0.0, False),
        ),
    ],
)
def test_the_other_stages_with_one_kill(config, changes, shot, scenes, tmp_path):
    if config.startswith(("seg/", "det/")):
        changes = {**changes, "train_dataloader.batch_size": 2}
    stress(config, scenes, tmp_path, [shot], **changes)


@pytest.mark.parametrize("workers", [1, 4])
def test_any_number_of_workers_gives_the_same_run(workers, pretraining, scenes, tmp_path):
    config = "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py"
    settings = {**options(config, scenes), "train_cfg.max_epochs": 3}
    settings["train_dataloader.num_workers"] = workers
    settings["train_dataloader.persistent_workers"] = True
    arguments = [f"{key}={value}" for key, value in settings.items()]
    command = [*tool_command("train.py"), f"configs/{config}", "--work-dir", str(tmp_path)]
    arguments.append("randomness.deterministic=True")
    subprocess.run(
        [*command, "--cfg-options", *arguments], cwd=ROOT, check=True, capture_output=True
    )
    one, other = (read_checkpoint(newest_valid(f)) for f in (pretraining / "whole", tmp_path))
    assert differing(one, other) == []
    assert differing_logs(pretraining / "whole", tmp_path) == []


def test_sigterm_saves_leaves_with_75_and_resumes_the_same_run(pretraining, scenes, tmp_path):
    cfg = Config.fromfile(str(pretraining / "whole.py"))
    with_kill_hook(cfg, iteration=4, kind="SIGTERM").dump(str(tmp_path / "told.py"))
    options = ["--work-dir", str(tmp_path / "run"), "--resume"]
    left = subprocess.run(
        [*tool_command("train.py"), str(tmp_path / "told.py"), *options],
        cwd=ROOT, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert left.returncode == 75, left.stderr[-2000:]
    assert read_checkpoint(newest_valid(tmp_path / "run"))["meta"]["iter"] == 5
    subprocess.run(
        [*tool_command("train.py"), str(pretraining / "whole.py"), *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    one, other = (
        read_checkpoint(newest_valid(f)) for f in (pretraining / "whole", tmp_path / "run")
    )
    assert differing(one, other) == []


def test_a_damaged_last_checkpoint_costs_only_the_steps_after_the_one_before(
    pretraining, scenes, tmp_path
):
    import shutil

    shutil.copytree(pretraining / "whole", tmp_path / "run")
    last = newest_valid(tmp_path / "run")
    last.write_bytes(last.read_bytes()[:-1000])
    before = newest_valid(tmp_path / "run")
    assert before != last
    command = [
        *tool_command("train.py"),
        str(pretraining / "whole.py"),
        "--work-dir",
        str(tmp_path / "run"),
        "--resume",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"{last} is passed over" in done.stdout + done.stderr
    one, other = (
        read_checkpoint(newest_valid(f)) for f in (pretraining / "whole", tmp_path / "run")
    )
    assert differing(one, other) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("train_dataloader.batch_size=4", "batch_size 4 instead of 8"),
        ("model.neck.pixel.embed_dims=24", "Resume with the config that the run began with"),
    ],
)
def test_resuming_another_run_is_refused(change, said, pretraining, tmp_path):
    import shutil

    folder = tmp_path / "run"
    folder.mkdir()
    for file in (pretraining / "whole").glob("iter_8.pth*"):
        shutil.copy(file, folder)
    command = [*tool_command("train.py"), str(pretraining / "whole.py"), "--work-dir", str(folder)]
    done = subprocess.run(
        [*command, "--resume", "--cfg-options", change], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert said in done.stderr, done.stderr[-1500:]


def test_resuming_from_weights_alone_is_refused(pretraining, tmp_path):
    state = read_checkpoint(newest_valid(pretraining / "whole"))["state_dict"]
    torch.save(dict(state_dict=state), tmp_path / "weights.pth")
    command = [*tool_command("train.py"), str(pretraining / "whole.py")]
    command += ["--work-dir", str(tmp_path / "w"), "--resume", str(tmp_path / "weights.pth")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "was not saved in the middle of a training" in done.stderr, done.stderr[-1500:]


# The comparison itself


def test_one_bit_is_a_difference(pretraining):
    path = newest_valid(pretraining / "whole")
    one, other = read_checkpoint(path), read_checkpoint(path)
    assert differing(one, other) == []
    name = next(key for key, value in other["state_dict"].items() if value.is_floating_point())
    flat = other["state_dict"][name].flatten()
    flat[0] = torch.nextafter(flat[0], torch.tensor(9.0))
    assert differing(one, other) == [f"state_dict.{name}"]

    other = read_checkpoint(path)
    moments = other["optimizer"]["state"][0]["exp_avg"]
    moments += 1e-6
    assert differing(one, other) == ["optimizer.state.0.exp_avg"]


def test_another_logged_loss_is_a_difference(pretraining, tmp_path):
    import shutil

    shutil.copytree(pretraining / "whole", tmp_path / "run")
    file = next((tmp_path / "run").glob("*/vis_data/scalars.json"))
    file.write_text(file.read_text().replace('"loss": 1.', '"loss": 2.', 1))
    found = differing_logs(pretraining / "whole", tmp_path / "run")
    assert len(found) == 1 and "loss" in found[0]


def test_shots_cover_the_run_and_some_hit_saves():
    shots = draw_shots(20, 600, seed=3, step_seconds=0.1)
    assert shots == draw_shots(20, 600, seed=3, step_seconds=0.1)
    assert [shot.iteration for shot in shots] == sorted(shot.iteration for shot in shots)
    assert sum(shot.in_save for shot in shots) == 6
    assert shots[0].iteration < 40 and shots[-1].iteration > 560


def test_an_earlier_stress_is_not_mixed_in(tmp_path):
    (tmp_path / "whole").mkdir()
    with pytest.raises(StressError, match="holds an earlier stress"):
        stress_resume("configs/x.py", tmp_path, 1, {}, print)


def test_the_command_says_how_it_is_called():
    done = subprocess.run(
        [python(), "-m", "tests.stress.resume_stress", "--help"],
        cwd=ROOT, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "--kills" in done.stdout
