"""All stages by their names: frozen features first, then what is trained."""

from .class_measures import CLASS_MEASURES
from .map_measures import MAP_MEASURES
from .rows import Stage
from .trained import TRAINED_STAGES

STAGES: dict[str, Stage] = {
    stage.name: stage for stage in (*CLASS_MEASURES, *MAP_MEASURES, *TRAINED_STAGES)
}
