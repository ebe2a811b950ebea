"""Multinomial logistic regression by L-BFGS in float64, on features that need not fit memory."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .linear_sweep import LinearHead, folded
from .rows import Rows

TOLERANCE = 1e-6  # of the largest entry of the gradient, as a share of one image's loss
MAX_STEPS = 500


@dataclass(frozen=True)
class LogisticFit:
    """A fitted regression.

    Attributes:
        head: on the features as they are stored.
        weight: (C, K) float64 on standardised features, where the next fit may start.
        bias: (K,).
        gradient: largest entry of the gradient at the end.
    """

    head: LinearHead
    weight: Tensor
    bias: Tensor
    gradient: float

    @property
    def converged(self) -> bool:
        """Whether this is the optimum and not where the steps ran out."""
        return self.gradient <= TOLERANCE


def fit_logistic(
    rows: Rows, num_classes: int, inverse_penalty: float, start: LogisticFit | None = None
) -> LogisticFit:
    """Minimise C * (sum of cross-entropies) + |W|^2 / 2, scikit-learn's form; the bias is free.

    Features are standardised per channel over the training images, so that one C means the same
    for every checkpoint.

    Args:
        rows: training images.
        num_classes: K.
        inverse_penalty: C; larger fits closer.
        start: a fit of the same rows to start from, as of the C before.
    """
    mean, std = rows.moments()
    shape = (rows.width + 1, num_classes)  # the last row is the bias
    point = torch.zeros(shape, dtype=torch.float64, device=rows.device)
    if start:
        point.copy_(torch.cat([start.weight, start.bias[None]]))
    penalty = 1 / (inverse_penalty * len(rows))
    point.grad = torch.zeros_like(point)

    def loss() -> float:
        """Mean over the images, and its gradient into ``point.grad``."""
        weight, bias = point[:-1], point[-1]
        value = penalty * weight.square().sum() / 2
        point.grad.zero_()
        point.grad[:-1] = penalty * weight
        for features, labels in rows.batches():
            features = (features - mean) / std  # (B, C) float64
            log_p = (features @ weight + bias).log_softmax(dim=1)
            value -= log_p.gather(1, labels[:, None]).sum() / len(rows)
            error = log_p.exp() / len(rows)
            error[torch.arange(len(labels), device=rows.device), labels] -= 1 / len(rows)
            point.grad[:-1] += features.T @ error
            point.grad[-1] += error.sum(dim=0)
        return float(value)

    torch.optim.LBFGS(
        [point],
        max_iter=MAX_STEPS,
        max_eval=2 * MAX_STEPS,
        tolerance_grad=TOLERANCE,
        tolerance_change=0,
        history_size=20,
        line_search_fn="strong_wolfe",
    ).step(loss)
    loss()  # the gradient at the end, whatever the line search tried last
    weight, bias = point[:-1].clone(), point[-1].clone()
    return LogisticFit(folded(weight, bias, mean, std), weight, bias, float(point.grad.abs().max()))
