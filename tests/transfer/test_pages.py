"""What reports are made of in the world: skipped steps, names in any encoding or like formulas."""

import json
import math
import os
from pathlib import Path

import pytest

from maskssl.transfer.pages import write_pages
from maskssl.transfer.run_views import add_run_views
from tests.transfer.logs import training, write_log
from tests.transfer.test_browser import report


def cell_of(told: dict) -> dict:
    return told["measures"][0]["cells"][0]


def test_skipped_steps_are_left_out_of_the_curves_and_counted(tmp_path: Path):
    """A step whose loss was not finite is logged as NaN, which is no JSON."""
    told = report() | dict(pictures=[])
    del cell_of(told)["curves"]
    name = cell_of(told)["checkpoint"]
    lines = [training(10, loss=3.0), training(20, loss=math.nan), training(30, loss=1.0)]
    write_log(tmp_path / "runs" / name / "knn" / "seed-0", "1", lines)
    add_run_views(told, tmp_path, tmp_path / "report")
    page = write_pages(told, tmp_path / "report")
    loaded = json.loads(page.with_name("report.json").read_text())
    assert cell_of(loaded)["curves"] == {"training loss": [[10, 3.0], [30, 1.0]]}
    assert "without 1 logged steps whose loss was not finite" in page.read_text()


def test_a_run_without_a_finite_loss_has_no_curve(tmp_path: Path):
    told = report() | dict(pictures=[])
    del cell_of(told)["curves"]
    folder = tmp_path / "runs" / cell_of(told)["checkpoint"] / "knn" / "seed-0"
    write_log(folder, "1", [training(10, loss=math.nan)])
    add_run_views(told, tmp_path, tmp_path / "report")
    assert write_pages(told, tmp_path / "report").is_file()
    assert "curves" not in cell_of(told)


@pytest.mark.parametrize(
    ("name", "shown"),
    [(os.fsdecode(b"zo\xe9"), r"zo\udce9"), ("a $x_$ b", "a $x_$ b")],
    ids=["Latin-1", "dollars"],
)
def test_class_names_are_shown_as_folders_have_them(name: str, shown: str, tmp_path: Path):
    told = report() | dict(pictures=[])
    told["classes"] = [name, *told["classes"][1:]]
    for cell in told["measures"][0]["cells"]:
        cell["per_class"] = dict.fromkeys(told["classes"], 0.5)
    page = write_pages(told, tmp_path)
    assert page.read_text("utf-8").count(shown) >= 1 + 2 * len(told["checkpoints"])
    assert shown in page.with_name("report.md").read_text("utf-8")
