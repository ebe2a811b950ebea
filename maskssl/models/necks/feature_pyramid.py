"""Four scales out of a plain ViT's single one, as BEiT, BootMAE and CAE do."""

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn

from ...errors import MaskSSLError


@MODELS.register_module()
class FeaturePyramid(BaseModule):
    """Rescale each of a ViT's feature maps: x4, x2, x1, x1/2.

    Registered in mmengine's root registry, so that mmseg and mmdet both find it.

    Args:
        in_channels: width of the ViT.
        scales: factor per map; one of 4, 2, 1, 0.5.
        norm_cfg: norm inside the x4 branch, SyncBN as released.
    """

    def __init__(
        self,
        in_channels: int,
        scales: Sequence[float] = (4, 2, 1, 0.5),
        norm_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        norm_cfg = norm_cfg or dict(type="SyncBN")
        self.scales = nn.ModuleList(_rescale(in_channels, scale, norm_cfg) for scale in scales)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """(B, C, h, w) each -> (B, C, scale * h, scale * w) each.

        Raises:
            MaskSSLError: another number of maps than scales.
        """
        if len(maps) != len(self.scales):
            raise MaskSSLError(
                f"{len(self.scales)} scales need as many maps, got {len(maps)}; set out_indices of "
                "the backbone to that many blocks and out_type='featmap'"
            )
        return tuple(rescale(x) for rescale, x in zip(self.scales, maps, strict=True))


def _rescale(channels: int, scale: float, norm_cfg: dict[str, Any]) -> nn.Module:
    def double() -> nn.Module:
        return nn.ConvTranspose2d(channels, channels, kernel_size=2, stride=2)

    if scale == 4:
        norm = build_norm_layer(norm_cfg, channels)[1]
        return nn.Sequential(double(), norm, nn.GELU(), double())
    if scale == 2:
        return nn.Sequential(double())
    if scale == 1:
        return nn.Identity()
    if scale == 0.5:
        return nn.MaxPool2d(kernel_size=2, stride=2)
    raise MaskSSLError(f"a pyramid scale of {scale} is unknown; use 4, 2, 1 or 0.5")
