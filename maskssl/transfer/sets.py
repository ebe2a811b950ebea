"""The data of an experiment, as far as its stages need it."""

from collections.abc import Sequence

from ..errors import MaskSSLError
from .box_set import box_sets
from .image_set import labelled_sets
from .map_set import map_sets
from .measure import BOXES, CLASSES, MAPS
from .plan import Plan
from .rows import Stage
from .work import Sets

OPTIONS = {CLASSES: "--data DIR", MAPS: "--masks DIR", BOXES: "--coco DIR"}


def read_sets(plan: Plan, stages: Sequence[Stage]) -> dict[str, Sets]:
    """Kind of labels -> training and test images; no test image is opened.

    Raises:
        MaskSSLError: a stage needs data that is not given, or it cannot be used.
    """
    found: dict[str, Sets] = {}
    for labels in dict.fromkeys(stage.labels for stage in stages):
        if labels == CLASSES and plan.data:
            found[labels] = labelled_sets(plan.data)
        elif labels == MAPS and plan.masks:
            found[labels] = map_sets(plan.masks)
        elif labels == BOXES and plan.coco:
            found[labels] = box_sets(plan.coco)
        else:
            needing = [stage.name for stage in stages if stage.labels == labels]
            raise MaskSSLError(f"--stages {' '.join(needing)} needs {OPTIONS[labels]}")
    return found
