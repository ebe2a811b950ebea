"""From a loader's batch to normalised images on the device."""

from typing import Any

from mmengine.structures import BaseDataElement
from mmpretrain.models.utils import SelfSupDataPreprocessor
from mmpretrain.registry import MODELS


@MODELS.register_module()
class PretrainDataPreprocessor(SelfSupDataPreprocessor):
    """mmpretrain's, which moves images alone: samples stay on the host.

    A batch has a block mask in every sample; the algorithm stacks them and moves them at once.
    Images of pinned memory are copied while Python goes on.

    Args:
        non_blocking: see mmengine's BaseDataPreprocessor.
        **kwargs: of SelfSupDataPreprocessor.
    """

    def __init__(self, non_blocking: bool = True, **kwargs: Any) -> None:
        super().__init__(non_blocking=non_blocking, **kwargs)

    def cast_data(self, data: Any) -> Any:
        """Images on the device."""
        return data if isinstance(data, BaseDataElement) else super().cast_data(data)
