"""What two gloo processes compute for tests/test_ranks.py; one process runs it as well.

Usage under torchrun or alone: ranks_worker.py FOLDER. The first process saves FOLDER/found.pt.
"""

import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from mmengine.dist import get_rank, get_world_size
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import maskssl.registration  # noqa: F401
from maskssl.cli.ending import leave_processes
from maskssl.engine.runner.knn_loop import KNNTestLoop
from tests.evaluation.test_knn import Stub
from tests.evaluation.test_knn import build as knn
from tests.evaluation.test_knn import loader as images
from tests.models.test_bootmae import build as bootmae
from tests.models.test_extrema import build as extrema

BATCH, STEPS = 8, 3  # of all processes together
QUIET = dict(drop_path_rate=0.0)


class Step(nn.Module):
    """A loss as a forward, so that DistributedDataParallel sees it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor, masking: dict[str, torch.Tensor]) -> torch.Tensor:
        losses = self.model.loss(images, **masking)
        return sum(value for name, value in losses.items() if name.startswith("loss"))


def cases() -> dict[str, nn.Module]:
    return {
        "bootmae": bootmae(backbone=QUIET),
        "byol": extrema(backbone=QUIET),
        "infonce": extrema(backbone=QUIET, head=dict(loss="infonce", temperature=0.3)),
    }


def shares(tensor: torch.Tensor) -> torch.Tensor:
    """Consecutive images for each process, so that gathered keys keep the order."""
    return tensor.chunk(get_world_size())[get_rank()]


def train(name: str, model: nn.Module) -> dict[str, Any]:
    """Loss and gradients of each step, and the teacher on every rank after the last."""
    model.train()
    generator = torch.Generator().manual_seed(5)
    step = Step(model)
    wrapped = (
        DistributedDataParallel(step, broadcast_buffers=False) if get_world_size() > 1 else step
    )
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05)
    found: dict[str, Any] = dict(losses=[], gradients=[])
    for _ in range(STEPS):
        images = torch.randn(BATCH, 3, 32, 32, generator=generator)
        if name == "bootmae":
            masking = dict(ids_shuffle=torch.rand(BATCH, 16, generator=generator).argsort(dim=1))
        else:
            masking = dict(ids_keep=model.draw_masks(BATCH, generator=generator))
        masking = {key: shares(value) for key, value in masking.items()}
        optimizer.zero_grad()
        loss = wrapped(shares(images), masking)
        loss.backward()
        mean = loss.detach().clone()
        if get_world_size() > 1:
            dist.all_reduce(mean)
        found["losses"].append((mean / get_world_size()).item())
        found["gradients"].append(
            {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        )
        optimizer.step()
        model.target_generator.update(model, 0.9)
    teacher = torch.cat([p.flatten() for p in model.target_generator.parameters()])
    others = [torch.zeros_like(teacher) for _ in range(get_world_size())]
    if get_world_size() > 1:
        dist.all_gather(others, teacher)
    else:
        others = [teacher]
    found["teachers"] = others
    return found


def evaluate(size: int = 7) -> dict[str, float]:
    """Accuracy over a set that two does not divide, dealt out and padded as mmengine does."""
    generator = torch.Generator().manual_seed(3)
    scores, labels = torch.rand(size, 4, generator=generator), torch.arange(size) % 4
    evaluator = Evaluator(dict(type="mmpretrain.Accuracy", topk=(1, 2)))
    padded = -(-size // get_world_size()) * get_world_size()
    for index in range(get_rank(), padded, get_world_size()):
        number = index % size
        sample = (
            DataSample().set_gt_label(labels[number : number + 1]).set_pred_score(scores[number])
        )
        sample.set_pred_label(scores[number].argmax(dim=0, keepdim=True))
        evaluator.process([sample])
    return evaluator.evaluate(size)


def neighbours(size: int = 7) -> list[float]:
    """A kNN evaluation of seven images by a bank of nine, dealt out to the processes."""
    in_order = dict(type="DefaultSampler", shuffle=False)
    options = dict(batch_size=2, sampler=in_order, collate_fn=dict(type="pseudo_collate"))
    bank, queries = (
        Runner.build_dataloader(dict(options, dataset=images(count, seed).dataset))
        for count, seed in ((9, 1), (size, 2))
    )
    model = knn(k=3)
    evaluator = Evaluator(dict(type="mmpretrain.Accuracy", topk=(1, 2)))
    metrics = KNNTestLoop(Stub(model), queries, evaluator, bank).run()
    return [*metrics.values(), *model.bank.flatten().tolist(), *model.bank_labels.tolist()]


def main(folder: Path) -> None:
    MMLogger.get_instance("mmengine", log_level="ERROR")
    if "RANK" in os.environ:
        dist.init_process_group("gloo")
    found = {name: train(name, model) for name, model in cases().items()}
    found["accuracy"] = evaluate()
    found["neighbours"] = neighbours()
    if get_rank() == 0:
        torch.save(found, folder / "found.pt")
    leave_processes()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
