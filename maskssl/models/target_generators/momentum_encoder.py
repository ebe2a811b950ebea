"""The teacher: an exponential moving average of the encoder, in fp32, without gradient."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ... import schedules
from ...errors import MaskSSLError
from ...private_names import tensors_of
from ..backbones.plain_vit import PlainViT

# how a momentum follows from the epoch, from 0, and the share of the run that is over
SCHEDULES: dict[str, Callable[..., float]] = {
    "bootmae": lambda epoch, progress, **options: schedules.bootmae_momentum(epoch, **options),
    "cosine": lambda epoch, progress, **options: schedules.cosine_momentum(progress, **options),
}


@MODELS.register_module()
class MomentumEncoder(BaseModule):
    """A copy of the student's encoder that follows it slowly: BootMAE's feature targets.

    Weights and update are fp32 (a bf16 copy would never move at these momenta); the
    forward runs under the caller's autocast. It stays in eval mode and out of the
    graph, and its weights are saved and resumed with the model.

    Args:
        backbone: the student, or its config.
        schedule: 'type' names a curve of maskssl.schedules ('bootmae' or 'cosine'), the
            rest are its arguments: ``start``, ``end``, ``dynamic``...
    """

    def __init__(
        self, backbone: PlainViT | dict[str, Any], schedule: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        schedule = dict(schedule or dict(type="bootmae"))
        kind = schedule.pop("type", "bootmae")
        if kind not in SCHEDULES:
            raise MaskSSLError(
                f"momentum schedule type={kind!r} is unknown; use one of {sorted(SCHEDULES)}"
            )
        self._curve, self._curve_options = SCHEDULES[kind], schedule
        try:
            self.momentum_at(0, 0.0)  # a misspelt option shows now, not after the first epoch
        except TypeError as error:
            raise MaskSSLError(f"momentum schedule options {schedule}: {error}") from error
        for name in ("start", "end", "dynamic_end"):
            if not 0 <= schedule.get(name, 1.0) <= 1:
                raise MaskSSLError(
                    f"momentum schedule has {name}={schedule[name]}; a momentum lies between 0, "
                    "which is the student itself, and 1, which never moves"
                )
        student = backbone if isinstance(backbone, PlainViT) else MODELS.build(backbone)
        self.encoder: PlainViT = _frozen_copy(student)
        self.eval()

    def momentum_at(self, epoch: int, progress: float = 0.0) -> float:
        """Momentum of the schedule.

        Args:
            epoch: current one, from 0.
            progress: share of the run's steps that are over, 0 to 1.
        """
        return self._curve(epoch, progress, **self._curve_options)

    def init_weights(self) -> None:
        """Nothing to draw: the algorithm copies the student once that is initialised."""

    def train(self, mode: bool = True) -> "MomentumEncoder":
        """Stay in eval mode, whatever is asked."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, N, C): patch tokens of the last block, before its norm."""
        tokens, _ = self.encoder.embed(images)
        last = len(self.encoder.blocks) - 1
        return self.encoder.run_blocks(tokens, (last,))[-1][:, self.encoder.num_prefix :]

    def pairs(self, model: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Each of the teacher's modules with the student's in the algorithm."""
        yield self.encoder, model.backbone

    def copy_from(self, model: nn.Module) -> None:
        """Take over the weights of the algorithm's student as they are."""
        for mine, theirs in self.pairs(model):
            mine.load_state_dict(theirs.state_dict())

    @torch.no_grad()
    def update(self, model: nn.Module, momentum: float) -> None:
        """teacher <- momentum * teacher + (1 - momentum) * student, for every weight.

        Args:
            model: the algorithm, whose student is followed.
            momentum: 0 to 1.
        """
        mine: list[Tensor] = []
        theirs: list[Tensor] = []
        for teacher, student in self.pairs(model):
            weights, buffers = tensors_of(teacher)
            source_weights, source_buffers = tensors_of(student)
            for weight, source in zip(weights, source_weights, strict=True):
                mine.append(_local(weight))
                source = _local(source)
                same = source.dtype == weight.dtype
                theirs.append(source if same else source.to(weight.dtype))
            for buffer, source in zip(buffers, source_buffers, strict=True):
                buffer.copy_(source)
        # all weights in a few kernels, where there are kernels for lists
        get_ema_multi_avg_fn(momentum)(mine, theirs, None)


@MODELS.register_module()
class MomentumProjector(MomentumEncoder):
    """A momentum encoder with its pooling and projector: ExtreMA's keys.

    Args:
        backbone: the student's encoder, with out_type 'cls'.
        neck: the student's projector.
        schedule: as of MomentumEncoder.
    """

    def __init__(
        self, backbone: PlainViT, neck: nn.Module, schedule: dict[str, Any] | None = None
    ) -> None:
        super().__init__(backbone, schedule)
        self.projector = _frozen_copy(neck)
        self.eval()

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D): projected class token of the whole image."""
        return self.projector(self.encoder.encode(images)[-1])

    def pairs(self, model: nn.Module) -> Iterator[tuple[nn.Module, nn.Module]]:
        """Encoder with class attention, and projector."""
        yield from super().pairs(model)
        yield self.projector, model.neck


def _local(weight: Tensor) -> Tensor:
    """This rank's part of a sharded weight, of which the teacher has the same, or the weight."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def _frozen_copy(module: Any) -> Any:
    """An fp32 copy without gradient, drop path and weights to load."""
    copied = copy.deepcopy(module).float().requires_grad_(False)
    copied.init_cfg = None
    for part in copied.modules():
        if hasattr(part, "drop_prob"):
            part.drop_prob = 0.0
    return copied
