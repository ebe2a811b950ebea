"""Features of images, in batches: paths, folders, Pillow images or arrays."""

from collections.abc import Iterable, Iterator
from io import IOBase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..datasets.checks.pictures import bits_of
from ..datasets.folders import image_files
from ..datasets.transforms.loading import UNREADABLE
from ..errors import MaskSSLError
from ..progress import ProgressLine
from .backbone import PretrainedViT, load_backbone

Picture = str | Path | Image.Image | np.ndarray
ENLARGEMENT = 256 / 224  # the short side is resized to this many crops, as ImageNet's tests do


class FeatureExtractor:
    """A frozen encoder with its preprocessing: RGB, resize, centre crop, normalisation.

    Example: ``FeatureExtractor("work_dirs/pretrain")("photos").shape``

    Args:
        backbone: of ``load_backbone``, or a path for it.
        out_type: for a path; 'avg' or 'cls' give one vector per image.
        img_size: for a path; side of the crop in pixels.
        batch_size: images at a time.
        device: default the GPU, if there is one.
        settings: for a path; further arguments of ``load_backbone``.
    """

    def __init__(
        self,
        backbone: PretrainedViT | str | Path,
        out_type: str = "avg",
        img_size: int | tuple[int, int] | None = None,
        batch_size: int = 64,
        device: str | torch.device | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(backbone, (str, Path)):
            backbone = load_backbone(backbone, out_type, img_size, **settings)
        if batch_size < 1:
            raise MaskSSLError(f"batch_size={batch_size}: give 1 or more")
        channels = backbone.patch_embed.proj.in_channels
        if channels != 3:
            raise MaskSSLError(
                f"the backbone takes {channels} channels, and pictures are read in 3; load its own "
                "by load_backbone, and call it with normalised tensors"
            )
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.backbone = backbone.to(self.device).eval()
        self.batch_size = batch_size

    @torch.inference_mode()
    def __call__(self, images: Picture | Iterable[Picture], progress: bool = True) -> Tensor:
        """Features of all images, on the CPU, in the order of ``files_of`` or as given.

        Args:
            images: a file, a folder (searched at any depth, sorted), a Pillow image, an array
                (H, W, 3) uint8 RGB or (H, W) grey, or several of these.
            progress: show a line of progress.

        Returns:
            (N, …) float32: what the backbone's last out index gives.

        Raises:
            MaskSSLError: no images, one that cannot be read, or one of more than 8 bits a channel.
        """
        pictures = list(pictures_of(images))
        if not pictures:
            raise MaskSSLError(f"no images in {images}; give files, folders or arrays of images")
        line, features = ProgressLine(), []
        for start in range(0, len(pictures), self.batch_size):
            batch = [self.prepare(item) for item in pictures[start : start + self.batch_size]]
            output = self.backbone(torch.stack(batch).to(self.device))[-1]
            features.append(output.float().cpu())
            if progress:
                done = start + len(batch)
                line(done / len(pictures), done)
        return torch.cat(features)

    def prepare(self, picture: Picture, crop: bool = True) -> Tensor:
        """One image as the backbone takes it: (3, h, w), resized, cropped, normalised.

        Args:
            picture: to read.
            crop: keep the sides' ratio and take the middle, 224 of 256 pixels (of a picture that is
                no larger than (h, w), all that fits); else all of it is resized to (h, w).
        """
        height, width = self.backbone.img_size
        image = _opened(picture)
        if crop:
            scale = max(height / image.height, width / image.width)
            scale *= 1 if scale >= 1 else ENLARGEMENT  # nothing is enlarged to be cut
            size = (
                max(width, round(image.width * scale)),
                max(height, round(image.height * scale)),
            )
            image = image.resize(size, Image.Resampling.BICUBIC)
            left, top = (size[0] - width) // 2, (size[1] - height) // 2
            image = image.crop((left, top, left + width, top + height))
        else:
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.asarray(image, dtype=np.float32)).permute(2, 0, 1)  # (3, h, w)
        mean, std = (
            torch.tensor(values).view(3, 1, 1) for values in (self.backbone.mean, self.backbone.std)
        )
        return (pixels - mean) / std


def pictures_of(images: Picture | Iterable[Picture]) -> Iterator[Picture]:
    """One by one: folders opened, everything else as it is."""
    if isinstance(images, (str, Path)):
        if not Path(images).exists():
            raise MaskSSLError(f"there is no image and no folder at {images}")
        yield from image_files(images)
    elif isinstance(images, Image.Image) or (isinstance(images, np.ndarray) and images.ndim < 4):
        yield images
    elif isinstance(images, (bytes, Tensor, IOBase)) or not isinstance(images, Iterable):
        raise MaskSSLError(
            f"a {type(images).__name__} is no image; give paths, folders, Pillow images or uint8 "
            "arrays (H, W, 3) in RGB, and normalised tensors to the backbone itself"
        )
    else:
        for item in images:
            yield from pictures_of(item)


def _opened(picture: Picture) -> Image.Image:
    if isinstance(picture, np.ndarray):
        fits = picture.dtype == np.uint8 and (picture.ndim == 2 or picture.shape[2:] == (3,))
        if not fits:
            raise MaskSSLError(
                f"an array of {picture.dtype} {picture.shape} is no image; give uint8 of (H, W, 3) "
                "in RGB or (H, W)"
            )
        picture = Image.fromarray(picture)
    try:
        if isinstance(picture, Image.Image):
            opened, bits = picture, bits_of(picture, getattr(picture, "filename", "") or None)
        else:
            opened = Image.open(picture)
            bits = bits_of(opened, picture)
        converted = opened.convert("RGB")
    except UNREADABLE as error:
        raise MaskSSLError(f"{picture} cannot be read as an image ({error})") from error
    if bits > 8:
        raise MaskSSLError(
            f"{picture} has {bits} bits a channel, and features are those of 8, to which Pillow "
            "cuts it; scale it to 8 bits"
        )
    return converted
