"""Look at images with or without class labels: lists, folders, shards."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...datasets.checks.errors import DataError
from ...datasets.checks.pictures import QUICK, Picture, look_at_all, sample
from ...datasets.folders import ENDINGS, ImageWalk, is_hidden, is_url, split_folders
from ...datasets.index.class_names import check_names
from ...datasets.index.image_index import NO_LABEL, ImageIndexError
from ...datasets.index.sources import source_at
from ...datasets.index.store import open_index
from .channels import depth_notes
from .looked_at import Found
from .nodes import Node


@dataclass(frozen=True)
class _Listed:
    """Images of a source: their paths below ``folder``, and labels."""

    paths: Sequence[str]
    labels: NDArray[np.int32]
    classes: tuple[str, ...] | None
    notes: list[str]


class _Lazy(Sequence[str]):
    """Paths that are made when asked for."""

    def __init__(self, count: int, path: Callable[[int], str]) -> None:
        self._count, self._path = count, path

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, entry: Any) -> Any:
        return self._path(entry)


def look_at_images(node: Node, allowed: float, thorough: bool) -> Found:
    """List the images of a data set as loading will, and open some.

    Args:
        node: of CustomDataset or IndexedImages.
        allowed: share of images that may be unreadable.
        thorough: open all.

    Raises:
        DataError: nothing to list, labels that make no sense, unreadable or 16-bit files.
    """
    folder = node.prefix("img_path") or ""
    source = node.ann_file or folder
    endings = tuple(ending.lower() for ending in node.setting("extensions", ENDINGS))
    with_label = bool(node.setting("with_label", True))
    indexed = node.cls.__name__ == "IndexedImages"
    if not node.ann_file and not is_url(folder) and not folder.endswith(".tar"):
        _check_folder(node, folder, endings, with_label, indexed)
    try:
        listed = _indexed(node, source, endings) if indexed else _walked(source, endings)
    except ImageIndexError as error:
        raise DataError(f"{node.loader}: {error}") from error
    if not len(listed.paths):
        raise DataError(f"{node.loader}: {' '.join([f'{source} lists no image.', *listed.notes])}")
    if with_label:
        _check_labels(node, source, listed)
    files, pictures, notes = _opened(node, folder, listed.paths, allowed, thorough)
    labels = listed.labels
    return Found(
        node.loader,
        "images",
        source,
        images=len(listed.paths),
        used=node.used(len(listed.paths)),
        classes=listed.classes,
        counts=np.bincount(labels, minlength=len(listed.classes or ())).tolist()
        if with_label
        else None,
        files=files,
        pictures=pictures,
        notes=[*listed.notes, *notes],
        given=node.classes if with_label else None,
    )


def _opened(
    node: Node, folder: str, paths: Sequence[str], allowed: float, thorough: bool
) -> tuple[Sequence[str], list[Picture], list[str]]:
    """Files of the images, those that were opened, and what is to be said of them."""
    if folder.endswith(".tar") or is_url(folder):
        what = "is no local path" if is_url(folder) else "is a tar file, or several"
        return (), [], [f"{folder} {what}; its pictures are not looked at."]
    files = _Lazy(len(paths), lambda entry: os.path.join(folder, paths[entry]))
    chosen = sample(len(files), None if thorough else QUICK)
    of = "" if len(chosen) == len(files) else f" (a sample of {len(files):,})"
    pictures, unreadable = look_at_all(
        (files[number] for number in chosen),
        allowed,
        lambda first, bad, total: (
            f"{node.loader}: {first}; {bad} of {total} files looked at{of} are unreadable, and "
            f"{100 * allowed:g}% may be (max_share of UnreadableImagesHook, in training alone): "
            "replace them, or remove them from the data folder or list"
        ),
        node.look,
        len(files),
    )
    notes = list(unreadable)
    if unreadable and of:
        notes.append(
            f"{len(unreadable)} of {len(chosen)} files looked at{of} are unreadable, and "
            f"{100 * allowed:g}% of all may be; maskssl check-data --thorough looks at all."
        )
    return files, pictures, notes + depth_notes(node, pictures)


def _indexed(node: Node, source: str, endings: tuple[str, ...]) -> _Listed:
    index = open_index(source_at(source, endings), node.setting("index_file"))
    classes, notes = index.header["classes"], list(index.header["notes"])
    paths = _Lazy(len(index), index.image_path)
    return _Listed(paths, index.labels, tuple(classes) if classes else None, notes)


def _walked(source: str, endings: tuple[str, ...]) -> _Listed:
    origin = source_at(source, endings)
    entries: Iterator[tuple[Any, ...]] = origin.entries(lambda share, images: None)
    pairs = [(path.decode("utf-8", "surrogateescape"), label) for path, label, *_ in entries]
    facts = origin.facts()
    classes = tuple(facts["classes"]) if facts["classes"] else None
    labels = np.asarray([label for _, label in pairs], np.int32)
    return _Listed([path for path, _ in pairs], labels, classes, facts["notes"])


def _check_folder(
    node: Node, folder: str, endings: tuple[str, ...], with_label: bool, indexed: bool
) -> None:
    walk = ImageWalk(folder, (*ENDINGS, *endings))
    top = walk.listing()
    if next(walk.images(), None) is None:
        raise DataError(
            f"{node.loader}: no images in {folder} (looked for {', '.join(walk.endings)}, at any "
            f"depth); {node.remedy}"
        )
    if not indexed:
        _check_others_view(node, folder, endings, with_label)
    if not with_label:
        return
    splits = split_folders(folder)
    if splits:
        names = ", ".join(str(path.relative_to(folder)) for path in splits.values())
        raise DataError(
            f"{node.loader}: {folder} holds splits ({names}), which would be taken for classes; "
            "set data_prefix to one of them"
        )
    classes = [name[:-1] for name in top if name.endswith("/")]
    if not classes:
        raise DataError(
            f"{node.loader}: {folder} holds images in no class folders, so they have no labels; "
            "sort them into a folder for each class, or give ann_file, a list of lines "
            "'path label'"
        )
    if len(classes) == 1:
        raise DataError(
            f"{node.loader}: {folder} has one class folder alone, {classes[0]!r}; set data_prefix "
            "to the folder of all classes"
        )


def _check_others_view(node: Node, folder: str, endings: tuple[str, ...], with_label: bool) -> None:
    """Refuse what mmpretrain's own walk would take otherwise than ours."""
    remedy = "use type='IndexedImages', which takes the same options and does not"
    walk = ImageWalk(folder, ENDINGS)
    other = [path for path in walk.images() if not path.lower().endswith(endings)]
    name = node.cls.__name__
    if other:
        raise DataError(
            f"{node.loader}: {len(other):,} images, e.g. {folder}/{other[0]}, end with none of "
            f"the extensions of {name}, which would leave them out; {remedy}"
        )
    hidden = [path.name for path in Path(folder).iterdir() if path.is_dir()]
    hidden = [name for name in hidden if is_hidden(name)]
    if hidden and with_label:
        raise DataError(
            f"{node.loader}: {name} would take {folder}/{hidden[0]} for a class; remove it, or "
            f"{remedy}"
        )


def _check_labels(node: Node, source: str, listed: _Listed) -> None:
    bare = np.flatnonzero(listed.labels == NO_LABEL)
    if len(bare):
        raise DataError(
            f"{node.loader}: {len(bare):,} of {len(listed.paths):,} images of {source} have no "
            f"label, the first is {listed.paths[int(bare[0])]}; label them, or use "
            "with_label=False"
        )
    if node.classes and listed.classes:
        try:
            check_names(node.classes, listed.classes, source)
        except ImageIndexError as error:
            raise DataError(f"{node.loader}: {error}") from error
