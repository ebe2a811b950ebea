"""Small runs of shipped configs inside the test process."""

import os
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from maskssl import config_file
from maskssl.cli.config import load_config
from maskssl.cli.launch import build_runner, set_pretrained

TINY_ARCH = dict(embed_dims=32, num_layers=6, num_heads=2)


def small_config(
    name: str,
    scenes: Path,
    work_dir: Path,
    pretrained: str | None = None,
    options: dict[str, Any] | None = None,
) -> Config:
    """A shipped config on a handful of scenes, without loader processes."""
    folder = dict(seg="seg", det="det").get(name.split("/")[0], "imagefolder")
    cfg = load_config(config_file(name), options)
    cfg.work_dir = str(work_dir)
    for key in ("train_dataloader", "val_dataloader", "test_dataloader"):
        if key in cfg:
            cfg[key].update(num_workers=0, persistent_workers=False)
            cfg[key].dataset.data_root = str(scenes / folder)
    for key in ("val_evaluator", "test_evaluator"):
        if key in cfg and "ann_file" in cfg[key]:
            cfg[key].ann_file = str(scenes / folder / "instances_val.json")
    if pretrained:
        set_pretrained(cfg, pretrained)
    return cfg


def runner_for(cfg: Config) -> Runner:
    """A runner as the tools build it."""
    cfg.experiment_name = f"test-{Path(cfg.work_dir).name}-{id(cfg)}"
    return build_runner(cfg, ["train_dataloader"])


def tool_command(tool: str, *arguments: str) -> list[str]:
    """Command line of one of the project's tools under ``python()``."""
    tools = Path(__file__).resolve().parents[1] / "tools"
    return [python(), str(tools / tool), *arguments]


def python() -> str:
    """The Python for processes of tests: in a test run one that is warm, see tests/warm."""
    return os.environ.get("MASKSSL_TEST_PYTHON", sys.executable)
