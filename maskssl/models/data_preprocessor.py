"""From a loader's batch to normalised images on the device."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.structures import BaseDataElement
from mmpretrain.models.utils import SelfSupDataPreprocessor
from mmpretrain.registry import MODELS
from torch import Tensor

from ..encoded_crops import EncodedCrops
from ..view_changes import changed_views


@MODELS.register_module()
class PretrainDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's, which moves images alone: samples stay on the host.

    A batch has a block mask in every sample; the algorithm stacks them and moves them at once.
    Images of pinned memory are copied while Python goes on. What a loader has drawn and left to the
    device (``augment_on_device`` of IndexedImages) is made here, before the normalisation.

    Args:
        non_blocking: see mmengine's BaseDataPreprocessor.
        **kwargs: of SelfSupDataPreprocessor.
    """

    def __init__(self, non_blocking: bool = True, **kwargs: Any) -> None:
        super().__init__(non_blocking=non_blocking, **kwargs)
        self._told = False

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalised images, or a list of views, and the samples.

        Args:
            data: ``inputs`` are images (B, 3, H, W), a list of such views, or
                ``dict(images=..., drawn=...)`` as of ``view_changes``, whose images may be
                EncodedCrops.
            training: not used.
        """
        inputs = data["inputs"]
        if isinstance(inputs, Mapping):
            images = inputs["images"]
            encoded = isinstance(images, EncodedCrops)
            images = self._decoded(images) if encoded else self.cast_data(images)
            data = {**data, "inputs": changed_views(images, inputs["drawn"])}
        return super().forward(data, training)

    def cast_data(self, data: Any) -> Any:
        """Images on the device."""
        return data if isinstance(data, BaseDataElement) else super().cast_data(data)

    def _decoded(self, crops: EncodedCrops) -> Tensor:
        images, elsewhere = crops.decoded(self.device)
        if elsewhere and not self._told:
            print_log(
                f"{len(elsewhere)} of the {len(images)} images of a batch are not decoded by "
                f"{self.device}, but on the host: {', '.join(elsewhere[:5])}"
                f"{', …' if len(elsewhere) > 5 else ''}. Those of later batches are not told",
                logger="current",
                level=logging.WARNING,
            )
            self._told = True
        return images
