"""``--cfg-options KEY=VALUE``: values are expressions, paths are what they are."""

import argparse
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
    of one of PATH_KEYS is therefore text; only None means none.
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
            if key.rsplit(".", 1)[-1] not in PATH_KEYS:
                super().__call__(parser, namespace, [pair], option_string)
                continue
            options = dict(getattr(namespace, self.dest, None) or {})
            options[key] = None if value == "None" else value
            setattr(namespace, self.dest, options)
