"""The report's tables, made of the values of its JSON alone."""

from collections.abc import Mapping, Sequence
from typing import Any

Table = tuple[list[str], list[list[str]]]  # header, rows

MAIN = "On the test images"
_SHOWN = 10  # mistakes of the table


def tables_of(report: Mapping[str, Any]) -> dict[str, Table]:
    """Heading -> table, in the order of the page; without those that have nothing to say.

    A second line in a cell is what stands smaller.
    """
    tables = {
        MAIN: _main_table(report),
        "Most frequent mistakes": _mistake_table(report),
        "Against the earlier report": _against_table(report),
        "Differences between checkpoints": _pair_table(report),
        "Settings chosen on training images": _setting_table(report),
        "What the choice on the test set was worth": _published_table(report),
        "Checkpoints": _checkpoint_table(report),
        "Facts": (["", ""], [[name, value] for name, value in _facts(report).items()]),
        "Seconds": (["job", "s"], [[job, f"{s:.1f}"] for job, s in report["seconds"].items()]),
    }
    return {heading: table for heading, table in tables.items() if table[1]}


def markdown_table(
    header: Sequence[str], body: Sequence[Sequence[str]], figures: bool = False
) -> list[str]:
    """Lines of a Markdown table.

    Args:
        header: of the columns.
        body: cells, row by row; a second line in one follows the first.
        figures: all columns but the first stand to the right.
    """
    rule = ["---", *["---:" if figures else "---"] * (len(header) - 1)]
    cells = [[c.replace("|", "\\|").replace("\n", " ") for c in row] for row in body]
    return [f"| {' | '.join(row)} |" for row in (header, rule, *cells)]


def percent(share: float | None, sign: str = "") -> str:
    """0.123 -> '12.3'."""
    if share is None:
        return "–"
    return f"{round(100 * share, 1) + 0.0:{sign}.1f}"  # -0.0 is 0


def _main_table(report: Mapping[str, Any]) -> Table:
    names = [checkpoint["name"] for checkpoint in report["checkpoints"]]
    rows = []
    for measure in report["measures"]:
        cells = {cell["checkpoint"]: cell for cell in measure["cells"]}
        row = [_cell(cells[name]) if name in cells else "failed" for name in names]
        rows.append(
            [f"{measure['title']}, {measure['metric']}", *row, percent(measure["detectable"])]
        )
    return ["measured by us", *names, "smallest difference shown"], rows


def _cell(cell: Mapping[str, Any]) -> str:
    spread = "" if cell["sd"] is None else f" ± {percent(cell['sd'])}"
    low, high = cell["interval"]
    small = [f"[{percent(low)}, {percent(high)}] rank {cell['rank']}"]
    small += [
        f"{percent(one['figure'])} published ({one['what']}, {one['where']})"
        for one in cell["reported"]
    ]
    return f"{percent(cell['figure'])}{spread}\n{', '.join(small)}"


def _pair_table(report: Mapping[str, Any]) -> Table:
    rows = [
        [
            measure["title"],
            f"{pair['first']} − {pair['second']}",
            f"{percent(pair['difference'], '+')}\n{_signed(pair['interval'])}",
            f"{pair['p_holm']:.3g}",
            *_mcnemar(pair),
            ", ".join(percent(difference, "+") for difference in pair["by_seed"]),
            "yes" if pair["told_apart"] else "no",
        ]
        for measure in report["measures"]
        for pair in measure["pairs"]
    ]
    header = ["measure", "pair", "difference", "p (Holm)", "one alone right"]
    return [*header, "p (McNemar)", "by seed", "told apart"], rows


def _mcnemar(pair: Mapping[str, Any]) -> tuple[str, str]:
    """Images that one alone has right, and p; of figures that are no mean of right and wrong, –."""
    if pair["p_mcnemar"] is None:
        return "–", "–"
    return f"{pair['only_first']} : {pair['only_second']}", f"{pair['p_mcnemar']:.3g}"


def _against_table(report: Mapping[str, Any]) -> Table:
    rows = [
        [
            row["measure"],
            row["checkpoint"],
            percent(row["before"]),
            percent(row["now"]),
            f"{percent(row['difference'], '+')}\n{_signed(row['interval'])}",
            f"{row['p']:.3g}",
            "yes" if row["changed"] else "no",
        ]
        for row in report.get("against", [])
    ]
    return ["measure", "checkpoint", "before", "now", "change", "p (Holm)", "beyond noise"], rows


def _setting_table(report: Mapping[str, Any]) -> Table:
    rows = [
        [measure["title"], cell["checkpoint"], _words(cell["setting"]), percent(cell["held_out"])]
        for measure in report["measures"]
        for cell in measure["cells"]
    ]
    return ["measure", "checkpoint", "setting", "held out"], rows


def _published_table(report: Mapping[str, Any]) -> Table:
    rows = [
        [
            measure["title"],
            cell["checkpoint"],
            percent(cell["figure"]),
            percent(cell["published"]["figure"]),
            percent(cell["published"]["worth"], "+"),
            _words(cell["published"]["setting"]),
        ]
        for measure in report["measures"]
        for cell in measure["cells"]
        if cell["published"] and len(cell["table"]) > 1
    ]
    header = ["measure", "checkpoint", "chosen on training images", "best on the test images"]
    return [*header, "worth", "by"], rows


def _mistake_table(report: Mapping[str, Any]) -> Table:
    """The same mistakes of all checkpoints beside each other, the most frequent first."""
    counts: dict[tuple[int, int], dict[str, int]] = {}
    for name, rows in report.get("confusion", {}).items():
        for true, said, count in rows:
            if true != said:
                counts.setdefault((true, said), {})[name] = count
    most = sorted(counts, key=lambda pair: -sum(counts[pair].values()))[:_SHOWN]
    names = list(report.get("confusion", {}))
    classes = report.get("classes", [])
    rows = [
        [classes[true], classes[said], *(str(counts[true, said].get(n, 0)) for n in names)]
        for true, said in most
    ]
    return ["true class", "taken for, by kNN", *(f"{name}: images" for name in names)], rows


def _checkpoint_table(report: Mapping[str, Any]) -> Table:
    rows = [
        [c["name"], c["given"], c["architecture"], *_cost(c.get("cost")), c["weights"]]
        for c in report["checkpoints"]
    ]
    header = ["name", "file", "encoder", "million weights", "10^9 operations an image"]
    return [*header, "SHA-256"], rows


def _cost(cost: Mapping[str, float] | None) -> tuple[str, str]:
    return (f"{cost['parameters'] / 1e6:.1f}", f"{cost['gflops']:.2f}") if cost else ("–", "–")


def _facts(report: Mapping[str, Any]) -> dict[str, str]:
    data = {
        kind: f"{d['images']:,} images of {d['classes']} classes, {d['folder']}, content "
        f"{d['sha256'] or 'not read'}"
        for kind, d in report["data"].items()
    }
    return {**data, **report["facts"]}


def _signed(interval: Sequence[float]) -> str:
    return f"[{percent(interval[0], '+')}, {percent(interval[1], '+')}]"


def _words(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in setting.items())
