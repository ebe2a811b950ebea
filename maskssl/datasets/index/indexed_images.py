"""Classification and pretraining data of any size, from lists, folders and tar shards."""

import copy
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmengine.dataset.base_dataset import force_full_init
from mmengine.registry import DATASETS
from mmpretrain.datasets import BaseDataset
from numpy.typing import NDArray

from ...errors import MaskSSLError
from ...private_names import is_initialised, mark_initialised
from ..cache.pixel_cache import PixelCache
from ..draws.facts import data_hash
from ..folders import ENDINGS, names_in
from ..transforms.deferred import deferred
from .class_names import check_names
from .image_index import ImageIndexError
from .sources import source_at
from .store import open_index
from .tar_shards import TarShards

Selection = range | NDArray[np.int64]


@DATASETS.register_module()
class IndexedImages(BaseDataset):
    """mmpretrain's CustomDataset over an index on disk: a start in milliseconds, shared memory.

    Samples are the same: ``img_path``, ``gt_label`` if ``with_label``, ``sample_idx``. So are the
    options, save that ``filter_cfg`` and ``serialize_data`` make no sense here. Images come from

    - ``ann_file``, lines of ``path`` or ``path label``, or CSV (list_files.py), below
      ``data_prefix``,
    - or the folder ``data_prefix``, any depth, classes by the folders on top of it,
    - or tar shards, if ``data_prefix`` ends with .tar: ``shards/train-*.tar`` or
      ``shards/train-{000..146}.tar``. ``img_path`` is then an address that mmengine's fileio,
      hence every loading transform, reads.

    The index is built at the first use (maskssl index does that ahead, with progress),
    and again when its source was written since.

    Args:
        data_root: folder that relative paths of the next two begin at.
        data_prefix: see above; paths in ``ann_file`` may be absolute or leave it.
        ann_file: see above.
        with_label: whether samples have ``gt_label``; every image needs one then.
        extensions: what images end with, with the dot; case does not count.
        metainfo: e.g. dict(classes=...).
        indices: the first n images, the last -n, or these.
        pipeline: transforms.
        test_mode: whether a pipeline that returns None is an error.
        lazy_init: leave the index to ``full_init``.
        max_refetch: images drawn instead of one whose pipeline returns None.
        classes: names, or a file of them; folders bring their own.
        index_file: where the index is or goes; None for beside the source, or the cache folder
            where that cannot be written.
        cache: folder that ``maskssl cache`` has written of this data set; samples then have
            ``img``, read from there, and loading transforms open no file.
        augment_on_device: flips and colours of a pretraining's pipeline are drawn here, and made in
            batch by PretrainDataPreprocessor, the same to the bit; see ``transforms.deferred``.
            'decode' leaves decoding and cropping (LoadResizedCrop) there too.

    Raises:
        MaskSSLError: ``augment_on_device`` does not fit the pipeline or the cache.
        ImageIndexError: nothing to list, a list or label that makes no sense, labels missing, or
            not the number or the order of the classes given.
    """

    _found_classes: tuple[str, ...] | None = None  # by the folders, where none were given

    def __init__(
        self,
        data_root: str = "",
        data_prefix: str | dict[str, str] = "",
        ann_file: str = "",
        with_label: bool = True,
        extensions: Sequence[str] = ENDINGS,
        metainfo: Mapping[str, Any] | None = None,
        indices: int | Sequence[int] | None = None,
        pipeline: Sequence[Any] = (),
        test_mode: bool = False,
        lazy_init: bool = False,
        max_refetch: int = 1000,
        classes: str | Sequence[str] | None = None,
        index_file: str | None = None,
        cache: str | None = None,
        augment_on_device: bool | Literal["decode"] = False,
    ) -> None:
        if not (data_root or data_prefix or ann_file):
            raise ImageIndexError("give data_root, data_prefix or ann_file; all are empty")
        decode = augment_on_device == "decode"
        if (decode and cache is not None) or not (decode or isinstance(augment_on_device, bool)):
            raise MaskSSLError(
                f"augment_on_device={augment_on_device!r}, cache={cache!r}: use True, False or, "
                "without a cache, whose images are decoded, 'decode'"
            )
        self.with_label = with_label
        self.extensions = tuple(dict.fromkeys(ending.lower() for ending in extensions))
        self.index_file = index_file
        self.cache = cache
        self._pixels: PixelCache | None = None
        self.indices = indices
        super().__init__(
            ann_file=ann_file,
            metainfo=metainfo,
            data_root=os.path.expanduser(data_root),
            data_prefix=data_prefix,
            pipeline=deferred(pipeline, decode) if augment_on_device else pipeline,
            test_mode=test_mode,
            lazy_init=True,
            max_refetch=max_refetch,
            classes=_names(classes),
        )
        if not lazy_init:
            self.full_init()

    def full_init(self) -> None:
        """Open the index, building it first if there is none that fits."""
        if is_initialised(self):
            return
        if self.ann_file and self.img_prefix.endswith(".tar"):
            raise ImageIndexError(
                f"tar shards ({self.img_prefix}) bring their own list; drop "
                f"ann_file={self.ann_file}"
            )
        self.source = source_at(self.ann_file or self.img_prefix, self.extensions)
        self.index = open_index(self.source, self.index_file)
        self._check_labels()
        self._selection: Selection = range(len(self.index))
        if self.indices is not None:
            self._selection = _selected(self._selection, self.indices)
        mark_initialised(self)
        if self.cache is not None:
            self._pixels = PixelCache(self.cache, data_hash(self.whole()))

    def whole(self) -> "IndexedImages":
        """The data set without ``indices`` and cache, as caches are made of."""
        found = copy.copy(self)
        found._selection, found._pixels = range(len(self.index)), None
        return found

    def prepare_data(self, idx: int) -> Any:
        """A sample behind the pipeline."""
        info = self.get_data_info(idx)
        if self._pixels is not None:
            info["img"] = self._pixels[int(self._selection[info["sample_idx"]])]
        return self.pipeline(info)

    @property
    def metainfo(self) -> dict[str, Any]:
        """What was given, and the classes that were found."""
        found = {} if self._found_classes is None else dict(classes=self._found_classes)
        return {**super().metainfo, **found}

    @property
    def CLASSES(self) -> Sequence[str] | None:
        """Names of the classes; None if there are none, or not yet."""
        return self.metainfo.get("classes")

    def _check_labels(self) -> None:
        header = self.index.header
        if not self.with_label:
            return
        if header["unlabelled"]:
            first = self.index.image_path(header["first_unlabelled"])
            raise ImageIndexError(
                f"{header['unlabelled']:,} of {len(self.index):,} images of {self.source.location} "
                f"have no label, the first is {first}; label them, or use with_label=False"
            )
        found = header["classes"]
        if self.CLASSES is None:
            if found:
                self._found_classes = tuple(found)
            return
        if found:
            check_names(self.CLASSES, found, self.source.location)
        if header["max_label"] >= len(self.CLASSES):
            entry = int(np.argmax(self.index.labels))
            raise ImageIndexError(
                f"{self.index.image_path(entry)} of {self.source.location} has the label "
                f"{header['max_label']}, and there are {len(self.CLASSES)} classes; labels count "
                "from 0"
            )

    @force_full_init
    def __len__(self) -> int:
        return len(self._selection)

    @force_full_init
    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Path, label and number of an image; a negative index counts from the end."""
        length = len(self._selection)
        if not -length <= idx < length:
            raise IndexError(f"image {idx} of a data set of {length}")
        number = int(idx) % length
        entry = int(self._selection[number])
        info: dict[str, Any] = dict(img_path=self._image_path(entry))
        if self.with_label:
            info["gt_label"] = int(self.index.labels[entry])
        info["sample_idx"] = number
        return info

    def _image_path(self, entry: int) -> str:
        if isinstance(self.source, TarShards):
            return self.source.image_uri(self.index, entry)
        path = self.index.image_path(entry)
        return os.path.join(self.img_prefix, path)  # as mmengine's join_path does, of addresses too

    def get_cat_ids(self, idx: int) -> list[int]:
        """The label of an image, in a list."""
        return [int(self.get_data_info(idx)["gt_label"])]

    @force_full_init
    def get_gt_labels(self) -> NDArray[np.int32]:
        """All labels, (N,)."""
        if not self.with_label:
            raise ImageIndexError(f"{self.source.location} is used with with_label=False")
        if isinstance(self._selection, range):
            return self.index.labels[self._selection.start : self._selection.stop]
        return self.index.labels[self._selection]

    @force_full_init
    def get_subset_(self, indices: int | Sequence[int]) -> None:
        """Keep the first n images, the last -n, or these."""
        self._selection = _selected(self._selection, indices)

    @force_full_init
    def get_subset(self, indices: int | Sequence[int]) -> "IndexedImages":
        """A data set of the first n images, the last -n, or these; it shares the index."""
        subset = copy.copy(self)
        subset.get_subset_(indices)
        return subset

    def extra_repr(self) -> list[str]:
        """Where list and index are."""
        lines: list[str] = super().extra_repr()
        if is_initialised(self):
            lines.append(f"Index: \t{self.index.path}")
        return lines


def _names(classes: str | Sequence[str] | None) -> Sequence[str] | None:
    """Names, also of a file as Windows' editors write it, whose mark mmpretrain would keep."""
    return names_in(Path(classes).expanduser()) if isinstance(classes, str) else classes


def _selected(selection: Selection, indices: int | Sequence[int]) -> Selection:
    length = len(selection)
    if isinstance(indices, int):
        if abs(indices) > length:
            raise ImageIndexError(f"indices={indices} of {length} images; ask for no more of them")
        return selection[:indices] if indices >= 0 else selection[indices:]
    chosen = np.asarray(indices, np.int64)
    if len(chosen) and not (-length <= chosen.min() and chosen.max() < length):
        raise ImageIndexError(
            f"indices from {chosen.min()} to {chosen.max()} do not fit {length} images; they count "
            "from 0"
        )
    if isinstance(selection, range):
        return selection.start + chosen % max(length, 1)
    return selection[chosen]
