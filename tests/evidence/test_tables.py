"""The tables, of results written by hand."""

import copy
import json
from pathlib import Path

import pytest

from maskssl.evidence.tables import markdown, percent

RESULTS_FOLDER = Path(__file__).parents[2] / "docs" / "results"
CELL = dict(seeds=[0.4, 0.5], interval=[0.4, 0.5], setting={})


def pair(first: str, second: str, difference: float, told_apart: bool) -> dict:
    return dict(
        first=first,
        second=second,
        difference=difference,
        interval=[difference - 0.02, difference + 0.03],
        p_holm=0.01,
        told_apart=told_apart,
    )


RESULTS = dict(
    version=1,
    part="frozen",
    command="maskssl evidence frozen --data-root DATA",
    pretrainings={
        "bootmae": dict(
            title="BootMAE",
            config="pretrain/a.py",
            pictures="25000 of tiny_imagenet, abc",
            passes=3,
            batch_size=32,
            seconds=690,
            curves=dict(loss=[[1, 3.0]], loss_pixel=[[1, 1.5], [9, 0.75]], spread_teacher=[[1, 2]]),
        ),
        "mae": dict(
            title="MAE of mmpretrain",
            config="pretrain/b.py",
            pictures="25000 of tiny_imagenet, abc",
            passes=5,
            batch_size=32,
            seconds=600,
            curves=dict(loss=[[1, 1.25], [9, 0.5]]),
        ),
    },
    sets=dict(
        cifar10=dict(
            title="CIFAR-10",
            data=dict(train=dict(images=10000, classes=10), test=dict(images=2000, classes=10)),
            machine="2 CPU cores",
            date="2026-11-27",
            seconds=120,
            seeds="0, 1, 2",
            preset="evidence",
            versions="maskssl 1",
            rows=[
                dict(
                    name="knn",
                    title="kNN",
                    metric="top-1",
                    cells={
                        "random": dict(figure=0.3, sd=None, **CELL),
                        "bootmae": dict(figure=0.456, sd=0.0123, **CELL),
                        "mae": dict(figure=0.31, sd=0.002, **CELL),
                    },
                    pairs=[
                        pair("bootmae", "random", 0.156, True),
                        pair("mae", "random", 0.01, False),
                        pair("bootmae", "mae", 0.146, True),
                    ],
                ),
                dict(
                    name="linear",
                    title="linear probe",
                    metric="top-1",
                    cells={"random": dict(figure=0.5, sd=0.01, **CELL)},
                    pairs=[],
                ),
            ],
        )
    ),
)


def rows(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def test_figures_spread_and_what_is_beyond_doubt():
    text = markdown(RESULTS)
    found = rows(text)
    assert ["weights", "kNN, top-1 %", "linear probe, top-1 %"] in found
    assert ["random weights", "30.0", "50.0 ± 1.0"] in found
    assert ["BootMAE", "**45.6 ± 1.2**", ""] in found
    assert ["MAE of mmpretrain", "31.0 ± 0.2", ""] in found
    assert "10,000 training and 2,000 test images of 10 classes" in text
    for word in ("2026-11-27", "2 CPU cores", "2 minutes", "maskssl evidence frozen"):
        assert word in text


def test_differences_stand_in_the_order_of_the_settings_either_way_round():
    (row,) = [row for row in rows(markdown(RESULTS)) if "−" in row[0]]
    assert row == ["MAE of mmpretrain − BootMAE", "**-14.6 [-17.6, -12.6]**", ""]


def test_nothing_is_no_loss():
    assert [percent(share, "+") for share in (-1e-5, 1e-5, -0.012)] == ["+0.0", "+0.0", "-1.2"]


def test_what_was_not_measured_is_in_no_table():
    text = markdown(RESULTS)
    for word in ("ExtreMA", "uniform", "CamVid", "clothing"):
        assert word not in text
    without = copy.deepcopy(RESULTS) | dict(sets={})
    assert "weights |" not in markdown(without) and "CIFAR-10" not in markdown(without)


def test_the_pretrainings_stand_with_length_time_and_loss():
    found = rows(markdown(RESULTS))
    assert [
        "BootMAE", "`pretrain/a.py`", "25000 of tiny_imagenet", "3", "32", "11.5",
        "pixel 1.5 to 0.75 (1 to 9)",
    ] in found  # fmt: skip
    (mae,) = [row for row in found if "`pretrain/b.py`" in row]
    assert mae[-1] == "loss 1.25 to 0.5 (1 to 9)"


@pytest.mark.parametrize("told_apart", [True, False])
def test_a_loss_to_random_weights_is_never_bold(told_apart):
    results = copy.deepcopy(RESULTS)
    worse = [pair("random", "mae", 0.1, told_apart)]  # as reports have it, the better one first
    results["sets"]["cifar10"]["rows"][0]["pairs"] = worse
    assert ["MAE of mmpretrain", "31.0 ± 0.2", ""] in rows(markdown(results))


def test_the_study_says_that_its_pictures_were_held_out():
    text = markdown(RESULTS | dict(part="study"))
    assert "figure is on training images that were held out" in text
    assert "2,000 held-out images" in text and "test images" not in text
    assert "2,000 test images" in markdown(RESULTS)


@pytest.mark.parametrize("part", ["frozen", "study"])
def test_the_shipped_tables_are_made_of_the_values_beside_them(part):
    file = RESULTS_FOLDER / f"evidence-{part}.json"
    assert file.with_suffix(".md").read_text() == markdown(json.loads(file.read_text()))
