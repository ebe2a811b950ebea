"""Lay a quickstart's report out as one picture, for the README.

python docs/report_picture.py work_dirs/quickstart/report docs/images/report.png
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

COLUMNS = ("measured by us", "pretrained", "random", "gain")


WIDTH, GAP, TITLE = 14.0, 0.15, 0.3  # inches


def lay_out(report: Path, out: Path) -> None:
    """The table and the curves above, the other pictures side by side below, as large as fits."""
    content = json.loads((report / "report.json").read_text())
    shown = [(name, plt.imread(report / file)) for name, file in content["pictures"].items()]
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
    axes.set_title(name.partition(" after ")[0], fontsize=11, loc="left")
    axes.set_axis_off()


def _table(axes: Axes, content: dict) -> None:
    rows = [
        [row["name"], f"{row['pretrained']:.1f}", f"{row['random']:.1f}", f"{row['gain']:+.1f}"]
        for row in content["rows"]
    ]
    axes.set_axis_off()
    axes.set_title(content["title"], fontsize=13, loc="left")
    table = axes.table(
        rows,
        colLabels=COLUMNS,
        colWidths=(0.46, 0.18, 0.18, 0.18),
        loc="center",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(11)
    table.scale(1, 1.6)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]))
