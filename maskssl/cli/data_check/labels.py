"""The label spaces of a run: its loaders, the model's heads and the scores speak of one."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from ...datasets.checks.errors import DataError
from .looked_at import Found
from .nodes import BANK, Node, loader_config

HEADS = ("head", "decode_head", "auxiliary_head", "bbox_head", "mask_head", "roi_head")
CLASSES_REMEDY = (
    "--num-classes N sets the number of the whole run, --classes from-data reads it off the data"
)

_SHOWN = 5


def check_label_spaces(cfg: Config, found: Sequence[Found]) -> None:
    """Refuse loaders, heads and scores that speak of different classes.

    Args:
        cfg: the run's config.
        found: what its loaders hold, the one that trains first.

    Raises:
        DataError: names both sides, the classes that differ, and the remedy.
    """
    labelled = [one for one in found if one.labelled]
    if not labelled:
        return
    trained = [one for one in labelled if one.loader in ("train_dataloader", BANK)]
    reference = (trained or labelled)[0]
    for other in labelled:
        _check_same_names(reference, other)
    for head, outputs in head_outputs(cfg):
        for one in labelled:
            _check_outputs(head, outputs, one)
    if trained:
        _check_trained(trained, [one for one in labelled if one not in trained])
    _check_neighbours(cfg, labelled)
    outputs = min((count for _, count in head_outputs(cfg)), default=_num_labels(labelled))
    check_topk(cfg, outputs)


def head_outputs(cfg: Config) -> Iterator[tuple[str, int]]:
    """Dotted names of what in the model has a number of classes, and the number."""
    model = cfg.get("model") or {}
    model = model.get("module") or model  # inside the wrapper of a test over scales
    for part in (*HEADS, "data_preprocessor"):
        yield from _counts_below(model.get(part), f"model.{part}")


def _counts_below(node: Any, name: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, Mapping):
        if isinstance(node.get("num_classes"), int):
            yield name, node["num_classes"]
        for key, value in node.items():
            if key in HEADS:
                yield from _counts_below(value, f"{name}.{key}")
    elif isinstance(node, list | tuple):
        for number, value in enumerate(node):
            yield from _counts_below(value, f"{name}.{number}")


def _check_same_names(reference: Found, other: Found) -> None:
    where = f"{reference.loader} ({reference.source}) and {other.loader} ({other.source})"
    if reference.given and other.given and reference.given != other.given:
        raise DataError(
            f"{where} are given the classes {_few(reference.given)} and {_few(other.given)} for "
            "the same labels; give both the same names in one order"
        )
    ours, theirs = reference.classes, other.classes
    if ours is None or theirs is None or ours == theirs:
        return
    missing = [name for name in ours if name not in theirs]
    strange = [name for name in theirs if name not in ours]
    if not missing and not strange:
        raise DataError(
            f"{where} have the same classes in another order, {_few(ours)} and {_few(theirs)}, so "
            "their labels differ; bring them into one order"
        )
    lacks = f"{other.loader} lacks {_few(missing)}" if missing else ""
    has = f"{other.loader} has {_few(strange)}, which the other lacks" if strange else ""
    raise DataError(
        f"{where} have different classes, so their labels differ: "
        f"{'; '.join(filter(None, (lacks, has)))}. Give both the same classes (an empty folder "
        "will do where there are no images), or remove what is no class"
    )


def _check_outputs(head: str, outputs: int, one: Found) -> None:
    if one.classes is not None and len(one.classes) != outputs:
        raise DataError(
            f"{head}.num_classes={outputs}, and {one.loader} has {len(one.classes)} classes "
            f"({_few(one.classes)}, from {one.source}): they must agree; {CLASSES_REMEDY}"
        )
    highest = _num_labels([one]) - 1
    if highest >= outputs:
        hint = (
            " Labels count from 0, and none is 0 here." if one.counts and not one.counts[0] else ""
        )
        raise DataError(
            f"{one.loader}: {one.source} has the label {highest}, and {head}.num_classes={outputs} "
            f"allows 0 to {outputs - 1}; correct the labels, or the number: {CLASSES_REMEDY}."
            f"{hint}"
        )


def _check_trained(trained: Sequence[Found], scored: Sequence[Found]) -> None:
    """Refuse classes that cannot be learnt: empty folders, and labels that only tests have."""
    seen = {label for one in trained for label in _labels(one)}
    for one in trained:
        if one.kind != "images" or one.classes is None:
            continue
        empty = [name for label, name in enumerate(one.classes) if label not in seen]
        if empty:
            raise DataError(
                f"{one.loader}: {one.source} has no image of {_few(empty)}; add images, or remove "
                "the empty folders, in the other splits too"
            )
    for one in scored:
        unknown = [label for label in _labels(one) if label not in seen]
        if one.kind == "images" and unknown:
            raise DataError(
                f"{one.loader}: {one.source} has images of {one.name_of(unknown[0])}, of which "
                f"{trained[0].loader} ({trained[0].source}) has none, so they can never be right; "
                "make the lists agree"
            )


def _check_neighbours(cfg: Config, labelled: Sequence[Found]) -> None:
    """Refuse more neighbours than the bank of a kNN test has images."""
    asked = (cfg.get("model") or {}).get("k")
    bank = [one.used for one in labelled if one.loader == BANK and one.used is not None]
    if bank and asked and asked > sum(bank):
        raise DataError(
            f"model.k={asked} neighbours vote, and {BANK} has {sum(bank)} images; lower model.k, "
            "or use a larger training set"
        )


def _labels(one: Found) -> list[int]:
    return [label for label, count in enumerate(one.counts or ()) if count]


def _num_labels(found: Sequence[Found]) -> int:
    return max((label + 1 for one in found for label in _labels(one)), default=0)


def check_topk(cfg: Config, num_classes: int) -> None:
    """Refuse scores among more classes than there are.

    Raises:
        DataError: names the setting.
    """
    if not num_classes:
        return
    model = cfg.get("model") or {}
    places = [("model.head", model.get("head"))]
    places += [(name, cfg.get(name)) for name in ("val_evaluator", "test_evaluator")]
    for name, node in places:
        for config in node if isinstance(node, list | tuple) else [node]:
            topk = config.get("topk") if isinstance(config, Mapping) else None
            ranks = [topk] if isinstance(topk, int) else list(topk or ())
            if ranks and max(ranks) > num_classes:
                raise DataError(
                    f"{name}.topk={topk} asks for the best {max(ranks)} of {num_classes} classes; "
                    f"use topk of at most {num_classes}, or {CLASSES_REMEDY}"
                )


def check_evaluators(cfg: Config, nodes: Sequence[Node]) -> None:
    """Refuse an evaluator that reads another COCO file than its loader.

    Raises:
        DataError: names both files.
    """
    for node in nodes:
        if node.kind != "coco" or node.loader not in ("val_dataloader", "test_dataloader"):
            continue
        name = node.loader.replace("dataloader", "evaluator")
        evaluator = cfg.get(name)
        for config in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
            path = (config or {}).get("ann_file")
            if not path:
                continue
            there = os.path.exists(path)
            if not there or not os.path.samefile(path, node.ann_file):
                raise DataError(
                    f"{name}.ann_file is {path}{'' if there else ' (which is not there)'}, and "
                    f"{node.loader} loads {node.ann_file}: predictions would be scored by other "
                    f"pictures; set {name}.ann_file to the same file, or to None"
                )


def needs_masks(cfg: Config, loader: str, node: Node) -> bool:
    """Whether a run trains or scores masks of objects."""
    if loader == "train_dataloader":
        return bool(node.transform_setting("LoadAnnotations", "with_mask", False))
    evaluator = cfg.get(loader.replace("dataloader", "evaluator"))
    for config in evaluator if isinstance(evaluator, list | tuple) else [evaluator]:
        metric = (config or {}).get("metric") or ()
        if "segm" in ([metric] if isinstance(metric, str) else metric):
            return True
    return False


def batch_size(cfg: Config, loader: str) -> int:
    """Images per process and step."""
    config = loader_config(cfg, loader) or {}
    sampler = config.get("batch_sampler") or {}
    return int(config.get("batch_size") or sampler.get("batch_size") or 1)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
