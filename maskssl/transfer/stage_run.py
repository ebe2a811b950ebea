"""One run of a config in this process: what a job of the transfer calls."""

import json

from ..cli import launch
from ..cli.classes import set_num_classes
from ..cli.config import load_config
from .plan import StageRun
from .prediction_sheet import PredictionSheet


def run_stage(run: StageRun) -> None:
    """Train or test; a test writes its metrics to WORK_DIR/metrics.json."""
    cfg = load_config(run.config, run.options)
    cfg.work_dir = str(run.work_dir)
    cfg.randomness = dict(cfg.get("randomness", {}), seed=run.seed)
    if run.classes:
        set_num_classes(cfg, len(run.classes), run.classes)
    if run.pretrained:
        launch.set_pretrained(cfg, run.pretrained)
    if not run.tested:
        launch.build_runner(cfg, ["train_dataloader", "val_dataloader"]).train()
        return
    launch.set_tested(cfg, str(run.checkpoint) if run.checkpoint else None)
    runner = launch.build_runner(cfg, ["test_dataloader"])
    if run.sheet:
        runner.register_hook(PredictionSheet(run.sheet))
    metrics = runner.test()
    figures = {key: float(value) for key, value in metrics.items()}
    (run.work_dir / "metrics.json").write_text(json.dumps(figures, indent=2))
