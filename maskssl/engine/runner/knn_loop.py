"""Test loop of kNN evaluation: features of the training set first, then the test."""

import math
from typing import Any

import torch
from mmengine.dist import all_gather, get_world_size
from mmengine.logging import print_log
from mmengine.registry import LOOPS
from mmengine.runner import Runner, TestLoop
from torch import Tensor

from ...errors import MaskSSLError
from ...evaluation.knn import unit_length
from ..unwrapping import unwrapped


@LOOPS.register_module()
class KNNTestLoop(TestLoop):
    """Load the pretrained backbone, embed ``bank_dataloader``, then test as usual.

    Args:
        runner: its model is a KNNClassifier.
        dataloader: images to classify.
        evaluator: e.g. mmpretrain's Accuracy.
        bank_dataloader: labelled images that vote; in order, without augmentation.
        fp16: autocast in the test.

    Raises:
        MaskSSLError: the bank would leave images out.
    """

    def __init__(
        self,
        runner: Runner,
        dataloader: Any,
        evaluator: Any,
        bank_dataloader: dict[str, Any],
        fp16: bool = False,
    ) -> None:
        super().__init__(runner, dataloader, evaluator, fp16)
        self.bank_dataloader = runner.build_dataloader(bank_dataloader)
        if self.bank_dataloader.drop_last:
            raise MaskSSLError(
                "bank_dataloader.drop_last=True leaves images without a vote; use drop_last=False"
            )

    def run(self) -> dict[str, float]:
        """Fill the bank and test; returns the metrics."""
        model = unwrapped(self.runner.model)
        if not model.backbone.is_init:
            model.init_weights()
        model.eval()
        model.fill_bank(*self._embed_bank())
        return super().run()

    @torch.no_grad()
    def _embed_bank(self) -> tuple[Tensor, Tensor]:
        """Features (M, C) of unit length and labels (M,), on every process, in dataset order."""
        model = unwrapped(self.runner.model)
        size = len(self.bank_dataloader.dataset)
        share = math.ceil(size / get_world_size())
        device = next(model.backbone.parameters()).device
        features, labels = torch.empty(0), torch.empty(share, dtype=torch.long, device=device)
        done = 0
        for index, batch in enumerate(self.bank_dataloader):
            mine = torch.tensor([int(sample.gt_label) for sample in batch["data_samples"]])
            batch = model.data_preprocessor(batch, training=False)
            found = unit_length(model(batch["inputs"], mode="tensor"))
            if not done:
                features = found.new_empty(share, found.shape[1])
            features[done : done + len(found)] = found
            labels[done : done + len(found)] = mine.to(device)
            done += len(found)
            if index % max(1, len(self.bank_dataloader) // 5) == 0:
                told = f"{index + 1}/{len(self.bank_dataloader)}"
                print_log(f"kNN bank: {told} batches embedded", logger="current")
        return gathered(features, size), gathered(labels, size)


def gathered(share: Tensor, size: int, rows: int = 1 << 14) -> Tensor:
    """Join the shares of all processes, to whom the images were dealt out in turn.

    Args:
        share: (ceil(size / processes), ...) of this one, padded at the end.
        size: images of the set.
        rows: of a share that are on the way at a time.

    Returns:
        (size, ...), in the order of the set.
    """
    if get_world_size() == 1:
        return share
    joined = share.new_empty(size, *share.shape[1:])
    for start in range(0, len(share), rows):
        parts = all_gather(share[start : start + rows])
        turns = torch.stack(parts, dim=1).flatten(0, 1)  # (rows, ranks, ...) -> (rows * ranks, ...)
        into = joined[start * len(parts) :][: len(turns)]
        into.copy_(turns[: len(into)])
    return joined
