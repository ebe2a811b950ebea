"""ExtreMA's losses: every masked view of an image predicts its teacher feature."""

from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import MaskSSLError
from ..layers.feature_spread import feature_spread


def byol_loss(queries: Tensor, keys: Tensor) -> Tensor:
    """Squared distance of normalised features, averaged over images and masks.

    Args:
        queries: (B, K, D) predictions of the student under K masks.
        keys: (B, D) features of the teacher.
    """
    queries, keys = F.normalize(queries, dim=-1), F.normalize(keys, dim=-1)
    return (queries - keys[:, None]).square().sum(dim=-1).mean()


def infonce_loss(queries: Tensor, keys: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross entropy of finding the own key among those of all ranks, times 2 T.

    Args:
        queries: (B, K, D) predictions of the student under K masks.
        keys: (B, D) features of the teacher, without gradient; every rank has B of them.
        temperature: T.
    """
    queries, keys = F.normalize(queries, dim=-1), F.normalize(keys, dim=-1)
    all_keys = torch.cat(all_gather(keys))  # (W * B, D)
    logits = queries.flatten(0, 1) @ all_keys.T / temperature  # (B * K, W * B)
    own = torch.arange(len(keys), device=keys.device) + len(keys) * get_rank()
    own = own.repeat_interleave(queries.shape[1])  # (B * K,)
    return F.cross_entropy(logits, own) * (2 * temperature)


LOSSES = ("byol", "infonce")


@MODELS.register_module()
class ExtreMAHead(BaseModule):
    """A predictor on the student's projections, and the loss against the teacher's.

    Args:
        predictor: ProjectionMLP of two layers.
        loss: 'byol' or 'infonce'.
        temperature: of InfoNCE's softmax.
    """

    def __init__(
        self, predictor: dict[str, Any], loss: str = "byol", temperature: float = 1.0
    ) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise MaskSSLError(f"loss={loss!r} is unknown; use one of {LOSSES}")
        if temperature <= 0:
            raise MaskSSLError(f"temperature={temperature} must be greater than 0; published: 1.0")
        self.predictor = MODELS.build(predictor)
        self.loss_name = loss
        self.temperature = temperature

    def loss(self, projections: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Predict from every masked view and compare, in fp32.

        Args:
            projections: (B, K, D) of the student.
            keys: (B, D) of the teacher.

        Returns:
            ``loss_byol`` or ``loss_infonce``, and the spread of both features, by which a
            collapse shows.
        """
        queries, keys = self.predictor(projections).float(), keys.float()
        if self.loss_name == "byol":
            loss = byol_loss(queries, keys)
        else:
            loss = infonce_loss(queries, keys, self.temperature)
        return {
            f"loss_{self.loss_name}": loss,
            "spread_student": feature_spread(projections),
            "spread_teacher": feature_spread(keys),
        }
