"""All stages by their names: frozen features first, then what is trained."""

from .class_measures import CLASS_MEASURES
from .map_measures import MAP_MEASURES
from .rows import Stage
from .trained import TRAINED_STAGES

_ALL: tuple[Stage, ...] = (*CLASS_MEASURES, *MAP_MEASURES, *TRAINED_STAGES)
STAGES = {stage.name: stage for stage in _ALL}
