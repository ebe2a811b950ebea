"""Crops of JPEG files that the model's device decodes, cuts out and resizes, a batch at once.

A loader reads the bytes and draws the box; pixels come up on the device. Shapes: B images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torchvision.io import ImageReadMode

from .errors import MaskSSLError
from .private_names import collate_by

Box = tuple[int, int, int, int]
_CPU = torch.device("cpu")
_PIXELS_AT_ONCE = 2**26  # a batch of usual photographs; 1.2 GiB, decoded and as float32


@dataclass(frozen=True)
class EncodedCrops:
    """One image or many; loaders join those of a batch, and may pin them.

    Attributes:
        data: (N,) uint8 on the host, what each image has, one behind the other: a JPEG file, or
            the crop (3, size, size) BGR where the loader has made it.
        lengths: (B,) bytes of each.
        boxes: (B, 6) height and width of the image, top, left, height and width of the crop;
            zeros where the loader has made it.
        paths: of the files.
        size: side of the square result.
        interpolation: 'bicubic' or 'bilinear'.
    """

    data: Tensor
    lengths: Tensor
    boxes: Tensor
    paths: Sequence[str]
    size: int
    interpolation: str

    @classmethod
    def of(
        cls,
        path: str,
        data: Tensor,
        size: int,
        interpolation: str,
        shape: tuple[int, int] = (0, 0),
        box: Box = (0, 0, 0, 0),
    ) -> "EncodedCrops":
        """One image: bytes of a file with the shape of its image and the box, or a crop alone."""
        boxes = torch.tensor([[*shape, *box]])
        return cls(data, torch.tensor([len(data)]), boxes, [path], size, interpolation)

    @classmethod
    def joined(cls, parts: Sequence["EncodedCrops"], **_: Any) -> "EncodedCrops":
        """A batch of them, as torch's ``default_collate`` asks for it."""
        columns = ([getattr(part, name) for part in parts] for name in ("data", "lengths", "boxes"))
        data, lengths, boxes = (torch.cat(column) for column in columns)
        paths = [path for part in parts for path in part.paths]
        return replace(parts[0], data=data, lengths=lengths, boxes=boxes, paths=paths)

    def pin_memory(self) -> "EncodedCrops":
        """As a loader with ``pin_memory`` calls it."""
        return replace(self, data=self.data.pin_memory())

    def decoded(self, device: torch.device) -> tuple[Tensor, list[str]]:
        """The crops.

        Args:
            device: decodes; CUDA by nvJPEG.

        Returns:
            (B, 3, size, size) BGR uint8 there; and those that came up elsewhere, each with its
            path and the reason.

        Raises:
            MaskSSLError: the device decodes nothing here, or a file cannot be decoded.
        """
        elsewhere: list[str] = []
        shape = 3, self.size, self.size
        made = torch.empty(len(self.paths), *shape, dtype=torch.uint8, device=device)
        data = self.data.split(self.lengths.tolist())
        by_loader = self.boxes[:, 0] == 0
        for number in by_loader.nonzero()[:, 0].tolist():
            made[number].copy_(data[number].view(shape), non_blocking=True)
            elsewhere.append(f"{self.paths[number]} (no plain JPEG)")
        turns = self.boxes[:, :2].prod(1).cumsum(0) // _PIXELS_AT_ONCE
        for turn in turns[~by_loader].unique():
            chosen = (~by_loader & (turns == turn)).nonzero()[:, 0]
            files = [(self.paths[number], data[number]) for number in chosen.tolist()]
            images = _decoded(files, device, elsewhere)
            crops = self._resized(images, self.boxes[chosen, 2:].tolist())
            made.index_copy_(0, chosen.to(device, non_blocking=True), crops)
        return made, elsewhere

    def _resized(self, images: Sequence[Tensor], boxes: Sequence[Box]) -> Tensor:
        """BGR crops of RGB images (3, h, w): one cast for all, a kernel each, for sizes differ."""
        flat = torch.cat([image.flatten() for image in images]).float()
        crops = []
        for pixels, image, (top, left, height, width) in zip(
            flat.split([image.numel() for image in images]), images, boxes, strict=True
        ):
            crop = pixels.view(1, *image.shape)[..., top : top + height, left : left + width]
            size, mode = (self.size, self.size), self.interpolation
            crops.append(F.interpolate(crop, size, mode=mode, antialias=True))
        return torch.cat(crops).round_().clamp_(0, 255).to(torch.uint8).flip(1)


collate_by(EncodedCrops, EncodedCrops.joined)


def _decoded(
    files: Sequence[tuple[str, Tensor]], device: torch.device, elsewhere: list[str]
) -> list[Tensor]:
    """RGB images (3, h, w) on the device; what it refuses comes up on the CPU."""
    _check(device)
    try:
        return _decode([data for _, data in files], device)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:  # which does not say of which file
        return [_one(path, data, device, elsewhere) for path, data in files]


def _one(path: str, data: Tensor, device: torch.device, elsewhere: list[str]) -> Tensor:
    try:
        return _decode([data], device)[0]
    except RuntimeError as refusal:
        try:
            [image] = _decode([data], _CPU)
        except RuntimeError as error:
            raise MaskSSLError(
                f"{path} cannot be decoded ({error}); replace or remove it from the data folder. "
                "With augment_on_device=True the loader decodes, and takes another image instead"
            ) from error
        elsewhere.append(f"{path} ({refusal})")
        return image.to(device)


def _decode(files: list[Tensor], device: torch.device) -> list[Tensor]:
    if device.type == "cuda":
        # torchvision decodes in a stream of its own, into memory that may have been freed while
        # kernels that read it are still to run (pytorch/vision pull 9606)
        torch.cuda.current_stream(device).synchronize()
    images: list[Tensor] = torchvision.io.decode_jpeg(files, ImageReadMode.RGB, device)
    return images


@cache
def _check(device: torch.device) -> None:
    """See that the device decodes at all, so that a later refusal is about the file."""
    try:
        _decode([torchvision.io.encode_jpeg(torch.zeros(3, 64, 64, dtype=torch.uint8))], device)
    except (RuntimeError, AttributeError) as error:
        raise MaskSSLError(
            f"augment_on_device='decode': torchvision {torchvision.__version__} decodes no JPEG on "
            f"{device} ({error}); install one that is built with nvJPEG, or use "
            "augment_on_device=True, which leaves decoding to the loader"
        ) from error
