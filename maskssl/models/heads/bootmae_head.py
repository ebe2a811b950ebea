"""BootMAE's two losses."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor

from ..layers.patches import normalise_patches, spread

FEATURE_NORM_EPS = 1e-6


def loss_weight(mask: Tensor, weight_mask: bool = True) -> Tensor:
    """Weight of each patch: m, or m * avgpool3x3(m) + m, larger inside masked regions.

    Args:
        mask: (B, h, w) bool, True = masked.
        weight_mask: use the second form.

    Returns:
        (B, h, w) float32.
    """
    masked = mask.float()
    if not weight_mask:
        return masked
    return masked * F.avg_pool2d(masked, 3, stride=1, padding=1) + masked


@MODELS.register_module()
class BootMAEHead(BaseModule):
    """Weighted squared errors of pixels and of normalised teacher features.

    Both are divided by the share of masked patches, not by the sum of the weights
    (run_pretraining.py: Rloss, Ploss).

    Args:
        feature_weight: weight of the feature loss once its ramp is over. 0 trains on
            pixels alone.
        weight_mask: see ``loss_weight``.
        feature_ramp: share of the epochs over which the feature weight rises.
    """

    def __init__(
        self, feature_weight: float = 1.0, weight_mask: bool = True, feature_ramp: float = 0.25
    ) -> None:
        super().__init__()
        self.feature_weight = feature_weight
        self.feature_ramp = feature_ramp
        self.weight_mask = weight_mask
        # moved each epoch by FeatureWeightHook
        self.current_feature_weight = feature_weight

    def pixel_loss(self, prediction: Tensor, images: Tensor, mask: Tensor) -> Tensor:
        """Error against the patch-normalised image.

        Args:
            prediction: (B, 3, H, W).
            images: (B, 3, H, W).
            mask: (B, h, w) bool.
        """
        patch_size = images.shape[-1] // mask.shape[-1]
        error = (prediction.float() - normalise_patches(images, patch_size)) ** 2
        weight = spread(loss_weight(mask, self.weight_mask)[:, None], patch_size)
        return (weight * error).mean() / mask.float().mean()

    def feature_loss(self, prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Error against the teacher, both sides layer-normalised without affine.

        Args:
            prediction: (B, N, C).
            target: (B, N, C).
            mask: (B, h, w) bool.
        """
        width = prediction.shape[-1:]
        prediction = F.layer_norm(prediction.float(), width, eps=FEATURE_NORM_EPS)
        target = F.layer_norm(target.float(), width, eps=FEATURE_NORM_EPS)
        weight = loss_weight(mask, self.weight_mask).flatten(1).unsqueeze(-1)  # (B, N, 1)
        return (weight * (prediction - target) ** 2).mean() / mask.float().mean()
