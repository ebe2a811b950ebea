"""Figures from outcomes per image, on cases worked out by hand, and AP against pycocotools."""

import contextlib
import io

import numpy as np
import pytest

from maskssl.evaluation import metrics
from maskssl.evaluation.metrics import (
    METRICS,
    THRESHOLDS,
    TRUTH,
    average_precision,
    compare,
    mean_iou,
)


def once(outcomes: np.ndarray) -> np.ndarray:
    return np.ones((1, len(outcomes)))


def test_mean_iou_by_hand():
    """Class 0: (6 + 1) of (8 + 4) pixels; class 1: (2 + 0) of (4 + 3); class 2 is nowhere."""
    areas = np.array([[[6, 2, 0], [8, 4, 0]], [[1, 0, 0], [4, 3, 0]]])
    expected = (7 / 12 + 2 / 7) / 2
    assert mean_iou(areas, once(areas)) == pytest.approx(expected)
    drawn = np.array([[2.0, 0], [0, 2], [1, 1]])
    found = mean_iou(areas, drawn)
    assert found == pytest.approx([(6 / 8 + 2 / 4) / 2, (1 / 4 + 0) / 2, expected])


def entry(category: int, score: float, right: int = THRESHOLDS) -> list[float]:
    """A detection that meets an object at the first thresholds alone."""
    return [category, score, *[1.0] * right, *[0.0] * (THRESHOLDS - right)]


FILL = entry(-1, 0)


def test_average_precision_by_hand():
    """Three objects; of four detections, surest first, right, wrong, right, wrong.

    Precision is 1 up to recall 1/3, 2/3 up to recall 2/3, and 0 beyond: of the 101 recalls 34 lie
    up to 1/3 and 33 more up to 2/3.
    """
    first = [entry(0, 0.9), entry(0, 0.6), entry(0, TRUTH), entry(0, TRUTH)]
    second = [entry(0, 0.7, right=0), entry(0, 0.5, right=0), entry(0, TRUTH), FILL]
    entries = np.array([first, second])
    expected = (34 * 1 + 33 * 2 / 3) / 101
    assert average_precision(entries, once(entries)) == pytest.approx(expected)
    # without the second image both detections are right, and both objects found
    assert average_precision(entries, np.array([[1.0, 0], [3.0, 0]])) == pytest.approx([1, 1])
    entries[0, 0, 2 + 4 :] = 0  # the surest is right at 4 of the 10 thresholds alone
    strict = (34 * 1 / 3) / 101  # wrong, wrong, right: 1/3 up to recall 1/3
    found = average_precision(entries, once(entries))
    assert found == pytest.approx(0.4 * expected + 0.6 * strict)
    entries[1, 0, 2:] = np.nan  # what meets an ignored object is as if it were not there
    assert average_precision(entries, once(entries)) > found


def test_categories_without_objects_do_not_count():
    image = [entry(0, 0.9), entry(0, TRUTH), entry(1, 0.8, right=0)]
    assert average_precision(np.array([image]), np.ones((1, 1))) == pytest.approx(1)
    image[2] = entry(1, TRUTH)
    assert average_precision(np.array([image]), np.ones((1, 1))) == pytest.approx(0.5)


def test_a_draw_without_a_category_is_that_of_the_others():
    first, second = [entry(0, 0.9), entry(0, TRUTH)], [entry(1, 0.8), entry(1, TRUTH)]
    drawn = np.array([[2.0, 0], [0, 2], [1, 1]])
    found = average_precision(np.array([first, second]), drawn)
    assert found == pytest.approx([1, 1, 1])


def test_models_are_compared_on_the_same_images():
    generator = np.random.default_rng(0)
    union = generator.integers(20, 40, (1, 60, 1, 4))
    good, bad = (np.concatenate([union * share // 4, union], axis=2) for share in (3, 1))
    figures, (tie, *_) = compare({"good": good, "copy": good}, METRICS["mIoU"])
    assert figures.shape == (5000, 2) and (tie.difference, tie.p, tie.told_apart) == (0, 1, False)
    assert tie.only_first is tie.p_mcnemar is None
    _, (pair,) = compare({"bad": bad, "good": good}, METRICS["mIoU"])
    assert (pair.first, pair.told_apart) == ("good", True)
    assert pair.difference == pytest.approx(0.5, abs=0.02)
    assert pair.interval[0] < pair.difference < pair.interval[1]


def test_many_models_can_be_told_apart():
    """The smallest p of 500 resamples, corrected for the pairs of six models, would be 0.06."""

    def detections(right: int) -> np.ndarray:
        images = [[entry(0, 0.9, THRESHOLDS * (n < right)), entry(0, TRUTH)] for n in range(60)]
        return np.array([images])

    outcomes = {f"{right}": detections(right) for right in (0, 12, 24, 36, 48, 60)}
    figures, pairs = compare(outcomes, METRICS["box AP"])
    assert all(pair.told_apart for pair in pairs)
    assert len(figures) == 80 * 15
    pair = dict(list(outcomes.items())[:2])
    assert len(compare(pair, METRICS["box AP"])[0]) == 500
    assert len(compare(pair, METRICS["box AP"], comparisons=10)[0]) == 800
    models = {f"{n}": np.array([[0] * (20 * n) + [1] * (500 - 20 * n)]) for n in range(23)}
    assert all(pair.told_apart for pair in compare(models, METRICS["top-1"])[1])


def test_average_precision_of_many_draws_is_that_of_each(monkeypatch):
    """They are taken some at a time, as memory allows."""
    generator = np.random.default_rng(2)
    images = [
        [entry(n % 2, generator.random(), generator.integers(0, 11)), entry(n % 2, TRUTH)]
        for n in range(20)
    ]
    counts = generator.integers(0, 3, (7, 20)).astype(float)
    expected = average_precision(np.array(images), counts)
    monkeypatch.setattr(metrics, "_CELLS", 3 * 40)  # three draws of 40 entries
    np.testing.assert_array_equal(average_precision(np.array(images), counts), expected)
    assert len(expected) == 7


def test_an_object_of_the_id_0_is_met_too():
    """pycocotools notes the id of what a detection meets, and 0 for nothing."""
    coco = pytest.importorskip("pycocotools.coco")
    from maskssl.evaluation.matches import coco_entries

    boxes = [[10.0 * place, 0.0, 8.0, 8.0] for place in range(8)]
    shared = dict(image_id=5, category_id=1)
    truth = coco.COCO()
    truth.dataset = dict(
        images=[dict(id=5, width=100, height=100)],
        annotations=[
            dict(shared, id=number, bbox=box, area=64.0, iscrowd=0)
            for number, box in enumerate(boxes)
        ],
        categories=[dict(id=1, name="one")],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    found = [dict(shared, bbox=box, score=0.9) for box in boxes]
    entries = coco_entries(truth, found, [5], "bbox")
    assert average_precision(entries, once(entries)) == pytest.approx(1)
    assert [one["id"] for one in truth.dataset["annotations"]] == list(range(8))


def test_average_precision_is_that_of_pycocotools():
    """Random boxes of three categories in 30 images, crowds among them."""
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    from maskssl.evaluation.matches import coco_entries

    generator = np.random.default_rng(1)
    objects, found = [], []
    for image in range(30):
        for _ in range(generator.integers(0, 6)):
            box = [*generator.integers(0, 60, 2), *generator.integers(10, 40, 2)]
            box = [float(side) for side in box]
            category = int(generator.integers(1, 4))
            crowd = int(generator.random() < 0.1)
            one = dict(image_id=image, category_id=category, bbox=box)
            objects.append(one | dict(id=len(objects) + 1, area=box[2] * box[3], iscrowd=crowd))
            if generator.random() < 0.8:
                moved = [side + float(generator.normal(0, 3)) for side in box]
                found.append(one | dict(bbox=moved, score=float(generator.random())))
        for _ in range(3):
            box = [*generator.integers(0, 60, 2), *generator.integers(10, 40, 2)]
            one = dict(image_id=image, category_id=int(generator.integers(1, 4)))
            found.append(one | dict(bbox=[float(s) for s in box], score=generator.random()))
    truth = coco.COCO()
    truth.dataset = dict(
        images=[dict(id=image, width=100, height=100) for image in range(30)],
        annotations=objects,
        categories=[dict(id=number, name=str(number)) for number in (3, 1, 2)],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    entries = coco_entries(truth, found, list(range(30)), "bbox")
    assert 0.05 < evaluation.stats[0] < 0.9
    assert average_precision(entries, once(entries)) == pytest.approx(evaluation.stats[0])
    true = entries[(entries[..., 1] == TRUTH) & (entries[..., 0] >= 0)][:, 0].astype(int)
    own = [[3, 1, 2].index(one["category_id"]) for one in objects if not one["iscrowd"]]
    assert np.bincount(true).tolist() == np.bincount(own).tolist()  # in the order of the file


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_a_detector_that_finds_nothing_misses_every_object(kind, count):
    """In one image; in the other there is nothing to find."""
    coco = pytest.importorskip("pycocotools.coco")
    from maskssl.evaluation.matches import coco_entries

    truth = coco.COCO()
    shared = dict(image_id=3, category_id=1, area=64.0, iscrowd=0, bbox=[0.0, 0.0, 8.0, 8.0])
    shared["segmentation"] = [[0, 0, 8, 0, 8, 8, 0, 8]]
    truth.dataset = dict(
        images=[dict(id=image, width=100, height=100) for image in (3, 4)],
        annotations=[dict(shared, id=number + 1) for number in range(count)],
        categories=[dict(id=1, name="one")],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    entries = coco_entries(truth, [], [4, 3], kind)
    assert entries.shape[0] == 2 and entries.shape[2] == 2 + THRESHOLDS
    assert (entries[0, :, 0] == -1).all() and (entries[1, :, 1] == TRUTH).sum() == max(1, count)
    assert average_precision(entries, np.ones((1, 2))).tolist() == [0.0]
