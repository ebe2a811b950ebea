"""How the checks look at the machine, so that tests can hand in another one."""

import importlib
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib import metadata
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
    """

    versions: Mapping[str, str] = field(default_factory=installed_versions)
    load: Callable[[str], Any] = importlib.import_module
    python: tuple[int, ...] = sys.version_info[:3]
    cores: int = field(default_factory=usable_cores)
    flags: Collection[str] = field(default_factory=cpu_flags)

    def failure(self, module: str) -> str:
        """Why a module cannot be imported, in one line; empty if it can."""
        try:
            self.load(module)
        except Exception as error:  # noqa: BLE001  a broken build can raise anything
            return one_line(error)
        return ""
