"""Read a config and refuse what looks like a slip."""

import difflib
import inspect
import logging
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner

from .. import config_file
from ..errors import MaskSSLError

RUNNER_KEYS = frozenset([*inspect.signature(Runner.__init__).parameters, "sharding"]) - {
    "self",
    "cfg",
}

# read by mmengine's tools or ours from the config itself
_READ_FROM_CONFIG = frozenset(
    ["activation_checkpointing", "auto_scale_lr", "compile", "custom_imports"]
    + ["efficient_conv_bn_eval", "find_unused_parameters", "model_wrapper_cfg", "runner_type"]
    + ["strategy", "tta_model", "tta_pipeline"]
)
_SHOWN = 4  # places of a key


class ConfigError(MaskSSLError):
    """A config or an option on the command line cannot be meant as it stands."""


def load_config(path: str, options: Mapping[str, Any] | None = None) -> Config:
    """Read a config, refuse misspelt keys, and merge options into it.

    Args:
        path: a config file, or the name of a shipped one.
        options: dotted keys and values, as ``--cfg-options`` gives them.

    Raises:
        ConfigError: no such file, or a key that looks like a misspelt one or that nothing reads.
    """
    file = located_config(path)
    try:
        with warnings.catch_warnings():
            # Python hides these: a config of a former name says the new one
            warnings.filterwarnings("always", "The config file .* deprecated", DeprecationWarning)
            cfg = Config.fromfile(file)
    except (SyntaxError, OSError) as error:  # of the file, or of a base that it names
        raise ConfigError(
            f"{file} cannot be read as a config: {error}. CONFIG comes first, a .py file or the "
            "name of a shipped one"
        ) from error
    for key in cfg:
        _refuse_lookalike(key, key, RUNNER_KEYS)
    merge_options(cfg, options or {})
    return cfg


def merge_options(cfg: Config, options: Mapping[str, Any]) -> None:
    """Merge dotted keys and values, as ``--cfg-options`` gives them, into a config.

    Raises:
        ConfigError: a key that looks like a misspelt one, or that nothing reads; a dict in place
            of a value that is none, which needs ``_delete_=True``.
    """
    for option in options:
        _check_option(cfg, option)
    try:
        cfg.merge_from_dict(deepcopy(dict(options)))  # which takes _delete_ out of what it is given
    except TypeError as error:  # a dict in place of something else
        raise ConfigError(f"--cfg-options {', '.join(options)}: {error}") from error


def dicts_below(node: Any, without: Container[str] = ()) -> Iterator[dict[str, Any]]:
    """A node of a config and every dict below it, in lists too; keys may be left out with theirs.

    Its taker may change a dict: what is below is looked for when the next one is asked for.
    """
    if isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key not in without:
                yield from dicts_below(value, without)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from dicts_below(value, without)


def located_config(path: str) -> str:
    """A config file, or the shipped one of that name, with or without 'configs/' before it.

    Raises:
        ConfigError: neither is there.
    """
    if Path(path).is_file():
        return path
    try:
        return config_file(path.removeprefix("configs/"))
    except MaskSSLError as error:
        raise ConfigError(f"there is no config at {path}, and {error}") from None


def _refuse_lookalike(key: str, shown: str, known: Any) -> None:
    if key in known:
        return
    close = difflib.get_close_matches(key, [str(name) for name in known], n=1, cutoff=0.8)
    if close:
        raise ConfigError(f"the config key {shown!r} is unknown; did you mean {close[0]!r}?")


def _check_option(cfg: Config, option: str) -> None:
    """Follow a dotted key: its parents must exist, its last part must not be a slip."""
    node: Any = cfg.to_dict()
    parts = option.split(".")
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise ConfigError(
                    f"--cfg-options {option}: {part!r} is no index of a list of {len(node)}"
                )
            node = node[int(part)]
            continue
        if not isinstance(node, Mapping):
            raise ConfigError(
                f"--cfg-options {option}: {'.'.join(parts[:index])} is {node!r}, which has no "
                f"{part!r}"
            )
        if part not in node:
            _refuse_lookalike(part, option, RUNNER_KEYS | set(node) if index == 0 else set(node))
            if not last:
                raise ConfigError(
                    f"--cfg-options {option}: the config has no {'.'.join(parts[: index + 1])!r}; "
                    f"known there are {', '.join(map(str, node))}"
                )
            if index == 0 and part not in RUNNER_KEYS | _READ_FROM_CONFIG:
                _refuse_orphan(cfg, part)
            return
        node = node[part]


def _refuse_orphan(cfg: Config, key: str) -> None:
    """A new key at the top is a slip where the config has it further down; else a hook may ask."""
    found = list(_dotted(cfg.to_dict(), key))
    told = f"--cfg-options {key}: neither mmengine nor maskssl reads {key!r} at the top of a config"
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise ConfigError(f"{told}; the config has it at {', '.join(found[:_SHOWN])}{more}")
    print_log(f"{told}; it stays there for what does", logger="current", level=logging.WARNING)


def _dotted(node: Any, key: str, parents: tuple[str, ...] = ()) -> Iterator[str]:
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(node, Mapping):
        if key in node:
            yield ".".join((*parents, key))
        items = node.items()
    elif isinstance(node, list | tuple):
        items = enumerate(node)
    for name, value in items:
        yield from _dotted(value, key, (*parents, str(name)))
