"""All stages by their names."""

from .measures import MEASURES
from .rows import Stage
from .trained import TRAINED_STAGES

STAGES: dict[str, Stage] = {**MEASURES, **{stage.name: stage for stage in TRAINED_STAGES}}
