"""Two ranks that draw: drawn_ranks.py FOLDER. Each writes what it found to FOLDER/found_R.pt."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank, is_distributed
from mmengine.model import BaseModel
from torch import nn

from maskssl.cli import restarts
from maskssl.cli.ending import leave_processes
from maskssl.engine.runner.resuming import from_first_process
from maskssl.engine.runner.runner import MaskSSLRunner
from maskssl.errors import MaskSSLError


class Net(BaseModel):
    """Notes which images it sees, and what it draws in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.images: list[list[int]] = []
        self.drawn: list[float] = []

    def forward(self, inputs, data_samples=None, mode="loss"):
        self.images.append([int(value) for value in inputs])
        self.drawn.append(torch.rand(()).item())
        return dict(loss=self.weight**2)


def run(folder: Path, **options: Any) -> MaskSSLRunner:
    """Two epochs of twelve images in batches of two, with an lr that falls in each iteration."""
    loader = dict(
        dataset=[dict(inputs=torch.tensor(float(number))) for number in range(12)],
        sampler=dict(type="DefaultSampler", shuffle=True),
        batch_size=2,
        collate_fn=dict(type="default_collate"),
    )
    schedule = dict(
        type="CosineAnnealingLR", T_max=2, eta_min=0.0, by_epoch=True, convert_to_iter_based=True
    )
    cfg = dict(
        param_scheduler=[schedule],
        model_wrapper_cfg=dict(type="MMDistributedDataParallel", device_ids=None),
        randomness=options.get("randomness", {}),
    )
    train_cfg = dict(by_epoch=True, max_epochs=2, new_draws=options.pop("new_draws", False))
    return MaskSSLRunner(
        Net(),
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=1.0)),
        param_scheduler=[dict(schedule)],
        default_hooks=dict(checkpoint=dict(type="SafeCheckpointHook", interval=1)),
        launcher="pytorch" if is_distributed() else "none",
        experiment_name=f"{folder}-{len(os.listdir(folder)) if folder.exists() else 0}",
        log_level="ERROR",
        cfg=cfg,
        **options,
    )


def restart_of_the_first(folder: Path) -> str | None:
    """The ranks' clocks differ by a day; ranks that decide alone would decide otherwise."""
    os.environ[restarts.LAUNCHED] = "0" if get_rank() == 0 else "99999999999"
    alone = restarts.resume_from(None, folder)
    assert alone == (str(folder / "epoch_2.pth") if get_rank() == 0 else None)
    return from_first_process(lambda: restarts.resume_from(None, folder))


def refusal_of_the_first() -> str:
    def refuse() -> None:
        raise MaskSSLError("the first process alone has seen this")

    try:
        from_first_process(refuse)
    except MaskSSLError as error:
        return str(error)
    return "nothing"


def main(folder: Path) -> None:
    torch.distributed.init_process_group("gloo")
    runner = run(folder / "run", randomness=dict(seed=5, diff_rank_seed=True))
    runner.train()
    model = runner.model.module
    found = dict(
        seed=runner.seed,
        shared=runner.train_loop.facts["seed"],
        images=model.images,
        drawn=model.drawn,
        restart=restart_of_the_first(folder / "run"),
        refusal=refusal_of_the_first(),
    )
    torch.save(found, folder / f"found_{get_rank()}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    leave_processes()
