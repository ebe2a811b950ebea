"""Every stage that needs no ops, one after the other in this process: SCENES OUT.

tests/test_without_ops.py runs it where mmcv's ops, mmseg and mmdet are not to be had. Its last
line is JSON: versions, and what the stages left.
"""

import importlib
import json
import sys
from pathlib import Path

import mmcv
import mmengine
import mmpretrain
import torch

from maskssl.__main__ import main
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.cli.doctor import examine
from maskssl.cli.doctor.machine import Machine
from maskssl.methods import METHODS
from tests.blocked_imports import BLOCKED

KNN = "finetune/bootmae_vit-mini-p8_knn_1xb128_scenes.py"
CONFIGS = {**METHODS["bootmae"].configs, "knn": KNN}
TRAINED = ("train_dataloader", "val_dataloader")


def stage(name: str, out: Path, scenes: Path, loaders: tuple[str, ...], *more: str) -> None:
    """Run a stage on a handful of pictures, loaded in this process; ``more`` ends in options."""
    command = "test" if name == "knn" else "train"
    pictures = scenes / ("imagefolder" if name == "pretrain" else "few")
    options = [
        f"{loader}.{option}"
        for loader in loaders
        for option in (
            f"dataset.data_root={pictures}",
            "num_workers=0",
            "persistent_workers=False",
        )
    ]
    main([command, CONFIGS[name], "--work-dir", str(out), *more, *options])


def epochs(number: int) -> list[str]:
    return ["--cfg-options", f"train_cfg.max_epochs={number}", "default_hooks.logger.interval=1"]


def run_all(scenes: Path, out: Path) -> dict[str, object]:
    """Pretrain, resume, then judge what came out by three stages."""
    pretraining = out / "pretrain"
    stage("pretrain", pretraining, scenes, TRAINED[:1], *epochs(1))
    stage("pretrain", pretraining, scenes, TRAINED[:1], "--resume", *epochs(2))
    from_it = ["--pretrained", str(pretraining)]
    banks = ("test_dataloader", "test_cfg.bank_dataloader")
    stage("knn", out / "knn", scenes, banks, *from_it, "--cfg-options")
    for name in ("linear", "finetune"):
        stage(name, out / name, scenes, TRAINED, *from_it, *epochs(2))
    first, second = (read_checkpoint(pretraining / f"epoch_{n}.pth") for n in (1, 2))
    started = encoder(second)
    return dict(
        missing=[name for name in BLOCKED if not importable(name)],
        doctor={finding.name: finding.status for finding in examine(Machine(deep=True))},
        versions=[mmengine.__version__, mmcv.__version__, mmpretrain.__version__],
        iterations=[content["meta"]["iter"] for content in (first, second)],
        resumed=changed(encoder(first), started),
        knn=json.loads((out / "knn" / "metrics.json").read_text()),
        **{
            name: changed(started, encoder(read_checkpoint(out / name / "epoch_2.pth")))
            for name in ("linear", "finetune")
        },
        losses={name: losses(out / name) for name in ("pretrain", "linear", "finetune")},
    )


def importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return False
    return True


def encoder(content: dict[str, object]) -> dict[str, torch.Tensor]:
    """The blocks' weights."""
    return {k: v for k, v in content["state_dict"].items() if k.startswith("backbone.blocks.")}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> float:
    """Share of the tensors of ``after`` that are others than before."""
    return sum(not torch.equal(before[key], value) for key, value in after.items()) / len(after)


def losses(run: Path) -> list[float]:
    """All losses that a run logged, resumed ones too."""
    lines = [
        json.loads(line)
        for log in sorted(run.glob("*/vis_data/scalars.json"))
        for line in log.read_text().splitlines()
    ]
    return [line["loss"] for line in lines if "loss" in line]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run_all(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
