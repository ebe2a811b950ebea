"""Masks in another code than labels: ``--map-masks`` puts the translation into every pipeline."""

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config

from ..datasets.checks.label_codes import LabelCodes
from .config import ConfigError, dicts_below
from .data_check.nodes import LOADERS

_LOADING = ("LoadMask", "LoadAnnotations")


def map_masks(cfg: Config, pairs: Sequence[str]) -> None:
    """Translate what masks hold into labels, behind each step that loads them, in TestTimeAug too.

    A translation that a layout has put there is replaced.

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
        place
        for key in LOADERS
        for found in dicts_below(cfg.get(key))
        if isinstance(found.get("pipeline"), list)
        for place in _loadings(found["pipeline"])
    ]
    if cfg.get("default_scope") != "mmseg" or not places:
        raise ConfigError("--map-masks needs a config of segmentation, whose pipelines load masks")
    mapping = dict(type="MapLabels", codes=codes)
    for steps, number in places:
        there = [step for step in dicts_below(steps) if step.get("type") == "MapLabels"]
        for step in there:  # a layout's, such as Cityscapes': the command says otherwise
            step["codes"] = codes
        if not there:
            alone = isinstance(steps[number], dict)
            steps.insert(number + 1, mapping if alone else [mapping])


def _loadings(steps: list[Any]) -> Iterator[tuple[list[Any], int]]:
    """Lists of steps and the places in them at which masks are loaded.

    TestTimeAug's list is one of lists, each of which holds alternatives of one step.
    """
    for number, step in enumerate(steps):
        alternatives = [step] if isinstance(step, dict) else step
        if any(one.get("type") in _LOADING for one in alternatives):
            yield steps, number
        elif isinstance(step, dict) and step.get("type") == "TestTimeAug":
            yield from _loadings(step["transforms"])
