"""What was found in one data set of a config."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...datasets.checks.pictures import Picture


@dataclass(frozen=True)
class Found:
    """One data set, looked at.

    Attributes:
        loader: dotted name of its dataloader.
        kind: 'images', 'segmentation', 'coco', or 'other'.
        source: folder, list or annotation file.
        images: it holds; None if that is not known.
        used: of them, after filters and ``indices``.
        classes: names of labels in their order, as the data has them; None if it has none.
        times: that each image comes in an epoch.
        given: names that a config gives to the labels of folders or lists; None if it gives none.
        counts: images, objects or pixels looked at of each label; None without labels.
        unit: what ``counts`` counts.
        files: its images on the disk; empty where they are elsewhere.
        pictures: those that were opened.
        notes: sentences on what is skipped or looks odd.
    """

    loader: str
    kind: str
    source: str
    images: int | None = None
    used: int | None = None
    classes: tuple[str, ...] | None = None
    counts: Sequence[int] | None = None
    unit: str = "images"
    files: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    notes: list[str] = field(default_factory=list)
    given: tuple[str, ...] | None = None
    times: int = 1

    @property
    def drawn(self) -> int | None:
        """Images of an epoch; None if that is not known."""
        return None if self.used is None else self.used * self.times

    @property
    def labelled(self) -> bool:
        """Whether training or scores depend on its labels."""
        return self.counts is not None

    def name_of(self, label: int) -> str:
        """A class by its name, or the label if it has none."""
        known = self.classes is not None and label < len(self.classes)
        return repr(self.classes[label]) if known and self.classes else f"label {label}"
