"""How momentum and loss weights move over a run: pure curves of epochs or of progress."""

import math


def bootmae_momentum(
    epoch: float,
    start: float = 0.999,
    end: float = 0.9999,
    dynamic_end: float = 0.99999,
    ramp_epochs: int = 100,
    dynamic_epochs: int = 400,
    dynamic: bool = True,
) -> float:
    """Momentum of BootMAE's teacher in an epoch (utils.py: adjust_ema_momentum).

    Linear from ``start`` to ``end`` over ``ramp_epochs``; then, if ``dynamic``,
    linear on to ``dynamic_end`` at ``dynamic_epochs``, else constant. The epochs
    are absolute: a run of 300 epochs follows the same curve and stops earlier.

    Args:
        epoch: finished epochs, from 0.
    """
    if epoch < ramp_epochs:
        return start + (end - start) * epoch / ramp_epochs
    if not dynamic:
        return end
    share = min(1.0, (epoch - ramp_epochs) / max(1, dynamic_epochs - ramp_epochs))
    return end + (dynamic_end - end) * share


def feature_weight_ramp(
    epoch: int, max_epochs: int, feature_weight: float = 1.0, ramp_share: float = 0.25
) -> float:
    """Weight of BootMAE's feature loss: linear over the first quarter of the run.

    Args:
        epoch: current epoch, from 0.
        max_epochs: length of the run.
        feature_weight: value after the ramp.
        ramp_share: share of the run that the ramp takes; 0 for no ramp.
    """
    if ramp_share <= 0:
        return feature_weight
    return min(feature_weight * (1 + epoch) / (max_epochs * ramp_share), feature_weight)


def cosine_momentum(progress: float, start: float = 0.996, end: float = 1.0) -> float:
    """Momentum of BYOL's and ExtreMA's teacher (main.py: adjust_ema_momentum).

    Args:
        progress: share of the run that is over, 0 to 1.
        start: at the beginning.
        end: at the end.
    """
    return end - (end - start) * (1 + math.cos(math.pi * progress)) / 2
