"""Small sets with random edits: valid ones reach the model as they are, faulty ones are refused.

MASKSSL_FUZZ_CASES=100000 pytest tests/fuzz tries as many as one likes; a case is its number.
"""

import copy
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from maskssl.cli.data_check import DataError, look_at_data
from tests.cli.test_data_check import (
    DET,
    FINETUNE,
    SEG,
    TRAIN,
    VAL,
    dense_config,
    folder_config,
    listed,
)
from tests.datasets.checks.sets import DENSE_CLASSES, write_dense, write_image_folder
from tests.fuzz import edits, reader

CASES = int(os.environ.get("MASKSSL_FUZZ_CASES", "500"))
KINDS: dict[str, tuple[tuple[edits.Edit, ...], tuple[edits.Edit, ...]]] = {
    "folder": (edits.FOLDER_EDITS, edits.FOLDER_FAULTS),
    "list": (edits.LIST_EDITS, edits.LIST_FAULTS),
    "seg": (edits.SEG_EDITS, edits.SEG_FAULTS),
    "coco": (edits.COCO_EDITS, edits.COCO_FAULTS),
}
CONFIGS: dict[str, Config] = {}


def config(kind: str, root: Path, codes: dict[int, int]) -> Config:
    """The config of a kind, read once, on a set."""
    if kind not in CONFIGS:
        nowhere = Path("/")
        CONFIGS[kind] = (
            folder_config(FINETUNE, nowhere)
            if kind in ("folder", "list")
            else dense_config(SEG if kind == "seg" else DET, nowhere)
        )
    cfg = copy.deepcopy(CONFIGS[kind])
    for loader in (TRAIN, VAL):
        cfg[loader].dataset.data_root = str(root)
        if codes:
            pipeline = cfg[loader].dataset.pipeline
            place = [step.type for step in pipeline].index("LoadMask")
            pipeline.insert(place + 1, dict(type="MapLabels", codes=codes))
    if kind == "coco":
        cfg.val_evaluator.ann_file = str(root / "instances_validation.json")
    if kind == "list":
        cfg.merge_from_dict(
            {
                f"{loader}.dataset.{key}": value
                for loader, split in ((TRAIN, "train"), (VAL, "val"))
                for key, value in (("ann_file", f"{split}.txt"), ("data_prefix", ""))
            }
        )
    return cfg


def write(kind: str, root: Path) -> None:
    if kind in ("folder", "list"):
        write_image_folder(root, count=3)
        listed(root)
        if kind == "folder":
            for split in ("train", "val"):
                (root / f"{split}.txt").unlink()
    else:
        write_dense(root, counts=(3, 2))


LOADING = ("LoadImage", "LoadMask", "LoadAnnotations", "MapLabels")


def built(cfg: Config, loader: str) -> Any:
    """The data set of a loader, with what its pipeline loads."""
    dataset = copy.deepcopy(cfg[loader].dataset)
    dataset.pipeline = [step for step in dataset.pipeline if step.type in LOADING]
    if dataset.type != "IndexedImages":
        dataset.serialize_data = False  # which collects garbage for seconds, for few samples
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return DATASETS.build(dataset)


def same_samples(kind: str, root: Path, cfg: Config, codes: dict[int, int]) -> None:
    """What loading gives is what the reader reads."""
    for loader, split in ((TRAIN, "train"), (VAL, "val")):
        dataset = built(cfg, loader)
        if kind in ("folder", "list"):
            infos = [dataset.get_data_info(number) for number in range(len(dataset))]
            found = [(os.path.normpath(info["img_path"]), info["gt_label"]) for info in infos]
            if kind == "folder":
                assert len(found) == len(set(found))
                assert set(found) == reader.folder_samples(root / split)
            else:
                assert found == reader.list_samples(root / f"{split}.txt")
            continue
        full = "training" if split == "train" else "validation"
        samples = [dataset[number] for number in range(len(dataset))]
        if kind == "seg":
            expected = reader.masks(root, full, codes)
            assert len(samples) == len(expected)
            for sample in samples:
                pixels, labels = expected[os.path.basename(sample["img_path"])]
                np.testing.assert_array_equal(sample["gt_seg_map"], labels)
                assert np.abs(sample["img"][..., ::-1].astype(int) - pixels).max() <= 3
            continue
        classes = DENSE_CLASSES[1:]
        boxes = reader.objects(root / f"instances_{full}.json", classes)
        assert {os.path.basename(sample["img_path"]) for sample in samples} == set(boxes)
        for sample in samples:
            path = Path(sample["img_path"])
            found_boxes = [
                (classes[label], *box)
                for label, box in zip(
                    sample["gt_bboxes_labels"].tolist(),
                    sample["gt_bboxes"].tensor.tolist(),
                    strict=True,
                )
            ]
            assert sorted(found_boxes) == boxes[path.name]
            assert np.abs(sample["img"][..., ::-1].astype(int) - reader.stored(path)).max() <= 3
            for mask, box in zip(
                sample["gt_masks"].to_ndarray(), sample["gt_bboxes"].tensor.tolist(), strict=True
            ):
                rows, columns = np.nonzero(mask)
                x1, y1, x2, y2 = box
                corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                np.testing.assert_allclose(corners, [x1, y1, x2, y2], atol=1)


@dataclass(frozen=True)
class Case:
    """A set with its edits.

    Attributes:
        kind: of KINDS.
        root: the set's folder.
        cfg: a config on it.
        codes: of its masks.
        title: number and edits.
        guilty: what a refusal must match; None if the set is valid.
    """

    kind: str
    root: Path
    cfg: Config
    codes: dict[int, int]
    title: str
    guilty: str | None


def make_case(number: int, folder: Path) -> Case:
    random = np.random.default_rng(number)
    kind = list(KINDS)[number % len(KINDS)]
    root = folder / f"case {number}, ä"
    write(kind, root)
    good, bad = KINDS[kind]
    faulty = random.random() < 0.5
    codes: dict[int, int] = {}
    names = []
    for edit in random.choice(np.array(good, object), 1 if faulty else 2, replace=False):
        if faulty and edit in (edits.coded, edits.turned_as_stored, edits.turned):
            continue
        codes = edit(root, random) or codes
        names.append(edit.__name__)
    guilty = None
    if faulty:
        fault = bad[random.integers(len(bad))]
        guilty = fault(root, random)
        names.append(f"FAULT {fault.__name__}")
    cfg = config(kind, root, codes)
    return Case(kind, root, cfg, codes, f"{number} {' + '.join(names)}", guilty)


def run_case(number: int, folder: Path) -> tuple[str, str, str]:
    """One case: kind, what was done, and 'valid', 'valid but refused', 'refused' or worse."""
    case = make_case(number, folder)
    try:
        look_at_data(case.cfg, [TRAIN, VAL])
    except DataError as refusal:
        said = f"{case.title}: {refusal}"
        if case.guilty is None:
            return case.kind, said, "valid but refused"
        named = re.search(case.guilty, str(refusal)) and "\n" not in str(refusal)
        return case.kind, said, "refused" if named else "unnamed"
    if case.guilty is None:
        same_samples(case.kind, case.root, case.cfg, case.codes)
        return case.kind, case.title, "valid"
    return case.kind, f"{case.title} ({case.guilty})", "missed"


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> list[tuple[str, str, str]]:
    folder = tmp_path_factory.mktemp("fuzz")
    return [run_case(number, folder) for number in range(CASES)]


def test_enough_sets_are_valid_and_reach_the_model_as_they_are(cases):
    """Those that differed from the reader's have raised in the fixture."""
    assert not [case for case in cases if case[2] == "valid but refused"]
    counts = Counter(result for _, _, result in cases)
    assert counts["valid"] >= 0.4 * len(cases)
    for kind in KINDS:
        assert any(case[0] == kind and case[2] == "valid" for case in cases)


def test_faulty_sets_are_refused_by_name(cases):
    faulty = [case for case in cases if not case[2].startswith("valid")]
    missed = [case for case in faulty if case[2] != "refused"]
    assert len(missed) <= 0.05 * len(faulty), "\n".join(map(str, missed))
