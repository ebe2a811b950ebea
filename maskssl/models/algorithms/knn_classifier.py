"""A classifier without training: votes of the nearest training images."""

from typing import Any

from mmengine.model import BaseModel
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor

from ...errors import MaskSSLError
from ...evaluation.knn import knn_scores


@MODELS.register_module()
class KNNClassifier(BaseModel):
    """k nearest neighbours on the features of a frozen backbone; see KNNTestLoop.

    Args:
        backbone: with out_type 'avg' or 'cls'; its last output is the feature.
        k: neighbours.
        temperature: of their votes.
        data_preprocessor: mmpretrain's ClsDataPreprocessor.
    """

    bank: Tensor | None = None
    bank_labels: Tensor | None = None
    num_classes = 0

    def __init__(
        self,
        backbone: dict[str, Any],
        k: int = 20,
        temperature: float = 0.07,
        data_preprocessor: dict[str, Any] | None = None,
    ) -> None:
        preprocessor = dict(dict(type="ClsDataPreprocessor"), **(data_preprocessor or {}))
        super().__init__(data_preprocessor=MODELS.build(preprocessor))
        self.backbone = MODELS.build(backbone)
        self.k = k
        self.temperature = temperature

    def fill_bank(self, features: Tensor, labels: Tensor) -> None:
        """Set the features (M, C), of unit length, and labels (M,) that vote.

        Raises:
            MaskSSLError: a feature is not finite: it would be everybody's nearest.
        """
        _check_finite(features, "the bank")
        self.bank, self.bank_labels = features, labels
        self.num_classes = int(labels.max()) + 1

    def forward(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = "tensor"
    ) -> Tensor | list[DataSample]:
        """Features in mode 'tensor', voted classes in mode 'predict'.

        Raises:
            MaskSSLError: another mode, a prediction before the bank is filled, or features that
                are not finite, which argmax would take for class 0.
        """
        features = self.backbone(inputs)[-1]
        if mode == "tensor":
            return features
        if mode != "predict" or data_samples is None:
            raise MaskSSLError(f"mode={mode!r}: KNNClassifier knows 'tensor' and 'predict'")
        if self.bank is None or self.bank_labels is None:
            raise MaskSSLError(
                "the bank is empty; test with test_cfg=dict(type='KNNTestLoop', ...)"
            )
        _check_finite(features, "the images to classify")
        scores = knn_scores(
            features, self.bank, self.bank_labels, self.num_classes, self.k, self.temperature
        )
        classes = scores.argmax(dim=1, keepdim=True)
        for sample, score, label in zip(data_samples, scores, classes, strict=True):
            sample.set_pred_score(score).set_pred_label(label)
        return data_samples


def _check_finite(features: Tensor, whose: str) -> None:
    broken = int((~features.isfinite().all(dim=1)).sum())
    if broken:
        raise MaskSSLError(
            f"{broken} of {len(features)} features of {whose} are not finite; the weights may be "
            "broken: take an earlier checkpoint, or test without fp16"
        )
