"""What a frozen encoder makes of pictures, as one picture each: no labels are learnt here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ..datasets.folders import image_files, split_folders, subfolders
from ..errors import MaskSSLError
from ..evaluation.knn import nearest, unit_length
from ..inference.backbone import load_backbone
from ..inference.features import FeatureExtractor
from ..inference.pretraining import pixel_model
from ..masking import block_mask, order_visible_first
from ..visualization.attention import attention_maps, head_titles, heat_over
from ..visualization.components import component_colours
from ..visualization.embedding import draw_map, two_dimensions
from ..visualization.neighbours import Found, neighbour_grid
from ..visualization.reconstruction import picture_grid, reconstruct
from ..visualization.sheets import framed, grid_of
from .encoders import Encoder
from .image_set import ImageSet, image_set, labelled_sets

_BATCH = 64
MAX_HEADS = 6  # on a sheet


@dataclass(frozen=True)
class Shelf:
    """Pictures, and their classes where they have some.

    Attributes:
        files: of the pictures.
        labels: (N,) int64; zeros without classes.
        classes: names; empty without classes.
    """

    files: Sequence[Path]
    labels: Tensor
    classes: Sequence[str] = ()

    @classmethod
    def of_set(cls, images: ImageSet) -> "Shelf":
        """The pictures of a labelled set."""
        return cls([images.root / name for name in images.files], images.labels, images.classes)

    def spread(self, count: int) -> list[int]:
        """Places of some pictures, evenly spread, so over the classes."""
        count = min(count, len(self.files))
        return [place * len(self.files) // count for place in range(count)]

    def only(self, places: Sequence[int]) -> "Shelf":
        """Some of the pictures."""
        return Shelf([self.files[i] for i in places], self.labels[list(places)], self.classes)

    def class_of(self, place: int) -> str:
        """Name of a picture's class, '' without classes."""
        return self.classes[int(self.labels[place])] if self.classes else ""


def shelves(paths: Sequence[str]) -> tuple[Shelf, Shelf | None]:
    """Pictures, and a second set to look for their neighbours in, if there is one.

    A folder of train/CLASS/* and test/CLASS/* (or val) gives its test and its training images; one
    of CLASS/*, or anything else with images in it, gives one set.

    Raises:
        MaskSSLError: no images.
    """
    if len(paths) == 1 and Path(paths[0]).is_dir():
        if split_folders(paths[0]):
            train, test = labelled_sets(paths[0])
            return Shelf.of_set(test), Shelf.of_set(train)
        if len(subfolders(paths[0])) > 1:
            return Shelf.of_set(image_set(Path(paths[0]))), None
    files = [file for path in paths for file in image_files(path)]
    if not files:
        raise MaskSSLError(f"no images in {', '.join(paths)}; give files or folders of images")
    return Shelf(files, torch.zeros(len(files), dtype=torch.long)), None


def prepared(encoder: Encoder, files: Sequence[Path]) -> tuple[Tensor, list[NDArray[np.uint8]]]:
    """Pictures as the encoder takes them (B, 3, H, W), and what is on them in RGB (H, W, 3)."""
    backbone = encoder.backbone
    extractor = FeatureExtractor(backbone, device=backbone.patch_embed.proj.weight.device)
    inputs = torch.stack([extractor.prepare(file) for file in files])
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (backbone.mean, backbone.std))
    pixels = (inputs * std + mean).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    return inputs.to(extractor.device), list(pixels.numpy())


def pooled_features(encoder: Encoder, files: Sequence[Path], feature: str) -> Tensor:
    """One of the encoder's features of pictures, (N, C) on the CPU."""
    found = []
    for start in range(0, len(files), _BATCH):
        inputs, _ = prepared(encoder, files[start : start + _BATCH])
        found.append(encoder(inputs)[0][feature].float().cpu())
    return torch.cat(found)


def attention_sheet(encoder: Encoder, files: Sequence[Path], side: int = 96) -> Image.Image:
    """Each picture, the mean of the last block's heads, and the first heads."""
    inputs, pixels = prepared(encoder, files)
    asking = encoder.pooled_by_class_attention or encoder.backbone
    maps = attention_maps(asking, inputs).cpu()  # (B, H, h, w)
    maps = torch.cat([maps.mean(dim=1, keepdim=True), maps[:, :MAX_HEADS]], dim=1)
    rows = [
        [framed(Image.fromarray(own), side), *(heat_over(own, m, side) for m in heads.numpy())]
        for own, heads in zip(pixels, maps, strict=True)
    ]
    return grid_of(rows, head_titles(maps.shape[1] - 1), side)


def component_sheet(
    encoder: Encoder, files: Sequence[Path], side: int = 128
) -> tuple[Image.Image, list[float]]:
    """Pictures above their patches' first three components; and the shares of the variance."""
    inputs, pixels = prepared(encoder, files)
    with torch.inference_mode():
        tokens = encoder(inputs)[1].float().cpu()  # (B, N, C)
    colours, shares = component_colours(tokens, encoder.backbone.grid_size)
    cells = [
        [framed(Image.fromarray(own), side), _blocks(colour, side)]
        for own, colour in zip(pixels, colours, strict=True)
    ]
    pairs = [[*cells[at], *cells[at + 1]] for at in range(0, len(cells) - 1, 2)]
    rows = pairs or cells
    rows += [cells[-1]] if len(cells) % 2 and pairs else []
    return grid_of(rows, ["picture", "components"] * (2 if pairs else 1), side), shares.tolist()


def _blocks(colours: NDArray[np.uint8], side: int) -> Image.Image:
    size = side, round(side * colours.shape[0] / colours.shape[1])
    return Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)


def reconstruction_sheet(checkpoint: str, files: Sequence[Path], seed: int = 0) -> Image.Image:
    """Pictures, what a pretraining of BootMAE sees of them, and what it fills in.

    Raises:
        MaskSSLError: the checkpoint is of no such pretraining.
    """
    model = pixel_model(checkpoint)
    backbone = load_backbone(checkpoint)
    inputs = torch.stack([FeatureExtractor(backbone, device="cpu").prepare(f) for f in files])
    generator = torch.Generator().manual_seed(seed)
    blocks = [block_mask(model.backbone.grid_size, generator=generator).flatten() for _ in files]
    ordering = order_visible_first(torch.stack(blocks), generator=generator)
    return picture_grid(reconstruct(model, inputs, ordering))


def neighbours_of(
    features: Tensor, places: Sequence[int], bank: Tensor | None, k: int
) -> tuple[Tensor, Tensor]:
    """Cosine similarities and places of the k nearest, (Q, k) each.

    Args:
        features: (N, C), of which some ask.
        places: those that ask.
        bank: (M, C) to look in; None looks among the others of ``features``.
        k: neighbours.

    Raises:
        MaskSSLError: fewer than k others.
    """
    asking = unit_length(features[torch.tensor(places)])
    if bank is not None:
        return nearest(asking, unit_length(bank), k)
    similarity, found = nearest(asking, unit_length(features), k + 1)
    others = found != torch.tensor(places)[:, None]
    others[others.all(dim=1), -1] = False  # a copy of the picture stood before it
    return similarity[others].view(-1, k), found[others].view(-1, k)


def neighbour_sheet(
    encoder: Encoder,
    queries: Shelf,
    places: Sequence[int],
    bank: Shelf,
    found: tuple[Tensor, Tensor],
    captions: Sequence[str] | None = None,
) -> Image.Image:
    """Queries in front of their neighbours, marked right or wrong where there are classes.

    Args:
        encoder: crops the pictures.
        queries: where the queries stand.
        places: of the queries in it.
        bank: where the neighbours stand.
        found: of ``neighbours_of``.
        captions: of the queries; None for their classes.
    """
    rows = []
    for row, place in enumerate(places):
        shown = [queries.files[place], *(bank.files[i] for i in found[1][row].tolist())]
        pictures = [Image.fromarray(pixels) for pixels in prepared(encoder, shown)[1]]
        cells = [Found(pictures[0], captions[row] if captions else queries.class_of(place))]
        for picture, similarity, at in zip(
            pictures[1:], found[0][row].tolist(), found[1][row].tolist(), strict=True
        ):
            right = bool(bank.labels[at] == queries.labels[place]) if bank.classes else None
            cells.append(Found(picture, f"{bank.class_of(at)} {similarity:.2f}".strip(), right))
        rows.append(cells)
    return neighbour_grid(rows)


def map_sheet(features: Tensor, shelf: Shelf, seed: int = 0) -> tuple[Image.Image, str]:
    """A map of pictures by their features (N, C), and how it was made."""
    places, how = two_dimensions(features, seed)
    return draw_map(places, shelf.labels, shelf.classes, how), how
