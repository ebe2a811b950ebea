"""What of a measurement is kept: ends of curves, days, machines, links to the right pictures."""

import os
from pathlib import Path

import pytest
from PIL import Image

from maskssl.evidence import results
from maskssl.evidence.results import _thinned, _when, date_of
from maskssl.evidence.sets import hold_out


@pytest.mark.parametrize("count", [1, 2, 12, 13, 25, 100, 2342])
def test_a_thinned_curve_keeps_both_ends(count):
    kept = _thinned([(step, float(step)) for step in range(count)])
    steps = [step for step, _ in kept]
    assert (steps[0], steps[-1], len(steps)) == (0, count - 1, min(12, count))
    assert steps == sorted(set(steps)) and all(step == value for step, value in kept)


def test_no_curve_is_none():
    assert _thinned([]) == []


def test_the_day_is_that_of_the_newest_file(tmp_path):
    for number, at in enumerate((0, 1_000_000_000)):
        file = tmp_path / str(number)
        file.touch()
        os.utime(file, (at, at))
    assert date_of(tmp_path.iterdir()) == "2001-09-09"


def test_a_table_written_again_elsewhere_keeps_its_machine(tmp_path, monkeypatch):
    file = tmp_path / "outcome.npy"
    file.touch()
    monkeypatch.setattr(results, "machine", lambda: "this one")
    measured = dict(machine="that one", date=date_of([file]))
    assert _when(measured, [file]) == measured
    assert _when(None, [file])["machine"] == "this one"
    assert _when(dict(measured, date="2001-09-09"), [file])["machine"] == "this one"


def test_held_out_links_follow_the_data(tmp_path):
    for root, colour in (("one", 10), ("other", 200)):
        for number in range(3):
            path = tmp_path / root / "cat" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (2, 2), colour).save(path)
    for root in ("one", "other", "one"):
        folder = hold_out(tmp_path / root, 1, tmp_path / "held_out")
        (link,) = folder.rglob("val/cat/*.png")
        assert Path(os.path.realpath(link)) == (tmp_path / root / "cat" / "2.png").resolve()
    before = link.lstat().st_ino
    assert hold_out(tmp_path / "one", 1, tmp_path / "held_out") and link.lstat().st_ino == before
