"""How the checks look at the machine, so that tests can hand in another one."""

import importlib
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "warn", "refused", "absent"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: what was looked at.
        status: 'ok'; 'warn': works with a drawback, or a dense stage will not run;
            'absent': not there, and not needed for pretraining, probing and kNN;
            'refused': these will not work, or not reliably.
        detail: what was found.
        remedy: what to do, one line; empty where there is nothing to do.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def installed_versions() -> dict[str, str]:
    """Version of every installed distribution, by its normalised name."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # a half-removed distribution has none
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return found


def findable(module: str) -> bool:
    """Whether a module's file is there, its parents' too; none of them is imported."""
    places: Sequence[str] | None = None
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        spec = _found(".".join(parts[:depth]), places)
        if spec is None:
            return False
        places = spec.submodule_search_locations
    return True


def _found(name: str, places: Sequence[str] | None) -> ModuleSpec | None:
    """As the import system looks for a module, below the folders of its parent."""
    specs = (finder.find_spec(name, places) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)


def gpu_files(folder: str = "/dev") -> int:
    """NVIDIA GPUs that the system's driver shows."""
    return sum(bool(re.fullmatch(r"nvidia\d+", path.name)) for path in Path(folder).glob("nvidia*"))


def cpu_flags(path: str = "/proc/cpuinfo") -> frozenset[str]:
    """Instruction sets of the first processor; empty where the system does not tell."""
    if not Path(path).is_file():
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", Path(path).read_text(), re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()


def usable_cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_line(error: BaseException) -> str:
    """Kind and first line of an error."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


@dataclass(frozen=True)
class Machine:
    """What is asked of the machine.

    Attributes:
        versions: version by normalised distribution name.
        load: imports a module by name, raising what the import raises.
        python: version of the interpreter.
        cores: processor cores that may be used.
        flags: instruction sets of the processor.
        deep: import what is looked at, and compute with torch; else look for files alone.
        find: whether a module's file is there.
        gpus: that the driver shows.
    """

    versions: Mapping[str, str] = field(default_factory=installed_versions)
    load: Callable[[str], Any] = importlib.import_module
    python: tuple[int, ...] = sys.version_info[:3]
    cores: int = field(default_factory=usable_cores)
    flags: Collection[str] = field(default_factory=cpu_flags)
    deep: bool = False
    find: Callable[[str], bool] = findable
    gpus: int = field(default_factory=gpu_files)

    def failure(self, module: str) -> str:
        """Why a module cannot be imported, in one line; empty if it can, or seems so."""
        if not self.deep:
            return "" if self.find(module) else f"there is no module {module}"
        try:
            self.load(module)
        except Exception as error:  # noqa: BLE001  a broken build can raise anything
            return one_line(error)
        return ""

    def praise(self, module: str) -> str:
        """What is known of a module without failure."""
        return f"import {module} works" if self.deep else f"{module} is there"
