"""The tables as Markdown, made of the values of the JSON alone."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from ..transfer.tables import markdown_table, percent
from .parts import EVERY
from .settings import RANDOM

TITLES = {
    "frozen": "Frozen features",
    "trained": "Trained rows",
    "vit-small": "Frozen features of ViT-S",
    "length": "How long ExtreMA needs",
    "study": "What BYOL needs at this scale",
}
_TITLE_OF_RANDOM = "random weights"


def markdown(results: Mapping[str, Any]) -> str:
    """All tables of a part; a setting, a row or a set without a figure is in none."""
    held_out = results["part"] == "study"
    judged_on = "training images that were held out" if held_out else "test images"
    lines = [
        f"# {TITLES[results['part']]}",
        "",
        f"`{results['command']}` measures and writes these tables; every figure is on {judged_on}, "
        "mean ± standard deviation over seeds of the fit or the training, of one pretraining. "
        "Bold: above random weights, or a difference that is told from none, beyond the draw of "
        "those images and under every seed (paired bootstrap, 5 %, Holm's correction).",
    ]
    for one in results["sets"].values():
        lines += ["", f"## {one['title']}", "", _about(one, held_out), "", *_figures(one)]
        if compared := _differences(one):
            lines += ["", *compared]
    if results["pretrainings"]:
        lines += ["", "## The pretrainings", "", *_pretrainings(results["pretrainings"])]
    return "\n".join(lines) + "\n"


def _about(one: Mapping[str, Any], held_out: bool) -> str:
    tested = "held-out" if held_out else "test"
    counts = list(one["data"].values())
    return (
        f"{counts[0]['images']:,} training and {counts[1]['images']:,} {tested} images of "
        f"{counts[0]['classes']} classes. {one['date']}, {one['machine']}, {_minutes(one)} of "
        f"fits, trainings and tests, one after the other; seeds {one['seeds']}, preset "
        f"{one['preset']}, {one['versions']}."
    )


def _figures(one: Mapping[str, Any]) -> list[str]:
    rows = one["rows"]
    names = [name for name in title_order() if any(name in row["cells"] for row in rows)]
    header = ["weights", *(f"{row['title']}, {row['metric']} %" for row in rows)]
    body = [[title_of(name), *(_cell(row, name) for row in rows)] for name in names]
    return markdown_table(header, body, figures=True)


def _cell(row: Mapping[str, Any], name: str) -> str:
    if name not in row["cells"]:
        return ""
    cell = row["cells"][name]
    spread = "" if cell["sd"] is None else f" ± {percent(cell['sd'])}"
    found = pair_of(row, name, RANDOM)
    bold = "**" if found and found["told_apart"] else ""
    return f"{bold}{percent(cell['figure'])}{spread}{bold}"


def _differences(one: Mapping[str, Any]) -> list[str]:
    """What the settings are meant to be compared with, but for random weights."""
    body = []
    for name, setting in EVERY.items():
        for other in setting.against:
            cells = [_difference(row, name, other) for row in one["rows"]]
            if other != RANDOM and any(cells):
                body.append([f"{title_of(name)} − {title_of(other)}", *cells])
    header = ["difference", *(f"{row['title']}, {row['metric']}" for row in one["rows"])]
    return markdown_table(header, body, figures=True) if body else []


def _difference(row: Mapping[str, Any], name: str, other: str) -> str:
    forth, back = pair_of(row, name, other), pair_of(row, other, name)
    told = [pair for pair in (forth, back) if pair and pair["told_apart"]]
    pair, sign = (forth, 1) if forth else (back, -1)
    if pair is None:
        return ""
    low, high = sorted(sign * end for end in pair["interval"])
    words = f"{percent(sign * pair['difference'], '+')} [{percent(low, '+')}, {percent(high, '+')}]"
    return f"**{words}**" if told else words


def pair_of(row: Mapping[str, Any], first: str, second: str) -> Mapping[str, Any] | None:
    """The comparison of two weights in this order."""
    found = (pair for pair in row["pairs"] if (pair["first"], pair["second"]) == (first, second))
    return next(found, None)


def _pretrainings(pretrainings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    header = [
        "setting",
        "config",
        "pictures",
        "passes",
        "batch",
        "minutes at the median pace",
        "loss, and at which steps",
    ]
    body = [
        [
            one["title"],
            f"`{one['config']}`",
            one["pictures"].split(",")[0],
            str(one["passes"]),
            str(one["batch_size"]),
            f"{one['seconds'] / 60:.1f}",
            _ends(one["curves"]),
        ]
        for one in pretrainings.values()
    ]
    return markdown_table(header, body, figures=True)


def _ends(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    shown = {
        key.removeprefix("loss_"): (points[0], points[-1])
        for key, points in curves.items()
        if key.startswith("loss_") or (key == "loss" and len(curves) == 1)
    }
    told = [f"{key} {first[1]:.3g} to {last[1]:.3g}" for key, (first, last) in shown.items()]
    steps = {(first[0], last[0]) for first, last in shown.values()}
    return ", ".join(told) + "".join(f" ({first:,} to {last:,})" for first, last in sorted(steps))


def title_order() -> list[str]:
    """Names of all weights in the order of the tables."""
    return [RANDOM, *EVERY]


def title_of(name: str) -> str:
    """What tables call weights."""
    return _TITLE_OF_RANDOM if name == RANDOM else EVERY[name].title


def _minutes(one: Mapping[str, Any]) -> str:
    return f"{one['seconds'] / 60:.0f} minutes"


def yardstick_markdown(found: Mapping[str, Any]) -> str:
    """Ours beside other code, training by training, and the difference."""
    rows = list(found["figures"])
    runs = {code: [n for n in found["told"] if n.startswith(code)] for code in ("theirs", "ours")}
    values = {
        code: [[found["figures"][row][name] for name in names] for row in rows]
        for code, names in runs.items()
    }
    values["ours − theirs"] = [
        [a - b for a, b in zip(*both, strict=True)]
        for both in zip(values["ours"], values["theirs"], strict=True)
    ]
    body = [["random weights", "", "", *(percent(found["figures"][r]["random"]) for r in rows)]]
    for name in (*runs["theirs"], *runs["ours"]):
        told, figures = found["told"][name], [found["figures"][row][name] for row in rows]
        minutes = f"{told['seconds'] / 60:.1f}"
        body.append([name, minutes, f"{told['images']:,}", *map(percent, figures)])
    for code, some in values.items():
        sign = "+" if code not in runs else ""
        cells = [f"**{percent(mean(one), sign)} ± {percent(stdev(one))}**" for one in some]
        body.append([f"{code}, mean ± sd", "", "", *cells])
    header = ["weights", "minutes", "pictures seen", *(f"{row}, top-1 %" for row in rows)]
    return "\n".join(
        [
            "# BootMAE beside other code",
            "",
            f"`{found['command']}` trains both with the same model on the same pictures for the "
            f"same minutes, {found['lanes']}, and measures both by the same probes on test images. "
            f"{found['date']}, {found['machine']}, {found['versions']}.",
            "",
            *markdown_table(header, body, figures=True),
            "",
        ]
    )
