"""BootMAE's two losses."""

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor

from ...errors import MaskSSLError
from ...masking import Split, gather_patches
from ..layers.patches import patchify, standardise

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
        if feature_weight < 0:
            raise MaskSSLError(
                f"feature_weight={feature_weight} is negative; use 0 for pixels alone"
            )
        self.feature_weight = feature_weight
        self.feature_ramp = feature_ramp
        self.weight_mask = weight_mask
        # moved each epoch by FeatureWeightHook
        self.current_feature_weight = feature_weight

    def pixel_loss(self, prediction: Tensor, images: Tensor, split: Split) -> Tensor:
        """Error against the normalised pixels of the masked patches.

        Args:
            prediction: (B, M, 3, p * p) of the M masked patches.
            images: (B, 3, H, W).
            split: visible and masked patches.
        """
        patch_size = round(prediction.shape[-1] ** 0.5)
        patches = patchify(images, patch_size).flatten(2)  # (B, N, 3 * p * p)
        target = gather_patches(patches, split.ids_masked).unflatten(2, prediction.shape[2:])
        error = (prediction.float() - standardise(target)) ** 2
        grid = images.shape[-2] // patch_size, images.shape[-1] // patch_size
        return self._weighted_mean(error.flatten(2), split, grid)

    def feature_loss(
        self, prediction: Tensor, target: Tensor, split: Split, grid: tuple[int, int]
    ) -> Tensor:
        """Error against the teacher, both sides layer-normalised without affine.

        Args:
            prediction: (B, M, C) of the M masked patches.
            target: (B, N, C).
            split: visible and masked patches.
            grid: (h, w) patches.
        """
        width = prediction.shape[-1:]
        target = gather_patches(target, split.ids_masked)
        prediction = F.layer_norm(prediction.float(), width, eps=FEATURE_NORM_EPS)
        target = F.layer_norm(target.float(), width, eps=FEATURE_NORM_EPS)
        return self._weighted_mean((prediction - target) ** 2, split, grid)

    def _weighted_mean(self, error: Tensor, split: Split, grid: tuple[int, int]) -> Tensor:
        """Mean over the masked patches of weight times error (B, M, …).

        Visible patches have no weight, and each image has M masked ones: the mean over all
        patches, divided by the share of masked ones, is this one.
        """
        weight = loss_weight(split.mask.unflatten(1, grid), self.weight_mask).flatten(1)  # (B, N)
        return (weight.gather(1, split.ids_masked).unsqueeze(-1) * error).mean()
