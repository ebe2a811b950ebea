"""The report's pictures: drawn when every test image has been scored."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ..errors import MaskSSLError
from ..inference.pretraining import predicts_pixels
from ..progress import ProgressLine
from .encoders import RANDOM, Encoder
from .feature_store import Extraction, FeatureSet, features_of
from .measure import CLASSES
from .per_class import Guesses, confusion, guesses_of, most_frequent
from .views import (
    Shelf,
    attention_sheet,
    component_sheet,
    map_sheet,
    neighbour_sheet,
    neighbours_of,
    reconstruction_sheet,
)
from .work import Sets

_FEW, _SOME, _ROWS = 4, 8, 6  # pictures on a sheet
_NEIGHBOURS = 5
_DOTS = 2000  # of a map
PICTURES = "pictures"  # folder beside the page


@dataclass(frozen=True)
class Sheet:
    """One picture of the report.

    Attributes:
        kind: of it, in its file's name.
        picture: it.
        caption: what it shows, and how it was made.
        alt: what is on it, for those who do not see it.
    """

    kind: str
    picture: Image.Image
    caption: str
    alt: str


def draw_galleries(
    report: dict[str, Any],
    encoders: Mapping[str, Encoder],
    sets: Mapping[str, Sets],
    how: Extraction,
    folder: Path,
    line: ProgressLine,
) -> None:
    """Draw each checkpoint's pictures into ``folder/pictures``, and add to the report.

    What is added: ``pictures`` (checkpoint, kind, file, caption, alt), each checkpoint's ``cost``,
    and with labelled images ``classes`` and ``confusion`` (checkpoint -> [true, said, count]).
    Pictures that cannot be drawn stand among what ``failed``; the scores do not depend on them.

    Args:
        report: as ``summarise`` gives it, with test scores.
        encoders: by name.
        sets: kind of labels -> training and test images; without classes others are shown.
        how: their features are kept.
        folder: of the page.
        line: tells how far it is.
    """
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    report["pictures"] = []
    if CLASSES in sets:
        report |= dict(classes=list(sets[CLASSES][1].classes), confusion={})
    _, test = sets.get(CLASSES) or next(iter(sets.values()))
    for checkpoint in report["checkpoints"]:
        name = checkpoint["name"]
        line.say(f"{name}: drawing")
        checkpoint["cost"] = cost_of(encoders[name])
        try:
            sheets = list(_of_patches(encoders[name], Shelf.of_set(test)))
            if CLASSES in sets:
                sheets += _of_classes(report, encoders[name], sets[CLASSES], how, line)
        except MaskSSLError as error:
            report["failed"][f"{name} pictures"] = str(error)
            line.say(f"{name} pictures failed: {error}")
            continue
        for sheet in sheets:
            file = f"{PICTURES}/{name}-{sheet.kind}.jpg"
            sheet.picture.save(folder / file, quality=85)
            told = dict(kind=sheet.kind, caption=sheet.caption, alt=f"{name}: {sheet.alt}")
            report["pictures"].append(dict(checkpoint=name, file=file, **told))
    if CLASSES in sets:
        report["confusion"] = most_frequent(report["confusion"], len(report["classes"]))


def _of_classes(
    report: dict[str, Any], encoder: Encoder, sets: Sets, how: Extraction, line: ProgressLine
) -> Iterator[Sheet]:
    """Sheets of labelled images; what is taken for what goes into the report."""
    train, test = (features_of(encoder, images, how, line) for images in sets)
    chosen = {
        cell["checkpoint"]: cell["setting"]
        for measure in report["measures"]
        if measure["name"] == "knn"
        for cell in measure["cells"]
    }
    guesses = guesses_of(train, test, chosen.get(encoder.name))
    report["confusion"][encoder.name] = confusion(test.labels, guesses.said)
    shelves = Shelf.of_set(sets[0]), Shelf.of_set(sets[1])
    yield from _of_features(encoder, shelves, (train, test), guesses)


@torch.no_grad()
def cost_of(encoder: Encoder) -> dict[str, float]:
    """Weights, and multiplications and additions (both counted) of one image, in 10^9."""
    backbone = encoder.backbone
    image = backbone.patch_embed.proj.weight.new_zeros(1, 3, *backbone.img_size)
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        backbone(image)
    weights = sum(parameter.numel() for parameter in backbone.parameters())
    return dict(parameters=weights, gflops=counter.get_total_flops() / 1e9)


def _of_patches(encoder: Encoder, shelf: Shelf) -> Iterator[Sheet]:
    """What is seen inside of pictures: attention, components, and what is filled in."""
    few, some = ([shelf.files[at] for at in shelf.spread(count)] for count in (_FEW, _SOME))
    asking = "the class token" if encoder.backbone.with_cls_token else "the mean patch"
    if encoder.pooled_by_class_attention:
        asking = "the class attention's token"
    yield Sheet(
        "attention",
        attention_sheet(encoder, few),
        f"Attention of {asking} in the last block, by head",
        "test images lit where the heads of the last block look",
    )
    picture, shares = component_sheet(encoder, some)
    variance = ", ".join(f"{share:.0%}" for share in shares)
    yield Sheet(
        "components",
        picture,
        "The first three components of the patches of all these images together, as red, green and "
        f"blue ({variance} of the variance); last block",
        "test images beside their patches in the colours of three components",
    )
    if not encoder.given.startswith(RANDOM) and predicts_pixels(encoder.given):
        yield Sheet(
            "reconstruction",
            reconstruction_sheet(encoder.given, few),
            "What the pretraining fills in; each patch has the true patch's mean and contrast",
            "test images, what is left of them under a mask, and the reconstruction",
        )


def _of_features(
    encoder: Encoder,
    shelves: tuple[Shelf, Shelf],
    features: tuple[FeatureSet, FeatureSet],
    guesses: Guesses,
) -> Iterator[Sheet]:
    """Where pictures stand among each other: a map, neighbours, and the worst mistakes."""
    (bank, shelf), (train, test) = shelves, features
    places = shelf.spread(_DOTS)
    drawn, how = map_sheet(_stored(test, guesses.feature, places), shelf.only(places))
    words = f"Map of the test images: {how}"
    yield Sheet("map", drawn, words, "dots in the colours of their classes")
    stored = _stored(train, guesses.feature, range(len(bank.files)))
    count = min(_NEIGHBOURS, len(stored))
    shown = shelf.spread(_ROWS)
    found = neighbours_of(_stored(test, guesses.feature, shown), range(len(shown)), stored, count)
    yield Sheet(
        "neighbours",
        neighbour_sheet(encoder, shelf, shown, bank, found),
        f"Test images and their nearest training images with the cosine similarity "
        f"({guesses.how}); green: the same class, red: another",
        "rows of a test image and its neighbours",
    )
    wrong = guesses.worst(test.labels, _ROWS)
    if wrong:
        found = neighbours_of(
            _stored(test, guesses.feature, wrong), range(len(wrong)), stored, count
        )
        captions = [
            f"{shelf.class_of(at)}, said {shelf.classes[guesses.said[at]]} "
            f"{guesses.confidence[at]:.2f}"
            for at in wrong
        ]
        yield Sheet(
            "mistakes",
            neighbour_sheet(encoder, shelf, wrong, bank, found, captions),
            f"The most confident mistakes of the {guesses.how}: the true class, what was said "
            "instead with its share of the votes, and the nearest training images",
            "rows of a test image that was taken for another class, and its neighbours",
        )


def _stored(features: FeatureSet, name: str, places: Any) -> Tensor:
    """Rows of a feature on the CPU."""
    return features.rows(name, features.everything).batch(torch.tensor(list(places)))[0].cpu()
