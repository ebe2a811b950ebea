"""A pipeline whose flips and colours are drawn as ever, and left to the model's device."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.transforms import BaseTransform, RandomApply
from mmpretrain.datasets import PackInputs
from mmpretrain.registry import TRANSFORMS
from torchvision.transforms import ColorJitter, RandomGrayscale

from ...encoded_crops import EncodedCrops
from ...errors import MaskSSLError
from ...view_changes import NOTHING, Change, Drawn
from .load_encoded_crop import LoadEncodedCrop

Step = Mapping[str, Any]


class _Draws(NamedTuple):
    """``draw()`` gives ``length`` changes at each call."""

    length: int
    draw: Callable[[], list[Drawn]]


# Steps behind a flip that do not look at the image.
_BLIND = ("BlockMask",)


def deferred(pipeline: Sequence[Any], decode: bool = False) -> list[Any]:
    """The steps, with flips and colours drawn and not made: PretrainDataPreprocessor makes them.

    Draws are those of the pipeline as it is, from the same generators in the same order. Images are
    packed as ``inputs=dict(images=..., drawn=...)``, see ``view_changes``.

    Args:
        pipeline: configs of transforms.
        decode: leave what LoadResizedCrop does too; ``images`` are then EncodedCrops.

    Raises:
        MaskSSLError: behind the first of what is left to the device stands a step that would have
            to see the result; or another step loads, and ``decode`` is asked for.
    """
    steps: list[Any] = []
    begun = False
    for step in pipeline:
        kind = step.get("type") if isinstance(step, Mapping) else type(step).__name__
        options = {key: step[key] for key in step if key != "type"} if kind in _MADE else {}
        if kind in _MADE:
            begun = True
            loads_here = decode and kind == "LoadResizedCrop"
            steps += [_encoded(**options)] if loads_here else _MADE[kind](**options)
        elif decode and not begun:
            raise MaskSSLError(
                "augment_on_device='decode' leaves LoadResizedCrop to the device, and the pipeline "
                f"begins with {kind}; load by LoadResizedCrop, or use augment_on_device=True"
            )
        elif begun and kind not in _BLIND:
            raise MaskSSLError(
                f"augment_on_device leaves flips and colours to the device, and the pipeline "
                f"has {kind} behind the first of them; only {', '.join([*_MADE, *_BLIND])} may "
                "stand there. Use augment_on_device=False"
            )
        else:
            steps.append(step)
    return steps


def _loaded(**options: Any) -> list[Any]:
    return [dict(options, type="LoadResizedCrop", flip_on_device=True)]


def _encoded(**options: Any) -> LoadEncodedCrop:
    return LoadEncodedCrop(**dict(options, flip_on_device=True))


def _converted(to_rgb: bool = False, to_bgr: bool = False) -> list[Any]:
    """Nothing: Pillow's images are made for the colours alone."""
    if not (to_rgb or to_bgr):
        raise MaskSSLError(
            "augment_on_device makes colours of red, green and blue; give "
            "dict(type='NumpyToPIL', to_rgb=True) and dict(type='PILToNumpy', to_bgr=True)"
        )
    return []


class DrawFlip(BaseTransform):
    """mmcv's RandomFlip, whose draw is taken down.

    Args:
        **options: of RandomFlip.

    Raises:
        MaskSSLError: another direction than left and right.
    """

    def __init__(self, **options: Any) -> None:
        self.flip = TRANSFORMS.build(dict(options, type="RandomFlip"))
        if self.flip.direction != "horizontal":
            raise MaskSSLError(
                f"augment_on_device flips left and right; direction={self.flip.direction!r} "
                "is made by augment_on_device=False"
            )

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``drawn``, ``flip`` and ``flip_direction``."""
        told = self.flip(dict(img=np.zeros((1, 1), np.uint8)))
        results.update({key: told[key] for key in ("flip", "flip_direction")})
        results["drawn"] = [(Change.FLIP, 0.0) if told["flip"] else NOTHING]
        return results


class DrawColours(BaseTransform):
    """MultiView of colours, whose draws are taken down.

    Args:
        transforms: as of MultiView, a list of steps for each kind of view.
        num_views: of each kind.
    """

    def __init__(
        self, transforms: Sequence[Sequence[Step]], num_views: int | Sequence[int]
    ) -> None:
        counts = [num_views] if isinstance(num_views, int) else num_views
        self.views = [
            draws
            for count, steps in zip(counts, transforms, strict=True)
            for draws in [_in_turn(steps)] * count
        ]

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Make ``drawn`` a list for each view, of the same length."""
        shared, longest = results.get("drawn", []), max(draws.length for draws in self.views)
        results["drawn"] = [
            shared + draws.draw() + [NOTHING] * (longest - draws.length) for draws in self.views
        ]
        return results


class PackDrawn(PackInputs):
    """PackInputs, with what is drawn beside the image."""

    @staticmethod
    def format_input(input_: Any) -> Any:
        """A tensor, or what the device decodes as it is."""
        return input_ if isinstance(input_, EncodedCrops) else PackInputs.format_input(input_)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """``inputs`` are ``images`` (3, H, W) and ``drawn`` (L, 2) or (V, L, 2)."""
        packed = super().transform(results)
        packed["inputs"] = dict(images=packed["inputs"], drawn=torch.tensor(results["drawn"]))
        return packed


_MADE: dict[Any, Callable[..., list[Any]]] = dict(
    LoadResizedCrop=_loaded,
    RandomFlip=lambda **options: [DrawFlip(**options)],
    NumpyToPIL=_converted,
    PILToNumpy=_converted,
    MultiView=lambda **options: [DrawColours(**options)],
    PackInputs=lambda **options: [PackDrawn(**options)],
)


def _in_turn(steps: Sequence[Step]) -> _Draws:
    """Of all steps of a view."""
    parts = [_draws(step) for step in steps if step["type"] != "PILToNumpy"]
    return _Draws(
        sum(part.length for part in parts), lambda: [one for part in parts for one in part.draw()]
    )


def _draws(step: Step) -> _Draws:
    if step["type"] == "RandomApply":
        inner = step["transforms"]
        length, draw = _in_turn([inner] if isinstance(inner, Mapping) else inner)
        apply = RandomApply([], step.get("prob", 0.5))
        return _Draws(length, lambda: draw() if apply.random_apply() else [NOTHING] * length)
    built = TRANSFORMS.build(step)
    found = getattr(built, "t", built)  # mmpretrain wraps torchvision's
    if isinstance(found, ColorJitter):
        return _Draws(4, lambda: _jitter(found))
    if isinstance(found, RandomGrayscale):
        return _Draws(1, lambda: [(Change.GREY, 0.0) if torch.rand(1) < found.p else NOTHING])
    raise MaskSSLError(
        f"augment_on_device makes the colours of torchvision/ColorJitter and "
        f"torchvision/RandomGrayscale, also within RandomApply; {step['type']} is made by "
        "augment_on_device=False"
    )


def _jitter(jitter: ColorJitter) -> list[Drawn]:
    ranges = jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue
    order, *factors = jitter.get_params(*ranges)
    drawn = []
    for place in order.tolist():
        change, value = Change(Change.BRIGHTNESS + place), factors[place]
        if value is None:
            drawn.append(NOTHING)
        elif change is Change.HUE:  # in bytes, as torchvision adds it to Pillow's
            drawn.append((change, float(int(value * 255) % 256)))
        else:
            drawn.append((change, value))
    return drawn
