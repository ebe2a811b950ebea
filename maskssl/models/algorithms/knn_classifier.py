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
        """Set the features (M, C), of unit length, and labels (M,) that vote."""
        self.bank, self.bank_labels = features, labels
        self.num_classes = int(labels.max()) + 1

    def forward(
        self, inputs: Tensor, data_samples: list[DataSample] | None = None, mode: str = "tensor"
    ) -> Tensor | list[DataSample]:
        """Features in mode 'tensor', voted classes in mode 'predict'.

        Raises:
            MaskSSLError: another mode, or a prediction before the bank is filled.
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
        scores = knn_scores(
            features, self.bank, self.bank_labels, self.num_classes, self.k, self.temperature
        )
        classes = scores.argmax(dim=1, keepdim=True)
        for sample, score, label in zip(data_samples, scores, classes, strict=True):
            sample.set_pred_score(score).set_pred_label(label)
        return data_samples
