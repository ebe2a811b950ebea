"""What a transfer experiment is asked for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import MaskSSLError
from .budgets import BUDGETS, Budget
from .encoders import RANDOM


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        checkpoints: files, work dirs, or ``random:CHECKPOINT``; one may stand as NAME=PATH.
        data: folder of train/CLASS/* and test/CLASS/*; None without stages that need it.
        masks: [LAYOUT:]DIR of images and label maps.
        coco: DIR of COCO files and their pictures.
        out: results and report.
        cache: features.
        stages: names of measures.
        seeds: of splits, orders, starts and draws.
        recipe: method whose recipes the trained rows follow, all checkpoints the same.
        preset: name of a budget.
        floor: measure random weights of the first checkpoint's architecture too.
        published: also pick settings on the test images, and say what that was worth.
        blocks: counted from 1; None for all.
        img_size: side in pixels; None for that of each pretraining.
        batch_size: images of an extraction step.
        num_workers: processes that decode.
        device: of everything.
        jobs_per_gpu: trainings that share a GPU.
        only_preflight: say what would be done, and stop.
        variations: name of a checkpoint -> trained stage -> options over its recipe, dotted keys;
            that checkpoint goes through these stages alone. For studies.
    """

    checkpoints: tuple[str, ...]
    data: Path | None
    out: Path
    cache: Path
    stages: tuple[str, ...]
    seeds: tuple[int, ...]
    masks: str | None = None
    coco: str | None = None
    recipe: str = "bootmae"
    preset: str = "quick"
    floor: bool = True
    published: bool = False
    blocks: tuple[int, ...] | None = None
    img_size: int | None = None
    batch_size: int = 64
    num_workers: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    jobs_per_gpu: int = 1
    only_preflight: bool = False
    variations: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def budget(self) -> Budget:
        """What the preset tries."""
        return BUDGETS[self.preset]

    def measures(self, name: str, stage: str) -> bool:
        """Whether a checkpoint goes through a stage."""
        return name not in self.variations or stage in self.variations[name]

    @property
    def named(self) -> dict[str, str]:
        """Name -> checkpoint as it was given, the random floor last.

        Raises:
            MaskSSLError: two of one name, or one without.
        """
        pairs = [_named(given) for given in self.checkpoints]
        if self.floor and not any(path.startswith(RANDOM) for _, path in pairs):
            pairs.append(("random", f"{RANDOM}{pairs[0][1]}"))
        if len({name for name, _ in pairs}) < len(pairs):
            raise MaskSSLError(
                f"checkpoints need names that differ, not {', '.join(n for n, _ in pairs)}; give "
                "NAME=PATH"
            )
        return dict(pairs)


def _named(given: str) -> tuple[str, str]:
    """(name, path) of NAME=PATH, or of a path alone by its last part.

    Raises:
        MaskSSLError: the name is none that a folder can have.
    """
    name, separator, path = given.partition("=")
    if not separator or "/" in name:  # a folder may be called lr=0.1
        path, last = given, Path(given.removeprefix(RANDOM))
        name = last.stem or last.resolve().name  # '.' is a work dir too
        name = f"random-{name}" if given.startswith(RANDOM) else name
    name = re.sub(r"[^\w.-]+", "-", name)
    if not name.strip("."):
        raise MaskSSLError(
            f"{given!r} names its checkpoint {name!r}, as no folder can be; give NAME=PATH"
        )
    return name, path
