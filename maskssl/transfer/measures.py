"""All measures on frozen features, by the names of their stages."""

from .class_measures import CLASS_MEASURES
from .map_measures import MAP_MEASURES

MEASURES = {measure.name: measure for measure in (*CLASS_MEASURES, *MAP_MEASURES)}
