"""A report beside an earlier one, from outcomes that are written by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from maskssl.errors import MaskSSLError
from maskssl.transfer.against import compare_reports, read_report


def ranks(*right: int, count: int = 400) -> np.ndarray:
    """(1, S, N): of each fit the first so many images are right."""
    return np.array([[[int(image >= most) for image in range(count)] for most in right]])


def write(out: Path, outcomes: dict[str, np.ndarray]) -> dict:
    for name, own in outcomes.items():
        file = out / "outcomes" / name / "knn.npy"
        file.parent.mkdir(parents=True)
        np.save(file, own)
    cells = [dict(checkpoint=name) for name in outcomes]
    told = dict(
        measures=[dict(name="knn", title="kNN", metric="top-1", test="t", cells=cells)],
    )
    (out / "report").mkdir()
    (out / "report" / "report.json").write_text(json.dumps(told))
    return told


def test_a_loss_is_negative_and_rows_are_corrected_together(tmp_path):
    write(tmp_path / "old", dict(a=ranks(200, 200), b=ranks(200, 200), c=ranks(200, 204)))
    now = dict(a=ranks(100, 100), b=ranks(200, 193), c=ranks(212, 203))
    told = write(tmp_path / "new", now)
    found = compare_reports(told, tmp_path / "new", tmp_path / "old/report/report.json")
    rows = {row["checkpoint"]: row for row in found}
    one = rows["a"]
    assert (one["before"], one["now"], one["difference"], one["changed"]) == (0.5, 0.25, -0.25, 1)
    assert one["interval"][0] < -0.25 < one["interval"][1] < 0
    assert one["p"] == pytest.approx(3 * 2 / 5001)
    assert not rows["c"]["changed"]  # one seed lost


def test_a_report_without_its_outcomes_is_refused_before_any_work(tmp_path):
    write(tmp_path / "old", dict(a=ranks(200), b=ranks(100)))
    path = tmp_path / "old" / "report" / "report.json"
    assert len(read_report(path)["measures"]) == 1
    (tmp_path / "old" / "outcomes" / "b" / "knn.npy").unlink()
    with pytest.raises(MaskSSLError, match=r"b/knn.npy is not there, and 1 of the 2 files"):
        read_report(path)
