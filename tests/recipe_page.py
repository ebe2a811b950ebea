"""Render the table of published values as a page: ``python -m tests.recipe_page`` writes it."""

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it


ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "tests" / "data" / "recipes.toml"
PAGE = ROOT / "docs" / "recipe-values.md"
OWN = ("config", "like", "source")
HEAD = """# Values of the recipes

Every value of every recipe, with its source. `python -m tests.recipe_page` writes this page from
`tests/data/recipes.toml`, with which `tests/test_recipes.py` compares what the configs build. A
recipe that repeats another one shows only what differs. "ours" marks what no source publishes.
Learning rates are those of the head.
"""


def page(text: str) -> str:
    """The page for the text of recipes.toml."""
    table = tomllib.loads(text)
    lines = [HEAD, "| source | where |", "|---|---|"]
    lines += [f"| {name} | {where} |" for name, where in table["sources"].items()]
    for recipe in table["recipe"]:
        lines += ["", f"## {recipe['config'].removesuffix('.py')}", ""]
        if "like" in recipe:
            lines += [f"As `{recipe['like']}`, but for:", ""]
        lines += ["| what | value | source |", "|---|---|---|"]
        for group, values in recipe.items():
            if group not in OWN:
                lines += _rows(group, values, recipe["source"])
    return "\n".join(lines) + "\n"


def _rows(group: str, values: Any, source: str) -> list[str]:
    if not isinstance(values, dict):
        return [f"| {group} | {_shown(values)} | {source} |"]
    source = values.get("source", source)
    return [
        f"| {group}: {key} | {_shown(value)} | {source} |"
        for key, value in values.items()
        if key != "source"
    ]


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(
            f"{item[0]}: {_shown(item[1])}" if isinstance(item, list) and len(item) == 2
            else _shown(item)
            for item in value
        )  # fmt: skip
    if isinstance(value, dict):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return f"{value:g}" if isinstance(value, float) else str(value).replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(TABLE.read_text()))
