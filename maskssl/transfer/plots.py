"""The report's plots as SVG text that takes the page's own text colour."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..visualization.words import printable

INK = "#010203"  # stands for the page's text colour, light or dark
COLOURS = ("#3b82f6", "#f97316", "#22a06b", "#d946ef", "#eab308", "#06b6d4", "#ef4444", "#8b5cf6")
MARKS = "os^DvPX*<>"
HELD_OUT = " (held out training images)"
SHARE = "top-1 %, held out"
FEW = 16  # places on an axis that are marked one by one
MATRIX = 30  # classes of a confusion that is drawn
LINES = 30  # classes that are shown one by one
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


def choice_plots(report: Mapping[str, Any]) -> dict[str, str]:
    """Caption -> SVG of the tables of choices: accuracies on held out training images."""
    plots = {}
    for measure in report["measures"]:
        cells = [cell for cell in measure["cells"] if len(cell["table"]) > 1]
        if measure["name"] in ("knn", "linear") and cells:
            caption = f"{measure['title']} by block and pooling, best setting of each{HELD_OUT}"
            curves = {cell["checkpoint"]: by_block(cell["table"]) for cell in cells}
            plots[caption] = draw(curves, "block", SHARE)
        if measure["name"] == "knn" and cells:
            curves = {cell["checkpoint"]: by_neighbours(cell["table"]) for cell in cells}
            caption = f"kNN by k, best block, pooling and temperature{HELD_OUT}"
            plots[caption] = draw(curves, "k", SHARE, log=True)
    return plots


def result_plots(report: Mapping[str, Any]) -> dict[str, str]:
    """Caption -> SVG of the scores on test images: their cost, their classes, how they were learnt.

    Of a cell's optional entries ``per_class`` (class -> share) and ``curves`` (name -> [step,
    value]) are drawn where there are some.
    """
    plots = {}
    if points := costs(report):
        caption = "Cost beside accuracy: seconds of choosing and scoring, the stage that computes "
        plots[f"{caption}the features with them"] = draw_points(points)
    for measure in report["measures"]:
        shares = {c["checkpoint"]: c["per_class"] for c in measure["cells"] if c.get("per_class")}
        if shares:
            plots[f"{measure['title']}, class by class"] = draw_classes(shares)
        logs = {c["checkpoint"]: c["curves"] for c in measure["cells"] if c.get("curves")}
        for name in dict.fromkeys(name for curves in logs.values() for name in curves):
            curves = {model: {"": own[name]} for model, own in logs.items() if name in own}
            plots[f"{measure['title']}: {name} while it learns"] = draw(curves, "step", name, 1)
    for checkpoint, counts in report.get("confusion", {}).items():
        if len(report["classes"]) <= MATRIX:
            caption = f"Confusion of {checkpoint} by kNN, of each true class in %"
            plots[caption] = draw_confusion(counts, report["classes"])
    return plots


def costs(report: Mapping[str, Any]) -> list[tuple[str, str, float, float]]:
    """(checkpoint, measure, seconds, figure) of every cell that took some."""
    found = []
    for measure in report["measures"]:
        for cell in measure["cells"]:
            job = f"{cell['checkpoint']} {measure['stage']}"
            seconds = sum(
                spent
                for what, spent in report["seconds"].items()
                if f"{what.partition(' ')[2]} ".startswith(f"{job} ")
            )
            if seconds:
                found.append((cell["checkpoint"], measure["title"], seconds, cell["figure"]))
    return found


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


def draw(
    models: Mapping[str, Curves],
    label_of_x: str,
    label_of_y: str,
    scale: float = 100,
    log: bool = False,
) -> str:
    """An SVG with a colour for each model and a line style for each of its curves.

    Args:
        models: name -> curves.
        label_of_x: of the horizontal axis.
        label_of_y: of the vertical axis.
        scale: what values are multiplied by.
        log: draw the horizontal axis by powers.
    """
    styles = ("-", "--", ":", "-.")
    kinds = list(dict.fromkeys(kind for curves in models.values() for kind in curves))
    with drawing() as drawn:
        axes = drawn.axes
        for number, (name, curves) in enumerate(models.items()):
            # equal curves lie on each other; the ones below show at the rim
            width = 1.4 + 3 * (1 - (number + 1) / len(models))
            colour = COLOURS[number % len(COLOURS)]
            for kind, points in curves.items():
                x, y = zip(*points, strict=True)
                look: dict[str, Any] = dict(color=colour, linewidth=width)
                if len(x) <= FEW:
                    look |= dict(marker="o", markersize=4)
                look["linestyle"] = styles[kinds.index(kind) % len(styles)]
                label = f"{name} {kind}".strip()
                axes.plot(x, [scale * value for value in y], label=label, **look)
        axes.set(xlabel=label_of_x, ylabel=label_of_y, xscale="log" if log else "linear")
        ticks = sorted({x for curves in models.values() for p in curves.values() for x, _ in p})
        if len(ticks) <= FEW:
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
    return drawn.svg


def draw_points(points: Sequence[tuple[str, str, float, float]]) -> str:
    """An SVG of (model, measure, seconds, share): a colour a model, a mark a measure."""
    models = list(dict.fromkeys(model for model, *_ in points))
    measures = list(dict.fromkeys(measure for _, measure, *_ in points))
    with drawing() as drawn:
        for model, measure, seconds, share in points:
            look: dict[str, Any] = dict(linestyle="", markersize=7)
            look["color"] = COLOURS[models.index(model) % len(COLOURS)]
            look["marker"] = MARKS[measures.index(measure) % len(MARKS)]
            drawn.axes.plot(seconds, 100 * share, **look)
        for number, model in enumerate(models):
            drawn.axes.plot([], [], "s", color=COLOURS[number % len(COLOURS)], label=model)
        for number, measure in enumerate(measures):
            mark = MARKS[number % len(MARKS)]
            drawn.axes.plot([], [], mark, color="none", markeredgecolor=INK, label=measure)
        drawn.axes.set(xlabel="seconds", ylabel="% of the test images", xscale="log")
    return drawn.svg


def draw_classes(models: Mapping[str, Mapping[str, float | None]]) -> str:
    """An SVG with a line for each class and a dot for each model, the lowest classes of many."""
    means: dict[str, float] = {}
    for name in dict.fromkeys(name for shares in models.values() for name in shares):
        known = [share for own in models.values() if (share := own.get(name)) is not None]
        if known:
            means[name] = sum(known) / len(known)
    names = sorted(means, key=lambda name: means[name])[:LINES]
    with drawing(height=1.2 + 0.24 * len(names)) as drawn:
        for number, (model, shares) in enumerate(models.items()):
            there = [at for at, own in enumerate(names) if shares.get(own) is not None]
            look: dict[str, Any] = dict(color=COLOURS[number % len(COLOURS)], label=model)
            look["markersize"] = 5 + 4 * (1 - (number + 1) / len(models))  # equal ones show
            drawn.axes.plot([100 * (shares[names[at]] or 0) for at in there], there, "o", **look)
        drawn.axes.set_yticks(range(len(names)), **_named(names))
        few = (
            f"; the {len(names)} lowest of {len(means)} classes" if len(means) > len(names) else ""
        )
        drawn.axes.set(xlabel=f"%{few}", xlim=(-3, 103))
    return drawn.svg


def draw_confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> str:
    """An SVG of [true, said, count]: true classes are rows, in shares of each row."""
    totals = [sum(count for true, _, count in counts if true == row) for row in range(len(classes))]
    side = 0.42 * len(classes)
    with drawing(width=max(4.0, side + 2), height=max(3.2, side + 1.6), grid=False) as drawn:
        for true, said, count in counts:
            share = count / totals[true]
            colour = COLOURS[0] if true == said else COLOURS[6]
            drawn.axes.add_patch(
                Rectangle((said - 0.5, true - 0.5), 1, 1, color=colour, alpha=share)
            )
            if share >= 0.01:
                look: dict[str, Any] = dict(ha="center", va="center", fontsize=8, color=INK)
                drawn.axes.text(said, true, f"{100 * share:.0f}", **look)
        ticks = range(len(classes))
        drawn.axes.set_xticks(ticks, rotation=90, fontsize=8, **_named(classes))
        drawn.axes.set_yticks(ticks, fontsize=8, **_named(classes))
        ends = -0.5, len(classes) - 0.5
        drawn.axes.set(xlabel="said", ylabel="true", xlim=ends, ylim=ends[::-1])
    return drawn.svg


def _named(names: Sequence[str]) -> dict[str, Any]:
    """Settings of ticks with names as folders have them: in any encoding, dollars no formula."""
    return dict(labels=[printable(name) for name in names], parse_math=False)


@dataclass
class Drawing:
    """Axes to draw on, and the SVG when the block is left."""

    axes: Axes
    svg: str = ""


@contextmanager
def drawing(width: float = 6, height: float = 3.8, grid: bool = True) -> Iterator[Drawing]:
    """Axes of a plot without background, whose ink is the page's; a legend of what has a label."""
    with rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        drawn = Drawing(figure.subplots())
        yield drawn
        if grid:
            drawn.axes.grid(alpha=0.2, color=INK)
        drawn.axes.spines[["top", "right"]].set_visible(False)
        handles, _ = drawn.axes.get_legend_handles_labels()
        if handles:
            look: dict[str, Any] = dict(loc="outside upper center", frameon=False, fontsize=8)
            figure.legend(**look, ncols=min(3, len(handles)))
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata=NO_LINKS)
    found = text.getvalue()
    drawn.svg = found[found.index("<svg") :].replace(INK, "currentColor")
