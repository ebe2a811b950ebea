"""Send a run's figures to an experiment tracker too."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.logging import print_log

from .arguments import TRACKERS
from .config import ConfigError

PROJECT = "maskssl"


def use_tracker(cfg: Config, name: str) -> None:
    """Add W&B or MLflow to where a run is logged; what is there already stays.

    Run and group are named after the work dir; a resumed run opens another run of the
    same group. Where the figures go is said by the trackers' own settings, such as
    WANDB_MODE, WANDB_PROJECT and MLFLOW_TRACKING_URI; MLflow without one writes
    ``mlflow.db`` into the work dir.

    Args:
        cfg: complete config; ``work_dir`` is set.
        name: 'wandb' or 'mlflow'.

    Raises:
        ConfigError: another name, a package that is not installed, or a config without
            visualizer.
    """
    if name not in TRACKERS:
        raise ConfigError(f"--track {name}: the trackers are {', '.join(TRACKERS)}")
    spec = find_spec(name)
    if spec is None or spec.origin is None:  # without origin: a folder that W&B once wrote
        raise ConfigError(
            f"--track {name} needs the package {name}, which is not installed and comes with no "
            f"extra of maskssl: pip install {name}, or leave the option out (JSON lines and "
            "TensorBoard are always written)"
        )
    if "visualizer" not in cfg:
        raise ConfigError(
            f"--track {name} needs visualizer=dict(type=..., vis_backends=[...]) in the config"
        )
    backend = _wandb(cfg) if name == "wandb" else _mlflow(cfg)
    backends = cfg.visualizer.get("vis_backends") or []
    if any(known["type"] == backend["type"] for known in backends):
        print_log(f"--track {name}: the config names {backend['type']} already", "current")
        return
    cfg.visualizer.vis_backends = [*backends, backend]


def _wandb(cfg: Config) -> dict[str, Any]:
    run = Path(cfg.work_dir).name
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    return dict(type="WandbVisBackend", init_kwargs=dict(project=project, name=run, group=run))


def _mlflow(cfg: Config) -> dict[str, Any]:
    folder = Path(cfg.work_dir).resolve()
    backend = dict(type="MLflowVisBackend", exp_name=PROJECT, run_name=folder.name)
    # without a tracking_uri mmengine's backend overrides MLflow's own setting by a folder of
    # files, which MLflow 3 refuses
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return dict(backend, tracking_uri=uri)
    artifacts = (folder / "mlflow").as_uri()
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return dict(backend, tracking_uri=uri, artifact_location=artifacts)
