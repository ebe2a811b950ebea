"""Figures that authors published, to stand beside ours where protocol and data are the same.

Protocol: the preset 'paper', whose trained rows are the published recipes at their full length and
whose kNN is DINO's. Data: ImageNet-1K, known by the numbers of its classes and images. A file says
whose it is, and not how long it was pretrained: all figures of that encoder are shown.
"""

from dataclasses import dataclass

from .encoders import Encoder
from .measure import CLASSES
from .work import Sets

PROTOCOL = "paper"
IMAGENET = (1000, 1_281_167, 50_000)  # classes, training and validation images
_BASE, _LARGE = (768, 12), (1024, 24)


@dataclass(frozen=True)
class Published:
    """A figure of a paper.

    Attributes:
        sources: names of checkpoints' sources that it may be of.
        size: width and depth.
        stage: name of the row.
        figure: top-1 as a share.
        what: the pretraining.
        where: the paper, or the repository where its weights' own figures stand.
        recipe: whose recipe gave it, None where the row has one protocol.
    """

    sources: tuple[str, ...]
    size: tuple[int, int]
    stage: str
    figure: float
    what: str
    where: str
    recipe: str | None = None


_MAE, _DINO, _BOOT, _EXTREMA = (
    "facebookresearch/mae, FINETUNE.md",
    "arXiv 2104.14294",
    "arXiv 2207.07116",
    "arXiv 2206.04667",
)
PUBLISHED = (
    Published(("DINO, iBOT",), _BASE, "knn", 0.761, "DINO, ViT-B/16", _DINO),
    Published(("DINO, iBOT",), _BASE, "knn", 0.771, "iBOT, ViT-B/16", "arXiv 2111.07832"),
    # MAE's linear probe is the recipe that BootMAE took over, behind the last block; the figures
    # are of the weights in PyTorch, the paper's (68.0, 75.8) of others in TensorFlow
    Published(("MAE",), _BASE, "finetune-frozen", 0.678, "MAE, 1600 epochs", _MAE, "bootmae"),
    Published(("MAE",), _LARGE, "finetune-frozen", 0.760, "MAE, 1600 epochs", _MAE, "bootmae"),
    Published(
        ("BootMAE release",), _BASE, "finetune-frozen", 0.661, "800 epochs", _BOOT, "bootmae"
    ),
    Published(
        ("BootMAE release",), _LARGE, "finetune-frozen", 0.771, "800 epochs", _BOOT, "bootmae"
    ),
    Published(("BootMAE release",), _BASE, "finetune", 0.842, "800 epochs", _BOOT, "bootmae"),
    Published(("BootMAE release",), _LARGE, "finetune", 0.859, "800 epochs", _BOOT, "bootmae"),
    *(
        Published(("ExtreMA release",), _BASE, "finetune", figure, what, _EXTREMA, "extrema")
        for figure, what in (
            (0.829, "80 % x 5, no colours"),
            (0.837, "80 % x 5"),
            (0.835, "90 % x 8"),
            (0.839, "ImageNet-22K, 30 epochs"),
        )
    ),
)


def published_beside(
    preset: str, recipe: str, sets: dict[str, Sets], encoder: Encoder, row: str
) -> list[dict[str, str | float]]:
    """Figures for a cell: figure, what was pretrained, and where it stands; usually none.

    Args:
        preset: that ran.
        recipe: whose recipes.
        sets: of the experiment.
        encoder: of the cell.
        row: of the cell.
    """
    if preset != PROTOCOL or CLASSES not in sets:
        return []
    train, test = sets[CLASSES]
    if (len(train.classes), len(train), len(test)) != IMAGENET:
        return []
    size = (encoder.backbone.embed_dims, encoder.backbone.num_layers)
    return [
        dict(figure=one.figure, what=one.what, where=one.where)
        for one in PUBLISHED
        if encoder.backbone.ledger.source in one.sources
        and (one.size, one.stage) == (size, row)
        and one.recipe in (None, recipe)
    ]
