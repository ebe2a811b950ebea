"""The teacher: an exponential moving average of the encoder, in fp32, without gradient."""

import copy
from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn

from ... import schedules
from ..backbones.plain_vit import PlainViT

SCHEDULES = {"bootmae": schedules.bootmae_momentum}


@MODELS.register_module()
class MomentumEncoder(BaseModule):
    """A copy of the student that follows it slowly and predicts its targets.

    Weights and update are fp32 (a bf16 copy would never move at these momenta); the
    forward runs under the caller's autocast. It stays in eval mode and out of the
    graph, and its weights are saved and resumed with the model.

    Args:
        backbone: the student, or its config.
        schedule: 'type' names a curve of maskssl.schedules ('bootmae'), the rest are
            its arguments: ``start``, ``end``, ``dynamic_end``, ``dynamic``...
    """

    def __init__(
        self, backbone: PlainViT | dict[str, Any], schedule: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        schedule = dict(schedule or dict(type="bootmae"))
        kind = schedule.pop("type", "bootmae")
        if kind not in SCHEDULES:
            raise ValueError(
                f"momentum schedule type={kind!r} is unknown; use one of {sorted(SCHEDULES)}"
            )
        self._curve, self._curve_options = SCHEDULES[kind], schedule
        self.momentum_at(0.0)  # a misspelt option shows now, not after the first epoch
        student = backbone if isinstance(backbone, PlainViT) else MODELS.build(backbone)
        self.encoder: PlainViT = copy.deepcopy(student)
        self.encoder.init_cfg = None
        for module in self.encoder.modules():
            if hasattr(module, "drop_prob"):
                module.drop_prob = 0.0
        self.encoder.float().requires_grad_(False)
        self.eval()

    def momentum_at(self, epoch: float) -> float:
        """Momentum of the schedule in an epoch, counted from 0."""
        try:
            return self._curve(epoch, **self._curve_options)
        except TypeError as error:
            raise ValueError(f"momentum schedule options {self._curve_options}: {error}") from error

    def init_weights(self) -> None:
        """Nothing to draw: the algorithm copies the student once that is initialised."""

    def train(self, mode: bool = True) -> "MomentumEncoder":
        """Stay in eval mode, whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, N, C): patch tokens of the last block, before its norm."""
        tokens, _ = self.encoder.embed(images)
        return self.encoder.run_blocks(tokens)[-1][:, self.encoder.num_prefix :]

    @torch.no_grad()
    def copy_from(self, student: nn.Module) -> None:
        """Take over the student's weights as they are."""
        self.encoder.load_state_dict(student.state_dict())

    @torch.no_grad()
    def update(self, student: nn.Module, momentum: float) -> None:
        """teacher <- momentum * teacher + (1 - momentum) * student, for every weight."""
        for mine, theirs in zip(self.encoder.parameters(), student.parameters(), strict=True):
            mine.lerp_(theirs.detach().to(mine.dtype), 1.0 - momentum)
        for mine, theirs in zip(self.encoder.buffers(), student.buffers(), strict=True):
            mine.copy_(theirs)
