"""A transfer report: table and pictures in a folder, the table in the terminal too."""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass
class Row:
    """One figure of the table.

    Attributes:
        name: what was measured.
        pretrained: from the pretrained weights.
        random: from random initialisation.
    """

    name: str
    pretrained: float
    random: float

    @property
    def gain(self) -> float:
        """Pretrained minus random."""
        return self.pretrained - self.random


@dataclass
class Report:
    """What a report shows.

    Attributes:
        title: first line.
        facts: name -> value: data, model, seed, machine, commands.
        rows: the table.
        pictures: caption -> file in the report's folder.
        seconds: job -> seconds it took.
    """

    title: str
    facts: Mapping[str, str]
    rows: Sequence[Row]
    pictures: dict[str, str] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


def print_table(report: Report, console: Console | None = None) -> None:
    """Show the table in the terminal."""
    table = Table(title=report.title)
    table.add_column("measured by us")
    for column in ("pretrained", "random", "gain"):
        table.add_column(column, justify="right")
    for row in report.rows:
        table.add_row(row.name, f"{row.pretrained:.1f}", f"{row.random:.1f}", f"{row.gain:+.1f}")
    (console or Console()).print(table)


def write_report(report: Report, folder: str | Path) -> Path:
    """Write report.json, report.md and index.html.

    Args:
        folder: holds the pictures already.

    Returns:
        Path of index.html.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    content = dict(
        title=report.title,
        facts=dict(report.facts),
        rows=[vars(row) | dict(gain=row.gain) for row in report.rows],
        pictures=report.pictures,
        seconds=dict(report.seconds),
    )
    (folder / "report.json").write_text(json.dumps(content, indent=2))
    (folder / "report.md").write_text(_markdown(report))
    page = folder / "index.html"
    page.write_text(_html(report))
    return page


def _markdown(report: Report) -> str:
    lines = [f"# {report.title}", ""]
    lines += [f"- {name}: {value}" for name, value in report.facts.items()]
    lines += ["", "| measured by us | pretrained | random | gain |"]
    lines += ["|---|---:|---:|---:|"]
    lines += [
        f"| {row.name} | {row.pretrained:.1f} | {row.random:.1f} | {row.gain:+.1f} |"
        for row in report.rows
    ]
    for caption, file in report.pictures.items():
        lines += ["", f"![{caption}]({file})", "", f"*{caption}*"]
    lines += ["", "| job | seconds |", "|---|---:|"]
    lines += [f"| {name} | {seconds:.0f} |" for name, seconds in report.seconds.items()]
    return "\n".join(lines) + "\n"


_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#222}table{border-collapse:collapse;margin:1rem 0}td,th{padding:.3rem .8rem;border-bottom:
1px solid #ddd;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}
img{max-width:100%}figure{margin:2rem 0}figcaption{color:#666}.up{color:#176b2c}.down{color:#a11}"""


def _html(report: Report) -> str:
    def cell(value: str, kind: str = "") -> str:
        return f'<td class="{kind}">{html.escape(value)}</td>'

    rows = "".join(
        f"<tr>{cell(row.name)}{cell(f'{row.pretrained:.1f}', 'n')}{cell(f'{row.random:.1f}', 'n')}"
        f"{cell(f'{row.gain:+.1f}', 'n up' if row.gain > 0 else 'n down')}</tr>"
        for row in report.rows
    )
    facts = "".join(f"<tr>{cell(name)}{cell(value)}</tr>" for name, value in report.facts.items())
    figures = "".join(
        f'<figure><img src="{html.escape(file)}" alt="{html.escape(caption)}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, file in report.pictures.items()
    )
    seconds = "".join(
        f"<tr>{cell(name)}{cell(f'{value:.0f}', 'n')}</tr>"
        for name, value in report.seconds.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(report.title)}'
        f"</title><style>{_STYLE}</style><h1>{html.escape(report.title)}</h1><table><tr><th>"
        "measured by us<th>pretrained<th>random<th>gain</tr>"
        f"{rows}</table>{figures}<h2>Facts</h2><table>{facts}</table><h2>Seconds</h2><table>"
        f"{seconds}</table></html>\n"
    )
