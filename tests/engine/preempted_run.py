"""A tiny training that tests start, signal, and resume: python preempted_run.py FOLDER ..."""

import argparse
import multiprocessing
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader, Dataset

from maskssl.cli.ending import leave_processes
from maskssl.engine.hooks.preemption import PreemptionHook


class Rows(Dataset):
    """The same numbers each time; a row can take time to load."""

    def __init__(self, seconds: float) -> None:
        self.rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
        self.seconds = seconds

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        time.sleep(self.seconds)
        return dict(inputs=self.rows[index])


class Net(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 1)

    def forward(self, inputs, data_samples=None, mode="loss"):
        return dict(loss=(self.linear(inputs) ** 2).mean())


class Signal(Hook):
    """Signal this process, or its whole group, in one step on one rank."""

    def __init__(self, step: int, name: str, group: bool, rank: int) -> None:
        self.step, self.rank, self.number = step, rank, signal.Signals[name]
        target = -os.getpgid(0) if group else os.getpid()
        # from another process, as a scheduler's comes
        self.command = ["kill", "-s", name.removeprefix("SIG"), "--", str(target)]

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        if runner.iter + 1 == self.step and get_rank() == self.rank:
            subprocess.run(self.command)
            for child in multiprocessing.active_children():
                while not has_taken(child.pid, self.number):
                    time.sleep(0.005)


def has_taken(process: int, number: int) -> bool:
    """Whether a process has ended, or no signal of this number waits for it any more."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return True
    waiting = re.findall(r"(?:Sig|Shd)Pnd:\s*(\w+)", status)
    return "State:\tZ" in status or not any(int(mask, 16) >> number - 1 & 1 for mask in waiting)


class SignalInSave(Hook):
    """A second signal in the middle of a save."""

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def main(args: argparse.Namespace) -> None:
    hooks = [PreemptionHook(interval=args.interval)]
    if args.signal_at:
        hooks += [Signal(args.signal_at, args.kind, args.group, args.on_rank), SignalInSave()]
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    runner = Runner(
        model,
        work_dir=str(args.folder),
        train_dataloader=DataLoader(
            Rows(args.seconds),
            batch_size=4,
            num_workers=args.workers,
            persistent_workers=args.workers > 0,
        ),
        train_cfg=dict(by_epoch=False, max_iters=12),
        optim_wrapper=OptimWrapper(optimizer, accumulative_counts=args.accumulate),
        param_scheduler=[dict(type="StepLR", by_epoch=False, step_size=2, gamma=0.9)],
        default_hooks=dict(checkpoint=None),
        custom_hooks=hooks,
        cfg=dict(model_wrapper_cfg=dict(type="MMDistributedDataParallel", device_ids=None)),
        launcher=args.launcher,
        resume=args.resume,
        experiment_name=f"preempted-{args.folder}-{args.resume}-{get_rank()}",
        randomness=dict(seed=0),
    )
    runner.train()
    if get_rank() == 0:
        torch.save([model.state_dict(), optimizer.state_dict()], args.folder / "end.pt")


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--signal-at", type=int, help="step in which to signal")
    parser.add_argument("--kind", default="SIGTERM")
    parser.add_argument("--group", action="store_true", help="signal loader processes too")
    parser.add_argument("--on-rank", type=int, default=0)
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--accumulate", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.0, help="to load one row")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--launcher", default="none")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    arguments = parsed()
    if arguments.launcher == "pytorch":
        torch.distributed.init_process_group("gloo")
    try:
        main(arguments)
    except SystemExit as end:
        leave_processes(end.code)
        raise
    leave_processes()
