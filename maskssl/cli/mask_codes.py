"""Masks in another code than labels: ``--map-masks`` puts the translation into every pipeline."""

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config

from ..datasets.checks.label_codes import LabelCodes
from .config import ConfigError, dicts_below
from .data_check.nodes import LOADERS


def map_masks(cfg: Config, pairs: Sequence[str]) -> None:
    """Translate what masks hold into labels, behind each LoadAnnotations.

    Args:
        cfg: of segmentation; is changed.
        pairs: 'VALUE=LABEL' or '#rrggbb=LABEL', for every value that masks hold.

    Raises:
        ConfigError: no such pair, or no pipeline that loads masks.
        DataError: codes of no one kind.
    """
    codes: dict[str | int, int] = {}
    for pair in pairs:
        code, equals, label = pair.partition("=")
        if not equals or not label.isdigit() or int(label) > 255:
            raise ConfigError(
                f"--map-masks {pair}: give VALUE=LABEL or '#rrggbb=LABEL', labels from 0 to 255 "
                "(255 is ignored)"
            )
        codes[code] = int(label)
    LabelCodes(codes)  # a mistake in them shows now
    places = [
        (pipeline, number)
        for key in LOADERS
        for pipeline in pipelines(cfg.get(key))
        for number, step in enumerate(pipeline)
        if step.get("type") == "LoadAnnotations"
    ]
    if cfg.get("default_scope") != "mmseg" or not places:
        raise ConfigError("--map-masks needs a config of segmentation, whose pipelines load masks")
    for pipeline, number in places:
        if not any(step.get("type") == "MapLabels" for step in pipeline):
            pipeline.insert(number + 1, dict(type="MapLabels", codes=codes))


def pipelines(node: Any) -> Iterator[list[dict[str, Any]]]:
    """Pipelines below a node of a config."""
    for found in dicts_below(node):
        if isinstance(found.get("pipeline"), list):
            yield found["pipeline"]
