"""Every stage that needs no ops, one after the other in this process: SCENES OUT.

Run by tests/test_stock_packages.py with the Python of tools/stock_environment.sh. Prints JSON:
versions, and what each stage left.
"""

import json
import sys
from pathlib import Path

import mmcv
import mmengine
import mmpretrain
import torch

from maskssl.__main__ import main
from maskssl.checkpoints.reading import read_checkpoint
from maskssl.methods import METHODS

CONFIGS = METHODS["bootmae"].configs


def stage(command: str, name: str, out: Path, scenes: Path, loaders: str, *more: str) -> None:
    """Run a stage on a handful of pictures, loaded in this process."""
    options = [
        f"{loader}.{option}"
        for loader in loaders.split()
        for option in (
            f"dataset.data_root={scenes / 'imagefolder'}",
            "dataset.indices=64",
            "num_workers=0",
            "persistent_workers=False",
        )
    ]
    main([command, CONFIGS[name], "--work-dir", str(out), *more, *options])


def epochs(number: int) -> list[str]:
    return ["--cfg-options", f"train_cfg.max_epochs={number}"]


def run_all(scenes: Path, out: Path) -> dict[str, object]:
    pretraining = str(out / "pretrain")
    train, trained = "train_dataloader", "train_dataloader val_dataloader"
    stage("train", "pretrain", out / "pretrain", scenes, train, *epochs(1))
    stage("train", "pretrain", out / "pretrain", scenes, train, "--resume", *epochs(2))
    from_it = ["--pretrained", pretraining]
    stage("test", "knn", out / "knn", scenes, "test_dataloader test_cfg.bank_dataloader",
          *from_it, "--cfg-options")  # fmt: skip
    for name in ("linear", "finetune"):
        stage("train", name, out / name, scenes, trained, *from_it, *epochs(1))
    first, second = (read_checkpoint(out / "pretrain" / f"epoch_{n}.pth") for n in (1, 2))
    return dict(
        versions=[mmengine.__version__, mmcv.__version__, mmpretrain.__version__],
        iterations=[content["meta"]["iter"] for content in (first, second)],
        moved=not torch.equal(*(c["state_dict"]["backbone.norm.weight"] for c in (first, second))),
        knn=json.loads((out / "knn" / "metrics.json").read_text()),
        checkpoints=sorted(path.relative_to(out).as_posix() for path in out.glob("*/epoch_*.pth")),
    )


if __name__ == "__main__":
    sys.stdout.write(json.dumps(run_all(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
