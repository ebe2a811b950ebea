"""``--cfg-options KEY=VALUE``: values are expressions, paths are what they are."""

import argparse
import ast
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction

PATH_KEYS = frozenset(
    ["data_root", "data_prefix", "ann_file", "index_file", "cache", "work_dir", "load_from"]
    + ["checkpoint", "out_dir", "save_dir", "test_out_dir", "img", "img_path", "seg_map_path"]
)
"""Last parts of keys whose values are paths."""


class ConfigOptions(DictAction):
    """mmengine's DictAction, save that a path stays as it is written.

    DictAction takes the spaces out of a value, makes a list of one with a comma and a number of
    one in digits, and strips quotes. Folders of photos are called ``My Photos, 2023``. A value
    of one of PATH_KEYS is therefore text; only None means none. And it cannot read dicts:
    ``dict(max_norm=1.0)`` and ``{...}`` are read as in a config.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add the options to those of earlier ``--cfg-options``."""
        for pair in values or ():
            key, equals, value = pair.partition("=")
            if not equals:
                parser.error(f"{option_string} {pair}: give KEY=VALUE, in quotes if it has spaces")
            if key.rsplit(".", 1)[-1] in PATH_KEYS:
                read = None if value == "None" else value
            elif value.lstrip().startswith(("dict(", "{")):
                try:
                    read = _literal(value)
                except (SyntaxError, ValueError):
                    parser.error(f"{option_string} {pair}: {value!r} is no dict of plain values")
            else:
                try:
                    super().__call__(parser, namespace, [pair], option_string)
                except (AssertionError, RecursionError):  # mmengine's, of brackets
                    parser.error(f"{option_string} {pair}: brackets in {value!r} do not match")
                continue
            options = dict(getattr(namespace, self.dest, None) or {})
            options[key] = read
            setattr(namespace, self.dest, options)


class _Displays(ast.NodeTransformer):
    """dict(a=1) as {'a': 1}."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        named = all(keyword.arg for keyword in node.keywords)
        if not (isinstance(node.func, ast.Name) and node.func.id == "dict" and named) or node.args:
            raise ValueError("a call")
        keys: list[ast.expr | None] = [ast.Constant(keyword.arg) for keyword in node.keywords]
        return ast.Dict(keys, [keyword.value for keyword in node.keywords])


def _literal(text: str) -> Any:
    """The value of a Python literal in which dict(…) may stand for {…}; nothing is run."""
    return ast.literal_eval(_Displays().visit(ast.parse(text.strip(), mode="eval")))
