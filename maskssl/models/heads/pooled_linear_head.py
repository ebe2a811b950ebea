"""Norms and a linear layer on a pooled feature: fine-tuning and linear probing."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmpretrain.models.heads import ClsHead
from mmpretrain.registry import MODELS
from torch import Tensor, nn

FINETUNE_NORMS = (dict(type="LN", eps=1e-6),)


@MODELS.register_module()
class PooledLinearHead(ClsHead):
    """Classifier on (B, C): the norms one after the other, then a linear layer.

    BootMAE fine-tunes behind a trained LayerNorm, and probes behind a fresh LayerNorm
    that never trains and a BatchNorm without affine.

    Args:
        in_channels: C.
        num_classes: classes.
        norms: mmcv norm configs; ``requires_grad=False`` keeps one as it starts.
        init_std: deviation of the linear layer's initial weights.
        loss: classification loss.
        **kwargs: of mmpretrain's ClsHead (``topk``, ``cal_acc``).
    """

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        norms: Sequence[dict[str, Any]] = FINETUNE_NORMS,
        init_std: float = 2e-5,
        loss: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(loss=loss or dict(type="CrossEntropyLoss", loss_weight=1.0), **kwargs)
        self.norms = nn.Sequential(*(_vector_norm(cfg, in_channels) for cfg in norms))
        self.fc = nn.Linear(in_channels, num_classes)
        nn.init.trunc_normal_(self.fc.weight, std=init_std)
        nn.init.zeros_(self.fc.bias)

    def pre_logits(self, feats: Sequence[Tensor]) -> Tensor:
        """The last feature (B, C) behind the norms."""
        return self.norms(feats[-1])

    def forward(self, feats: Sequence[Tensor]) -> Tensor:
        """Logits (B, num_classes)."""
        return self.fc(self.pre_logits(feats))


def _vector_norm(cfg: dict[str, Any], channels: int) -> nn.Module:
    """A norm of (B, C); mmcv's 'BN', which a SyncBN becomes without GPU, would be for images."""
    cfg = dict(cfg, type="BN1d") if cfg["type"] == "BN" else dict(cfg)
    return build_norm_layer(cfg, channels)[1]
