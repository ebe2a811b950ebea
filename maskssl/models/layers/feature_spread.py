"""How far apart the features of different images lie."""

import torch.nn.functional as F
from torch import Tensor


def feature_spread(features: Tensor) -> Tensor:
    """How far features of different images lie apart: 1 on an even sphere, 0 when collapsed.

    The deviation over the images of each channel of the normalised features, averaged
    and multiplied by sqrt(D).

    Args:
        features: (B, …, D).
    """
    normalised = F.normalize(features.detach().float(), dim=-1)
    deviation = normalised.var(dim=0, unbiased=False).mean().sqrt()
    return deviation * features.shape[-1] ** 0.5
