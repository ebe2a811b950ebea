"""Lay a quickstart's report out as one picture, for the README.

python docs/report_picture.py work_dirs/quickstart/report docs/images/report.png
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLUMNS = ("measured by us", "pretrained", "random", "gain")


def lay_out(report: Path, out: Path) -> None:
    """The table on the left, the report's pictures around it."""
    content = json.loads((report / "report.json").read_text())
    pictures = list(content["pictures"].items())[:4]
    figure = plt.figure(figsize=(11, 6.4), dpi=110, facecolor="white")
    grid = figure.add_gridspec(2, 6, height_ratios=(1, 1.15), hspace=0.22, wspace=0.3)
    places = [grid[0, 3:], grid[1, 0:2], grid[1, 2:4], grid[1, 4:]]
    _table(figure.add_subplot(grid[0, :3]), content)
    for place, (caption, file) in zip(places, pictures, strict=False):
        axes = figure.add_subplot(place)
        axes.imshow(plt.imread(report / file))
        axes.set_title(caption, fontsize=9, loc="left")
        axes.set_axis_off()
    figure.savefig(out, bbox_inches="tight", pad_inches=0.1)


def _table(axes: Axes, content: dict) -> None:
    rows = [
        [row["name"], f"{row['pretrained']:.1f}", f"{row['random']:.1f}", f"{row['gain']:+.1f}"]
        for row in content["rows"]
    ]
    axes.set_axis_off()
    axes.set_title(content["title"], fontsize=11, loc="left")
    table = axes.table(
        rows,
        colLabels=COLUMNS,
        colWidths=(0.46, 0.18, 0.18, 0.18),
        loc="center",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(9)
    table.scale(1, 1.5)


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]), Path(sys.argv[2]))
