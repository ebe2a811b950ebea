"""The report's curves as SVG text that takes the page's own text colour."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

INK = "#010203"  # stands for the page's text colour, light or dark
COLOURS = ("#3b82f6", "#f97316", "#22a06b", "#d946ef", "#eab308", "#06b6d4", "#ef4444", "#8b5cf6")
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "maskssl",
    "font.family": "sans-serif",
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
}
NO_LINKS = dict.fromkeys(("Creator", "Date", "Format", "Type"))
Curves = Mapping[str, Sequence[tuple[float, float]]]  # legend -> points


def report_plots(report: Mapping[str, Any]) -> dict[str, str]:
    """Caption -> SVG of what the report's tables of choices hold: held out training images."""
    plots = {}
    for measure in report["measures"]:
        cells = [cell for cell in measure["cells"] if len(cell["table"]) > 1]
        if measure["name"] in ("knn", "linear") and cells:
            caption = f"{measure['title']} by block and pooling, best setting of each"
            plots[caption] = draw({c["checkpoint"]: by_block(c["table"]) for c in cells}, "block")
        if measure["name"] == "knn" and cells:
            curves = {c["checkpoint"]: by_neighbours(c["table"]) for c in cells}
            plots["kNN by k, best block, pooling and temperature"] = draw(curves, "k", log=True)
    return plots


def by_block(table: Sequence[Mapping[str, Any]]) -> Curves:
    """Pooling -> (block, best accuracy)."""
    return _best(
        table, lambda s: s["feature"].split(".")[1], lambda s: int(s["feature"].split(".")[0])
    )


def by_neighbours(table: Sequence[Mapping[str, Any]]) -> Curves:
    """One curve: (k, best accuracy)."""
    return _best(table, lambda s: "", lambda s: s["k"])


def _best(table: Sequence[Mapping[str, Any]], curve: Any, place: Any) -> Curves:
    best: dict[str, dict[float, float]] = {}
    for row in table:
        points = best.setdefault(curve(row["setting"]), {})
        x = place(row["setting"])
        points[x] = max(points.get(x, 0.0), row["held_out"])
    return {name: sorted(points.items()) for name, points in best.items()}


def draw(models: Mapping[str, Curves], label_of_x: str, log: bool = False) -> str:
    """An SVG with a colour for each model and a line style for each of its curves.

    Args:
        models: name -> curves of shares.
        label_of_x: of the horizontal axis.
        log: draw that axis by powers.
    """
    styles = ("-", "--", ":", "-.")
    kinds = list(dict.fromkeys(kind for curves in models.values() for kind in curves))
    with rc_context(STYLE):
        figure = Figure(figsize=(6, 3.8), layout="constrained")
        axes = figure.subplots()
        for number, (name, curves) in enumerate(models.items()):
            # equal curves lie on each other; the ones below show at the rim
            width = 1.4 + 3 * (1 - (number + 1) / len(models))
            colour = COLOURS[number % len(COLOURS)]
            for kind, points in curves.items():
                x, y = zip(*points, strict=True)
                style = styles[kinds.index(kind) % len(styles)]
                look: dict[str, Any] = dict(
                    color=colour, linestyle=style, linewidth=width, marker="o", markersize=4
                )
                label = f"{name} {kind}".strip()
                axes.plot(x, [100 * value for value in y], label=label, **look)
        ticks = sorted({x for curves in models.values() for p in curves.values() for x, _ in p})
        axes.set(xlabel=label_of_x, ylabel="top-1 %, held out", xscale="log" if log else "linear")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.2, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        columns = min(4, len(models))
        figure.legend(loc="outside upper center", frameon=False, fontsize=8, ncols=columns)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata=NO_LINKS)
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")
