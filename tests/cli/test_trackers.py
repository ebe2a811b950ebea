"""--track: adds one backend, keeps the others, and says what is missing."""

import sys

import pytest
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import VISBACKENDS

from maskssl.cli import trackers
from maskssl.cli.config import ConfigError

ALWAYS = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]


@pytest.fixture
def cfg():
    return Config(
        dict(work_dir="work_dirs/some run", visualizer=dict(type="Visualizer", vis_backends=ALWAYS))
    )


# The packages as far as mmengine's backends call them: what arrives is written down.
WANDB = """
calls = []

def init(project=None, name=None, group=None, dir=None):
    calls.append(("init", project, name, group, dir))

def log(values, commit=True):
    calls.append(("log", values))
"""
MLFLOW = """
calls = []

def set_tracking_uri(uri):
    calls.append(("uri", uri))

def get_experiment_by_name(name):
    return None

def create_experiment(name, artifact_location=None):
    calls.append(("experiment", name, artifact_location))

def set_experiment(name):
    pass

def set_tag(key, value):
    calls.append(("tag", key, value))

def log_metric(key, value, step):
    calls.append(("log", {key: value}, step))
"""


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Both packages, importable in the test alone."""
    for name, source in dict(wandb=WANDB, mlflow=MLFLOW).items():
        package = tmp_path / "packages" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(source)
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    for name in ("WANDB_PROJECT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    yield
    for name in ("wandb", "mlflow"):
        sys.modules.pop(name, None)


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


def arrived(cfg, name, folder) -> list[tuple]:
    """What the package is told when a loss is logged through the configured backend."""
    trackers.use_tracker(cfg, name)
    backend = VISBACKENDS.build(dict(cfg.visualizer.vis_backends[-1], save_dir=str(folder)))
    backend.add_scalar("loss", 0.5, step=7)
    return sys.modules[name].calls


def test_a_figure_arrives_at_wandb_under_the_names_of_the_run(cfg, installed, tmp_path):
    assert arrived(cfg, "wandb", tmp_path / "vis") == [
        ("init", "maskssl", "some run", "some run", str(tmp_path / "vis")),
        ("log", {"loss": 0.5}),
    ]


def test_a_figure_arrives_at_mlflow_in_the_work_dir(cfg, installed, tmp_path, monkeypatch):
    # mmengine's backend asks each handler of the log for a stream; other tests leave some without
    monkeypatch.setattr(MMLogger.get_current_instance(), "handlers", [])
    cfg.work_dir = str(tmp_path / "run")
    assert arrived(cfg, "mlflow", tmp_path / "vis") == [
        ("uri", f"sqlite:///{tmp_path}/run/mlflow.db"),
        ("experiment", "maskssl", f"file://{tmp_path}/run/mlflow"),
        ("tag", "mlflow.runName", "run"),
        ("log", {"loss": 0.5}, 7),
    ]


def test_a_backend_of_the_config_is_not_doubled(cfg, installed):
    trackers.use_tracker(cfg, "mlflow")
    trackers.use_tracker(cfg, "mlflow")
    assert len(cfg.visualizer.vis_backends) == 3


@pytest.mark.parametrize("folder", [False, True], ids=["nothing", "a folder of its files"])
@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_a_missing_package_is_told(cfg, monkeypatch, tmp_path, name, folder):
    """W&B's own folder, below the working directory, looks like a package without origin."""
    if folder:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ConfigError, match=f"needs the package {name}, .*pip install {name}"):
        trackers.use_tracker(cfg, name)
    assert cfg.visualizer.vis_backends == ALWAYS


def test_unknown_trackers_and_configs_without_visualizer_are_refused(installed):
    with pytest.raises(ConfigError, match="the trackers are wandb, mlflow"):
        trackers.use_tracker(Config(dict(work_dir="x")), "comet")
    with pytest.raises(ConfigError, match=r"needs visualizer=dict"):
        trackers.use_tracker(Config(dict(work_dir="x")), "wandb")
