"""The report as a page and as Markdown, made of the values of its JSON alone."""

import base64
import html
import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..visualization.words import printable
from .plots import choice_plots, result_plots
from .tables import MAIN, Table, markdown_table, tables_of

_STYLE = """:root{color-scheme:light dark;--line:#8884}
body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:1.5rem auto;padding:0 1rem;
color:#1c1c1e;background:#fff}
.wide{overflow-x:auto}table{border-collapse:collapse;margin:.5rem 0 1.5rem}
td,th{padding:.3rem .7rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td{font-variant-numeric:tabular-nums}.n{white-space:nowrap}small{opacity:.7}
h1,p,figcaption{overflow-wrap:anywhere}
summary{cursor:pointer;font-size:1.2rem;font-weight:600;margin:1rem 0}
svg{width:100%;height:auto;max-width:44rem}
img{display:block;max-width:100%;min-width:min(32rem,180%);height:auto}
figure{margin:1.5rem 0}figcaption{opacity:.7}pre{overflow-x:auto;font-size:.8rem;
border:1px solid var(--line);border-radius:6px;padding:.6rem}
.bad{border-left:4px solid #d33;padding-left:.8rem}
@media(prefers-color-scheme:dark){body{color:#e8e8ea;background:#161618}}"""


def write_pages(report: Mapping[str, Any], folder: str | Path) -> Path:
    """Write report.json, report.md and index.html, which needs no other file.

    Args:
        report: as ``summarise`` gives it, with or without ``draw_galleries``.
        folder: to write to; it holds the pictures already.

    Returns:
        Path of index.html.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=1, allow_nan=False))
    (folder / "report.md").write_text(markdown(report))
    page = folder / "index.html"
    pictures = {p["file"]: (folder / p["file"]).read_bytes() for p in report.get("pictures", [])}
    page.write_text(html_page(report, pictures))
    return page


def markdown(report: Mapping[str, Any]) -> str:
    """The report as Markdown, without plots; its pictures are files beside it."""
    lines = [f"# {report['title']}", "", *(f"- **failed**: {f}" for f in _failures(report))]
    for heading, (header, rows) in tables_of(report).items():
        lines += ["", f"## {heading}", "", *markdown_table(header, rows)]
    for heading, pictures in _by_checkpoint(report).items():
        lines += ["", f"## {heading}"]
        for picture in pictures:
            lines += ["", f"![{picture['alt']}]({picture['file']})", "", f"*{picture['caption']}*"]
    lines += ["", "## Commands", "", "```", report["command"], *_commands(report), "```"]
    for checkpoint in report["checkpoints"]:
        lines += ["", f"### {checkpoint['name']}", "", "```", checkpoint["ledger_text"], "```"]
    return printable("\n".join(lines) + "\n")


def html_page(report: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """One file: light and dark, as wide as a phone, nothing fetched.

    Args:
        report: as ``summarise`` gives it, with or without ``draw_galleries``.
        pictures: file -> its bytes.
    """
    parts = [f"<h1>{html.escape(report['title'])}</h1>"]
    parts += [f'<p class="bad">{html.escape(failure)}</p>' for failure in _failures(report)]
    tables = {heading: _html_table(table) for heading, table in tables_of(report).items()}
    parts.append(f"<h2>{MAIN}</h2>{tables.pop(MAIN)}")
    for heading, plots in (
        ("Blocks, poolings, neighbours", choice_plots(report)),
        ("Cost, classes, curves", result_plots(report)),
    ):
        if plots:
            shown = "".join(_figure(svg, caption) for caption, svg in plots.items())
            parts.append(_folded(heading, shown, is_open=True))
    for heading, own in _by_checkpoint(report).items():
        drawn = [_html_picture(picture, pictures[picture["file"]]) for picture in own]
        parts.append(_folded(heading, "".join(drawn)))
    parts += [_folded(heading, table) for heading, table in tables.items()]
    commands = html.escape("\n".join([report["command"], *_commands(report)]))
    parts.append(_folded("Commands of the report and of each cell", f"<pre>{commands}</pre>"))
    ledgers = [f"<pre>{html.escape(c['ledger_text'])}</pre>" for c in report["checkpoints"]]
    parts.append(_folded("What was loaded", "".join(ledgers)))
    return printable(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width,initial-scale=1"><title>{html.escape(report["title"])}</title>'
        f"<style>{_STYLE}</style>{''.join(parts)}</html>\n"
    )


def _by_checkpoint(report: Mapping[str, Any]) -> dict[str, list[Mapping[str, str]]]:
    """Heading -> pictures of a checkpoint."""
    found: dict[str, list[Mapping[str, str]]] = {}
    for picture in report.get("pictures", []):
        found.setdefault(f"Pictures of {picture['checkpoint']}", []).append(picture)
    return found


def _figure(content: str, caption: str) -> str:
    words = f"<figcaption>{html.escape(caption)}</figcaption>"
    return f'<figure><div class="wide">{content}</div>{words}</figure>'


def _html_picture(picture: Mapping[str, str], content: bytes) -> str:
    kind, _ = mimetypes.guess_type(picture["file"])
    data = base64.b64encode(content).decode("ascii")
    image = f'<img alt="{html.escape(picture["alt"])}" src="data:{kind};base64,{data}">'
    return _figure(image, picture["caption"])


def _failures(report: Mapping[str, Any]) -> list[str]:
    return [f"{what}: {reason}" for what, reason in report["failed"].items()]


def _commands(report: Mapping[str, Any]) -> list[str]:
    return [cell["command"] for measure in report["measures"] for cell in measure["cells"]]


def _folded(heading: str, content: str, is_open: bool = False) -> str:
    kind = " open" if is_open else ""
    return f"<details{kind}><summary>{html.escape(heading)}</summary>{content}</details>"


def _html_table(table: Table) -> str:
    header, rows = table
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'


def _html_cell(cell: str) -> str:
    first, _, second = cell.partition("\n")
    small = f"<br><small>{html.escape(second)}</small>" if second else ""
    kind = ' class="n"' if len(cell) < 50 else ""
    return f"<td{kind}>{html.escape(first)}{small}</td>"
