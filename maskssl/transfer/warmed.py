"""Everything that a stage of any scope imports: the fork server imports this once for all jobs."""

from importlib import import_module
from importlib.util import find_spec

from ..cli import launch  # noqa: F401
from . import trained_jobs  # noqa: F401

ROOMS = ("datasets", "engine", "evaluation", "models", "structures", "visualization")

for _package in ("mmpretrain", "mmseg", "mmdet"):
    if find_spec(_package):  # a stage whose package is missing says so itself
        for _room in ROOMS:
            import_module(f"{_package}.{_room}")
