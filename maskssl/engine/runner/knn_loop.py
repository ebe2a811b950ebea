"""Test loop of kNN evaluation: features of the training set first, then the test."""

import math
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.logging import print_log
from mmengine.registry import LOOPS
from mmengine.runner import Runner, TestLoop
from torch import Tensor

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
        model = unwrapped(self.runner.model)
        features, labels = [], []
        for index, batch in enumerate(self.bank_dataloader):
            batch = model.data_preprocessor(batch, training=False)
            features.append(model(batch["inputs"], mode="tensor").float().cpu())
            labels += [int(sample.gt_label) for sample in batch["data_samples"]]
            if index % max(1, len(self.bank_dataloader) // 5) == 0:
                done = f"{index + 1}/{len(self.bank_dataloader)}"
                print_log(f"kNN bank: {done} batches embedded", logger="current")
        size = len(self.bank_dataloader.dataset)
        bank, bank_labels = _gathered(torch.cat(features), torch.tensor(labels), size)
        device = next(model.backbone.parameters()).device
        return bank.to(device), bank_labels.to(device)


def _gathered(features: Tensor, labels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Join the shares of all ranks in dataset order; padding at the end is cut off."""
    if get_world_size() == 1:
        return features, labels
    shares = all_gather_object((features, labels))
    longest = math.ceil(size / len(shares))
    order = [(rank, i) for i in range(longest) for rank in range(len(shares))][:size]
    return (
        torch.stack([shares[rank][0][i] for rank, i in order]),
        torch.stack([shares[rank][1][i] for rank, i in order]),
    )
