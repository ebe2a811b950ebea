"""Logs written by hand, as mmengine's LoggerHook writes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def training(iteration: int, **values: Any) -> dict[str, Any]:
    """A line of training."""
    return dict(iter=iteration, step=iteration, time=0.5, data_time=0.1, **values)


def write_log(work_dir: Path, stamp: str, lines: Sequence[Mapping[str, Any]], end="\n") -> Path:
    """WORK_DIR/STAMP/vis_data/scalars.json; returns the work dir."""
    file = work_dir / stamp / "vis_data" / "scalars.json"
    file.parent.mkdir(parents=True)
    file.write_text("\n".join(json.dumps(line) for line in lines) + end)
    return work_dir
