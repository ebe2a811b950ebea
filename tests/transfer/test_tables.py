"""Tables and plots of a report whose values are written by hand."""

import numpy as np
import pytest

from maskssl.transfer import plots
from maskssl.transfer.plots import by_block, by_neighbours
from maskssl.transfer.tables import tables_of
from tests.transfer.test_browser import report


def test_every_column_holds_what_its_header_says():
    told = report()
    measure = told["measures"][0]
    measure["cells"] = measure["cells"][:2]
    told["checkpoints"] = told["checkpoints"][:2]
    change = dict(before=0.5, now=0.4, difference=-0.1, interval=[-0.2, -0.05], p=0.01)
    told["against"] = [dict(change, measure="kNN", checkpoint="a", changed=True)]
    told["confusion"] = {"a": [[0, 1, 7], [2, 3, 9], [1, 1, 50]]}
    tables = {heading: rows for heading, (_, rows) in tables_of(told).items()}
    (pair,) = tables["Differences between checkpoints"]
    assert pair[1:3] == ["checkpoint-0 − checkpoint-1", "+10.0\n[+0.0, +20.0]"]
    assert pair[4:] == ["3 : 2", "0.1", "+10.0, +10.0", "yes"]
    (row,) = tables["Against the earlier report"]
    assert row[2:5] == ["50.0", "40.0", "-10.0\n[-20.0, -5.0]"]
    assert tables["What the choice on the test set was worth"][0][2:5] == ["50.0", "60.0", "+10.0"]
    names = told["classes"]
    assert tables["Most frequent mistakes"] == [
        [names[2], names[3], "9"],
        [names[0], names[1], "7"],
    ]
    assert tables["On the test images"][0][1].startswith("50.0 ± 1.0\n[40.0, 60.0] rank 1")
    assert tables["Checkpoints"][0][3:5] == ["86.0", "35.20"]


def test_curves_of_choices_are_the_best_of_each_place():
    found = (("1.mean", 1, 0.2), ("1.mean", 5, 0.4), ("2.mean", 1, 0.3), ("2.cls", 5, 0.1))
    table = [dict(setting=dict(feature=name, k=k), held_out=share) for name, k, share in found]
    assert by_block(table) == {"mean": [(1, 0.4), (2, 0.3)], "cls": [(2, 0.1)]}
    assert by_neighbours(table) == {"": [(1, 0.3), (5, 0.4)]}


@pytest.fixture
def axes(monkeypatch) -> list:
    """Of all that is drawn."""
    seen, drawing = [], plots.drawing

    class Kept:
        def __init__(self, **settings):
            self.inner = drawing(**settings)

        def __enter__(self):
            drawn = self.inner.__enter__()
            seen.append(drawn.axes)
            return drawn

        def __exit__(self, *error):
            return self.inner.__exit__(*error)

    monkeypatch.setattr(plots, "drawing", Kept)
    return seen


def test_plots_are_in_percent_and_true_classes_are_rows(axes):
    plots.draw({"a": {"": [(1, 0.5)]}}, "k", "%")
    plots.draw_points([("a", "kNN", 3.0, 0.5)])
    plots.draw_classes({"a": {str(n): n / 100 for n in range(40)}})
    plots.draw_confusion([[0, 1, 3], [0, 0, 1], [1, 1, 4]], ["x", "y"])
    line, points, classes, confusion = axes
    assert np.asarray(line.lines[0].get_xydata()).tolist() == [[1, 50]]
    assert np.asarray(points.lines[0].get_xydata()).tolist() == [[3, 50]]
    assert classes.get_yticklabels()[0].get_text() == "0"  # the lowest of many
    (patch, *_), (text, *_) = confusion.patches, confusion.texts
    assert patch.get_xy() == (0.5, -0.5)  # said 1, true 0
    assert (text.get_position(), text.get_text()) == ((1, 0), "75")
