"""Lay the table and some pictures of a quickstart's report out as one picture, for the README.

python docs/report_picture.py work_dirs/quickstart/report docs/images/report.png
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

SHOWN = ("pretraining", "reconstruction", "segmentation", "detection")  # of the first checkpoint
WIDTH, GAP, TITLE = 14.0, 0.15, 0.3  # inches


def lay_out(report: Path, out: Path) -> None:
    """The table and the curves above, the other pictures side by side below, as large as fits."""
    content = json.loads((report / "report.json").read_text())
    name = content["checkpoints"][0]["name"]
    drawn = {p["kind"]: p for p in content["pictures"] if p["checkpoint"] == name}
    shown = [(drawn[k]["caption"], plt.imread(report / drawn[k]["file"])) for k in SHOWN]
    (_, curves), *rest = shown
    aspects = [picture.shape[1] / picture.shape[0] for _, picture in rest]
    low = (WIDTH - GAP * (len(rest) - 1)) / sum(aspects)  # one height for all of them
    high = 0.55 * WIDTH * curves.shape[0] / curves.shape[1]
    top = max(high, 2.3) + TITLE
    figure = plt.figure(figsize=(WIDTH, low + TITLE + top), dpi=85, facecolor="white")

    def place(left: float, bottom: float, width: float, height: float) -> Axes:
        across, up = figure.get_size_inches()
        return figure.add_axes((left / across, bottom / up, width / across, height / up))

    _table(place(0, low + TITLE, 0.42 * WIDTH, top - TITLE), content)
    left, base = 0.45 * WIDTH, low + TITLE + (top - TITLE - high) / 2
    _picture(place(left, base, 0.55 * WIDTH, high), *shown[0])
    left = 0.0
    for (name, picture), aspect in zip(rest, aspects, strict=True):
        _picture(place(left, 0, aspect * low, low), name, picture)
        left += aspect * low + GAP
    figure.savefig(out, bbox_inches="tight", pad_inches=0.1)


def _picture(axes: Axes, name: str, picture: np.ndarray) -> None:
    axes.imshow(picture, aspect="auto", interpolation="lanczos")
    axes.set_title(name.partition(";")[0], fontsize=11, loc="left")
    axes.set_axis_off()


def _table(axes: Axes, content: dict) -> None:
    names = [checkpoint["name"] for checkpoint in content["checkpoints"]]
    rows = []
    for measure in content["measures"]:
        (pair,) = measure["pairs"]
        first, second = (100 * cell["figure"] for cell in measure["cells"])
        low, high = sorted(
            100 * end * (1 if pair["first"] == names[0] else -1) for end in pair["interval"]
        )
        gain = f"{first - second:+.1f} [{low:+.1f}, {high:+.1f}]"
        title = f"{measure['title']}, {measure['metric']}"
        rows.append([title, f"{first:.1f}", f"{second:.1f}", gain])
    axes.set_axis_off()
    axes.set_title(content["title"], fontsize=13, loc="left")
    table = axes.table(
        rows,
        colLabels=("measured by us", *names, "gain"),
        colWidths=(0.36, 0.15, 0.13, 0.36),
        loc="center",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(10)
    table.scale(1, 1.6)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]))
