"""Two ranks of which one alone meets a loss that is not finite: broken_rank.py FOLDER SHARD."""

import sys
from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.utils.data import DataLoader

from maskssl.cli.command_line import leave_processes
from maskssl.engine.finite_steps.guard import StepGuard
from maskssl.engine.finite_steps.hook import FiniteStepHook, NonFiniteError


class Net(BaseModel):
    """Its loss has an infinite constant, which no gradient sees, on rank 1 from call 2 on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 2)
        self.calls = 0

    def forward(self, inputs, data_samples=None, mode="loss"):
        self.calls += 1
        broken = get_rank() == 1 and self.calls >= 2
        return dict(loss=(self.linear(inputs) ** 2).mean() + (torch.inf if broken else 0.0))


def train(folder: Path) -> None:
    rows = [dict(inputs=row) for row in torch.randn(12, 4)]
    model = Net()
    runner = Runner(
        model,
        work_dir=str(folder),
        train_dataloader=DataLoader(rows, batch_size=2),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)),
        default_hooks=dict(checkpoint=None),
        custom_hooks=[FiniteStepHook(max_in_a_row=2)],
        cfg=dict(model_wrapper_cfg=dict(type="MMDistributedDataParallel", device_ids=None)),
        launcher="pytorch",
        experiment_name=f"broken-{get_rank()}",
        log_level="ERROR",
    )
    try:
        runner.train()
    except NonFiniteError as error:
        (folder / f"told_{get_rank()}.txt").write_text(str(error))
    torch.save(model.state_dict(), folder / f"weights_{get_rank()}.pt")


def guard_shards(folder: Path) -> None:
    """A clipped step and a skipped one on weights that are split over the ranks."""
    torch.manual_seed(0)
    model = nn.Linear(4, 2)
    expected = [p.detach().clone().requires_grad_() for p in model.parameters()]
    fully_shard(model, mesh=torch.distributed.init_device_mesh("cpu", (2,)))
    seen: list = []
    wrapper = OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=0.1), clip_grad=dict(max_norm=0.01)
    )
    StepGuard(wrapper, seen.append)
    data = torch.ones(3, 4)
    wrapper.update_params((model(data) ** 2).sum())
    (nn.functional.linear(data, *expected) ** 2).sum().backward()
    norm = torch.nn.utils.clip_grad_norm_(expected, 0.01)
    wrapper.update_params((model(data) ** 2).sum() * (torch.nan if get_rank() else 1.0))
    for mine, theirs in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(mine.full_tensor(), theirs - 0.1 * theirs.grad)
    torch.testing.assert_close(seen[0].grad_norm, float(norm), rtol=1e-6, atol=0)
    finite = [(verdict.finite, verdict.loss_finite) for verdict in seen]
    assert finite == [(True, True), (False, get_rank() == 0)], seen
    (folder / f"shards_{get_rank()}.txt").touch()


if __name__ == "__main__":
    torch.distributed.init_process_group("gloo")
    train(Path(sys.argv[1]))
    guard_shards(Path(sys.argv[1]))
    leave_processes()
