"""A key that the class of its config entry does not take: named by its place."""

import difflib
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmengine import registry
from mmengine.config import Config
from mmengine.registry import Registry

from .config import ConfigError

_REFUSED = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
# handed over by what builds schedules and optimizers, not by a config
_HANDED = ("optimizer", "param_name", "params")


@contextmanager
def named_in(cfg: Config) -> Iterator[None]:
    """Turn Python's refusal of a key that stands in the config into a sentence about it.

    A class may be built as late as the first validation. What no entry of the config has is a
    defect, and keeps its traceback.

    Raises:
        ConfigError: names the entry, the key and the closest of those that its class takes.
    """
    before = cfg.to_dict()  # what is built may take keys out
    try:
        yield
    except TypeError as error:
        refused = _REFUSED.search(str(error))
        found = refused and _sentence(before, *refused.groups())
        if not found:
            raise
        raise ConfigError(found) from error


def _sentence(cfg: dict[str, Any], cls: str, key: str) -> str | None:
    entries = _entries_with(cfg, key, cfg.get("default_scope"))
    # the class that has the constructor may be one that it is made of
    places = [(at, kind) for at, kind in entries if cls in [one.__name__ for one in kind.__mro__]]
    if not places:
        return None
    kind = places[0][1]
    known = _taken_by(kind)
    close = difflib.get_close_matches(key, known, n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    where = " and ".join(f"{at}.{key}" for at, _ in places)
    return f"{where}: {kind.__name__} takes no {key!r}; {meant}It takes {', '.join(known)}"


def _entries_with(
    node: Any, key: str, scope: str | None, at: str = ""
) -> Iterator[tuple[str, type]]:
    """Place and class of each entry that has the key."""
    if isinstance(node, dict):
        if key in node and (kind := _class_of(node.get("type"), scope)):
            yield at, kind
        for name, value in node.items():
            yield from _entries_with(value, key, scope, f"{at}.{name}" if at else str(name))
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _entries_with(value, key, scope, f"{at}.{index}")


def _class_of(kind: Any, scope: str | None) -> type | None:
    """By its name in any of the registries."""
    if isinstance(kind, type):
        return kind
    if not isinstance(kind, str):
        return None
    for one in vars(registry).values():
        if isinstance(one, Registry):
            with one.switch_scope_and_registry(scope) as scoped:
                if isinstance(found := scoped.get(kind), type):
                    return found
    return None


def _taken_by(kind: type) -> list[str]:
    """Names of a class's arguments, those of its base classes too where it hands the rest on."""
    names: dict[str, None] = {}
    for cls in kind.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
        names |= {
            one.name: None
            for one in list(parameters)[1:]
            if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        }
        if all(one.kind != one.VAR_KEYWORD for one in parameters):
            break
    return [name for name in names if name not in _HANDED]
