"""--track: adds one backend, keeps the others, and says what is missing."""

from importlib.machinery import ModuleSpec

import pytest
from mmengine.config import Config
from mmengine.registry import VISBACKENDS

from maskssl.cli import trackers
from maskssl.cli.config import ConfigError

ALWAYS = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]


@pytest.fixture
def cfg():
    return Config(
        dict(work_dir="work_dirs/some run", visualizer=dict(type="Visualizer", vis_backends=ALWAYS))
    )


@pytest.fixture
def installed(monkeypatch):
    """As if both packages were there."""
    monkeypatch.setattr(trackers, "find_spec", lambda name: ModuleSpec(name, None, origin="there"))
    for name in ("WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def test_wandb_is_added_behind_what_is_always_written(cfg, installed, monkeypatch):
    trackers.use_tracker(cfg, "wandb")
    *before, added = cfg.visualizer.vis_backends
    assert before == ALWAYS
    names = dict(project="maskssl", name="some run", group="some run")
    assert added == dict(type="WandbVisBackend", init_kwargs=names)
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    cfg.visualizer.vis_backends = []
    trackers.use_tracker(cfg, "wandb")
    assert cfg.visualizer.vis_backends[0].init_kwargs.project == "mine"


def test_mlflow_goes_to_the_server_of_its_own_setting(cfg, installed, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    trackers.use_tracker(cfg, "mlflow")
    added = cfg.visualizer.vis_backends[-1]
    assert added == dict(
        type="MLflowVisBackend",
        exp_name="maskssl",
        run_name="some run",
        tracking_uri="http://localhost:5000",
    )


def test_mlflow_without_a_server_stays_in_the_work_dir(cfg, installed, tmp_path):
    cfg.work_dir = str(tmp_path / "run")
    trackers.use_tracker(cfg, "mlflow")
    added = cfg.visualizer.vis_backends[-1]
    assert added.tracking_uri == f"sqlite:///{tmp_path}/run/mlflow.db"
    assert added.artifact_location == f"file://{tmp_path}/run/mlflow"


@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_mmengine_builds_the_backends(cfg, installed, name, tmp_path):
    trackers.use_tracker(cfg, name)
    added = cfg.visualizer.vis_backends[-1]
    assert type(VISBACKENDS.build(dict(added, save_dir=str(tmp_path)))).__name__ == added.type


def test_a_backend_of_the_config_is_not_doubled(cfg, installed):
    trackers.use_tracker(cfg, "mlflow")
    trackers.use_tracker(cfg, "mlflow")
    assert len(cfg.visualizer.vis_backends) == 3


# a folder of W&B's, below the working directory, looks like a package without origin
@pytest.mark.parametrize("spec", [None, ModuleSpec("wandb", None)])
@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_a_missing_package_is_told(cfg, monkeypatch, name, spec):
    monkeypatch.setattr(trackers, "find_spec", lambda name: spec)
    with pytest.raises(ConfigError, match=f"needs the package {name}, .*pip install {name}"):
        trackers.use_tracker(cfg, name)
    assert cfg.visualizer.vis_backends == ALWAYS


def test_unknown_trackers_and_configs_without_visualizer_are_refused(installed):
    with pytest.raises(ConfigError, match="the trackers are wandb, mlflow"):
        trackers.use_tracker(Config(dict(work_dir="x")), "comet")
    with pytest.raises(ConfigError, match=r"needs visualizer=dict"):
        trackers.use_tracker(Config(dict(work_dir="x")), "wandb")
