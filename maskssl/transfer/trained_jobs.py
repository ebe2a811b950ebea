"""One training or one test of a config: its folder, and what a job's process calls."""

import json
import shutil
from pathlib import Path

from mmengine.config import Config

from ..cli import launch
from .fingerprints import Facts, digest_of_text
from .outcome_hook import OutcomeHook
from .prediction_sheet import PredictionSheet
from .run_views import OVERLAYS

CONFIG = "config.py"
_DRAWN = 6  # test images with truth and prediction

TRAIN, TEST = (f"{__name__}:{name}" for name in ("train", "test"))


def write_run(folder: Path, cfg: Config, seed: int, facts: Facts) -> Path:
    """The config file of a run; what a run of other inputs left in its folder is removed.

    A runner writes over the file what it has made of the config, so a digest says which it was.

    Args:
        folder: its work dir.
        cfg: of the run.
        seed: of its draws.
        facts: of what the config names by paths alone: weights and images.
    """
    cfg.work_dir = str(folder)
    cfg.randomness = dict(cfg.get("randomness", {}), seed=seed)
    asked = folder / "config.digest"
    own = digest_of_text(f"{cfg.pretty_text}\n{json.dumps(dict(facts), sort_keys=True)}")
    if folder.is_dir() and not (asked.is_file() and asked.read_text() == own):
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    asked.write_text(own)
    file = folder / CONFIG
    file.write_text(cfg.pretty_text)
    return file


def train(config: Path) -> None:
    """Train to the end; a training that was broken off goes on."""
    cfg = Config.fromfile(config)
    cfg.resume = True
    launch.build_runner(cfg, ["train_dataloader"]).train()


def test(config: Path, folder: Path, rows: tuple[str, ...]) -> None:
    """Test what was trained, and write the outcomes of all images.

    Args:
        config: of the test; its work dir holds the checkpoint.
        folder: takes ROW.npy.
        rows: of the stage.
    """
    cfg = Config.fromfile(config)
    launch.set_tested(cfg, cfg.work_dir)
    runner = launch.build_runner(cfg, ["test_dataloader"])
    runner.register_hook(OutcomeHook(folder, rows))
    if cfg.default_scope != "mmpretrain":
        runner.register_hook(PredictionSheet(folder / OVERLAYS, _DRAWN))
    runner.test()
