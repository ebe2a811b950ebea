"""ImageNet's flat validation folder: labels from the devkit, as a list."""

from pathlib import Path

from mat4py import loadmat

from ..checks.errors import DataError
from ..folders import subfolders

_DEVKIT = "ILSVRC2012_devkit_t12"
_TRUTH = "ILSVRC2012_validation_ground_truth.txt"


def convert_imagenet(root: Path) -> dict[Path, tuple[int, int]]:
    """Write ``val.txt``: the images of ``val/`` and their labels, which count train's folders.

    The devkit numbers synsets in an order of its own (meta.mat); labels here follow the sorted
    names of the training folders, as everywhere.

    Args:
        root: folder with train/SYNSET/*, val/ILSVRC2012_val_00000001.JPEG and so on, and the
            unpacked devkit.

    Returns:
        The list -> number of images, and of classes among them.

    Raises:
        DataError: names what is missing or does not fit.
    """
    data = root / _DEVKIT / "data"
    for path in (root / "train", root / "val", data / "meta.mat", data / _TRUTH):
        if not path.exists():
            raise DataError(
                f"there is no {path}; unpack ImageNet's train and val and its devkit "
                f"({_DEVKIT}.tar.gz) there"
            )
    synsets = loadmat(str(data / "meta.mat"))["synsets"]
    synset_of = dict(zip(map(int, synsets["ILSVRC2012_ID"]), synsets["WNID"], strict=True))
    label_of = {name: label for label, name in enumerate(subfolders(root / "train"))}
    truth = [int(line) for line in (data / _TRUTH).read_text().split()]
    images = sorted(path.name for path in (root / "val").glob("*.JPEG"))
    if len(images) != len(truth):
        raise DataError(
            f"{root / 'val'} has {len(images):,} images, and {data / _TRUTH} {len(truth):,} "
            "lines; unpack the archive of validation images again"
        )
    strange = sorted({synset_of[number] for number in truth} - set(label_of))
    if strange:
        raise DataError(
            f"{root / 'train'} has no folder {strange[0]}, nor {len(strange) - 1} others of the "
            f"{len({*truth})} synsets that are validated; unpack all of the training images"
        )
    target = root / "val.txt"
    lines = (
        f"{name} {label_of[synset_of[number]]}\n"
        for name, number in zip(images, truth, strict=True)
    )
    target.write_text("".join(lines), encoding="utf-8")
    return {target: (len(images), len({*truth}))}
