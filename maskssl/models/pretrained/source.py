"""What a map of a source consists of: plain data, read by ``recognition`` and ``naming``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..layers.position import Resize

ANY = "*"  # state_dict, model, module, or the bare file


@dataclass(frozen=True)
class Place:
    """Where one set of encoder weights lies: container of the file, prefix of the keys."""

    container: str = ANY
    prefix: str = ""


@dataclass(frozen=True)
class Pixels:
    """How images are normalised: (x - mean) / std, per channel in RGB of 0..255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


HALF_PIXELS = Pixels((127.5,) * 3, (127.5,) * 3)  # to -1..1: BootMAE and BEiT
IMAGENET_PIXELS = Pixels((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))

DECODER = "decoder of the pretraining"
HEAD = "head of another task"
PROJECTOR = "projector of the pretraining"
MASK_TOKEN = "stands for masked patches in pretraining"
RECOMPUTED = "recomputed from the grid"
POOLED_NORM = "norm of the pooled feature, part of the fine-tuned head"

Pooling = Literal["cls", "avg"]  # as PlainViT's out_type


@dataclass(frozen=True)
class Source:
    """One way of saving ViT weights.

    Attributes:
        name: as the ledger calls it.
        places: branch ('student', 'teacher') -> where it may lie; the first branch that a file
            holds is the default.
        marks: patterns of which each must match the start of some key below the prefix of one
            branch; the first tells of any branch whether the file holds it.
        never: patterns of which none may.
        names: (theirs, ours) for starts of keys below the prefix; '{i}' is a block's number and
            '{c}' that of a chunk. What no pair names keeps its name. The first pair of several
            with one meaning is the one that is written.
        drops: pattern -> why tensors of that name are not part of the encoder.
        pixels: how its images are normalised where the file does not say.
        norm_eps: of its norms.
        pos_resize: how its authors' code fits positions to another size.
        pooling: what its authors' loss, or their evaluation, takes of the tokens; None for either.
        heads: (width, depth) -> attention heads, where its authors differ from the field; None
            where several of its architectures have that size.
        rotary_base: longest period of its rotary positions; None for none.
        patches_alone: its position table may be without a row for the cls token.
        reference: whose class it was compared with (tests/models/pretrained/); None for a source
            that nobody compared, which needs ``unverified=True``.
    """

    name: str
    places: Mapping[str, tuple[Place, ...]]
    marks: tuple[str, ...]
    never: tuple[str, ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    drops: Mapping[str, str] = field(default_factory=dict)
    pixels: Pixels = IMAGENET_PIXELS
    norm_eps: float = 1e-6
    pos_resize: Resize = "bicubic"
    pooling: Pooling | None = None
    heads: Mapping[tuple[int, int], int | None] = field(default_factory=dict)
    rotary_base: float | None = None
    patches_alone: bool = False
    reference: str | None = None
