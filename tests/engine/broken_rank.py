"""Two ranks of which one alone meets a loss that is not finite: broken_rank.py FOLDER."""

import logging
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader

from maskssl.cli.ending import leave_processes
from maskssl.engine.finite_steps.debug_step import DebugStepHook
from maskssl.engine.finite_steps.guard import guarded
from maskssl.engine.finite_steps.hook import FiniteStepHook, NonFiniteError
from maskssl.engine.runner.runner import MaskSSLRunner


class Net(BaseModel):
    """Its loss has an infinite constant, which no gradient sees, on rank 1 from step 2 on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 2)

    def forward(self, inputs, data_samples=None, mode="loss"):
        broken = get_rank() == 1 and MessageHub.get_current_instance().get_info("iter") >= 1
        return dict(loss=(self.linear(inputs) ** 2).mean() + (torch.inf if broken else 0.0))


def built(folder: Path, name: str, *hooks: Hook, **options: Any) -> MaskSSLRunner:
    torch.manual_seed(1)
    model = Net()
    return MaskSSLRunner(
        model,
        work_dir=str(folder),
        train_dataloader=DataLoader([dict(inputs=row) for row in torch.randn(12, 4)], batch_size=2),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)),
        default_hooks=dict(checkpoint=None),
        custom_hooks=[FiniteStepHook(max_in_a_row=2), *hooks],
        cfg=dict(model_wrapper_cfg=dict(type="MMDistributedDataParallel", device_ids=None)),
        launcher="pytorch",
        experiment_name=f"broken-{name}-{get_rank()}",
        log_level="ERROR",
        randomness=dict(seed=0),
        **options,
    )


def stop(folder: Path) -> None:
    """Rank 1 alone is not finite; both stop."""
    runner = built(folder, "stop")
    try:
        runner.train()
    except NonFiniteError as error:
        (folder / f"told_{get_rank()}.txt").write_text(str(error))
    torch.save(runner.model.state_dict(), folder / f"weights_{get_rank()}.pt")


def look(folder: Path) -> None:
    """The step is run again; the anomaly on one rank holds up nobody."""
    path = folder / "non_finite" / "iter_2.pth"
    runner = built(folder, "look", DebugStepHook(), resume=True, load_from=str(path))
    handler = logging.FileHandler(folder / "report.txt" if get_rank() == 0 else "/dev/null")
    handler.addFilter(lambda record: ", rank " in record.getMessage())
    runner.logger.addHandler(handler)
    runner.logger.setLevel("WARNING")
    try:
        runner.train()
    except SystemExit as end:
        assert end.code == 0


def guard_shards(folder: Path) -> None:
    """A clipped step and a skipped one on weights that are split over the ranks."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    expected = [p.detach().clone().requires_grad_() for p in model.parameters()]
    fully_shard(model, mesh=torch.distributed.init_device_mesh("cpu", (2,)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    wrapper = guarded(OptimWrapper(optimizer, clip_grad=dict(max_norm=0.01)))
    data = torch.ones(3, 4)
    wrapper.update_params((model(data) ** 2).sum())
    seen = [wrapper.verdict]
    (nn.functional.linear(data, *expected) ** 2).sum().backward()
    norm = torch.nn.utils.clip_grad_norm_(expected, 0.01)
    wrapper.update_params((model(data) ** 2).sum() * (torch.nan if get_rank() else 1.0))
    seen.append(wrapper.verdict)
    for mine, theirs in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(mine.full_tensor(), theirs - 0.1 * theirs.grad)
    torch.testing.assert_close(seen[0].grad_norm, float(norm), rtol=1e-6, atol=0)
    assert [(verdict.finite, verdict.bad_ranks) for verdict in seen] == [(True, 0), (False, 1)]
    (folder / f"shards_{get_rank()}.txt").touch()


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    stop(Path(sys.argv[1]))
    look(Path(sys.argv[1]))
    guard_shards(Path(sys.argv[1]))
    leave_processes()
