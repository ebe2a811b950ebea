"""The transfer over several seeds, with random weights trained in every way that may serve them.

Whether a gain is one shows against the spread between seeds, and against random weights at
their best. The first seed trains them in every setting; its best ones are repeated on the other
seeds, and that of the highest mean counts. It stands in the shipped configs
(``random_weights``, else the config's own); nothing is picked for pretrained weights.
"""

import json
import statistics
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from ..models.backbones.vit_settings import arch_settings
from ..progress import ProgressLine
from .job_queue import Job
from .plan import Plan, job_of, plan_jobs, random_options, stage_run
from .quickstart import run_experiment, write_results
from .stages import Stage, stage_figures

LR_FACTORS = (0.3, 1.0, 3.0)
REPEATED = 3  # best settings of the first seed that the others repeat, beside the config's own
LAYER_DECAY_RATE = 0.75
AS_CONFIGURED = "as configured"
LR, DECAY = "optim_wrapper.optimizer.lr", "optim_wrapper.paramwise_cfg.layer_decay_rate"


@dataclass(frozen=True)
class Spread:
    """A figure over the seeds.

    Attributes:
        mean: of the seeds.
        deviation: their sample standard deviation; 0 of a single seed.
        values: one per seed.
    """

    mean: float
    deviation: float
    values: tuple[float, ...]

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.deviation:.1f}"


@dataclass(frozen=True)
class StudyRow:
    """A figure from pretrained weights, and from random ones in each setting.

    Attributes:
        name: what was measured.
        pretrained: in the config's setting.
        randoms: setting that every seed ran -> figure.
        first_seed: setting, all of them -> figure of the first seed.
    """

    name: str
    pretrained: Spread
    randoms: Mapping[str, Spread]
    first_seed: Mapping[str, float]

    @property
    def best(self) -> str:
        """The setting in which random weights have the highest mean."""
        return max(self.randoms, key=lambda setting: self.randoms[setting].mean)

    @property
    def gain(self) -> Spread:
        """Pretrained minus random weights at their best, seed by seed."""
        pairs = zip(self.pretrained.values, self.randoms[self.best].values, strict=True)
        return spread_of([pretrained - random for pretrained, random in pairs])


def spread_of(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return Spread(statistics.mean(values), deviation, tuple(values))


def random_settings(plan: Plan, stage: Stage) -> dict[str, dict[str, Any]]:
    """The settings for random weights: name -> options over the stage's config.

    Three learning rates, each with and without layer decay and with a frozen backbone. The
    config's own setting comes first; a stage that trains no backbone has that one alone.
    """
    settings: dict[str, dict[str, Any]] = {AS_CONFIGURED: dict(random_options(plan, stage))}
    if not stage.fine_tuned:
        return settings
    cfg = Config.fromfile(plan.config(stage.name), import_custom_modules=False)
    wrapper = cfg.optim_wrapper
    own = {
        LR: wrapper.optimizer.lr,
        DECAY: wrapper.get("paramwise_cfg", {}).get("layer_decay_rate", 1.0),
    }
    depth = arch_settings(cfg.model.backbone.arch)["num_layers"]
    ways: dict[str, dict[str, Any]] = {
        "flat": {DECAY: 1.0},
        "decay": {DECAY: LAYER_DECAY_RATE},
        "frozen": {"model.backbone.frozen_stages": depth},
    }
    for factor, (way, options) in product(LR_FACTORS, ways.items()):
        setting = {LR: own[LR] * factor} | options
        if own | setting != own | settings[AS_CONFIGURED]:
            settings[f"lr {setting[LR]:g}, {way}"] = setting
    return settings


def _job_name(stage: Stage, setting: str) -> str:
    if setting == AS_CONFIGURED:
        return f"{stage.name}-random"
    return f"{stage.name}-random-{setting.replace(', ', '-').replace('lr ', 'lr')}"


def study_jobs(plan: Plan, settings: Mapping[str, Collection[str]] | None = None) -> list[Job]:
    """The jobs of a transfer, then random weights in other settings: all, or by stage's name."""
    jobs = plan_jobs(plan)
    for stage in plan.stages:
        for setting, options in random_settings(plan, stage).items():
            wanted = settings is None or setting in settings[stage.name]
            if wanted and setting != AS_CONFIGURED:
                name = _job_name(stage, setting)
                run = stage_run(plan, stage, name, "none", options)
                jobs.append(job_of(plan, name, run, stage.seconds))
    return jobs


def run_study(plan: Plan, seeds: Sequence[int], line: ProgressLine) -> list[StudyRow]:
    """Run every seed in a folder of its own, and write study.json and study.md.

    The same call again goes on where an interrupted one stopped.

    Args:
        plan: its ``out`` takes the folders of the seeds.
        seeds: each a transfer and random weights: in all settings, after the first seed in its
            best ones.
        line: shows the progress.
    """
    plans = [replace(plan, out=plan.out / f"seed-{seed}", seed=seed) for seed in seeds]
    settings: Mapping[str, Collection[str]] | None = None
    for each in plans:
        line.say(f"seed {each.seed}")
        write_results(each, run_experiment(each, study_jobs(each, settings), line))
        settings = settings or repeated_settings(each)
    rows = study_rows(plans)
    write_study(rows, seeds, plan.out)
    return rows


def repeated_settings(first: Plan) -> dict[str, list[str]]:
    """Stage's name -> settings that serve random weights best on a finished first seed."""
    kept = {}
    for stage in first.stages:
        sums = {
            setting: sum(_figures(first, stage, setting).values())
            for setting in random_settings(first, stage)
        }
        kept[stage.name] = sorted(sums, key=lambda setting: -sums[setting])[:REPEATED]
    return kept


def _figures(plan: Plan, stage: Stage, setting: str) -> dict[str, float]:
    return stage_figures(stage, plan.work_dir(_job_name(stage, setting)))


def study_rows(plans: Sequence[Plan]) -> list[StudyRow]:
    """The rows of finished seeds."""
    first, rows = plans[0], []
    kept = repeated_settings(first)
    for stage in first.stages:
        screened = {s: _figures(first, stage, s) for s in random_settings(first, stage)}
        repeated = {
            setting: [_figures(plan, stage, setting) for plan in plans]
            for setting in screened
            if setting == AS_CONFIGURED or setting in kept[stage.name]
        }
        pretrained = [
            stage_figures(stage, plan.work_dir(f"{stage.name}-pretrained")) for plan in plans
        ]
        for name in stage.metrics.values():
            randoms = {
                setting: spread_of([figures[name] for figures in seeds])
                for setting, seeds in repeated.items()
            }
            spread = spread_of([figures[name] for figures in pretrained])
            every = {setting: figures[name] for setting, figures in screened.items()}
            rows.append(StudyRow(name, spread, randoms, every))
    return rows


def write_study(rows: Sequence[StudyRow], seeds: Sequence[int], folder: Path) -> None:
    """Write study.json and study.md: the table, then random weights in each setting."""
    content = [asdict(row) | dict(best=row.best, gain=asdict(row.gain)) for row in rows]
    (folder / "study.json").write_text(json.dumps(dict(seeds=list(seeds), rows=content), indent=2))
    lines = [f"# Transfer over the seeds {', '.join(map(str, seeds))}", ""]
    lines += ["| measured by us | pretrained | random at its best | gain | setting |"]
    lines += ["|---|---:|---:|---:|---|"]
    lines += [
        f"| {row.name} | {row.pretrained} | {row.randoms[row.best]} | {row.gain} | {row.best} |"
        for row in rows
    ]
    for row in rows:
        if len(row.first_seed) > 1:
            lines += ["", f"| {row.name}, random weights | seed {seeds[0]} | all seeds |"]
            lines += ["|---|---:|---:|"]
            lines += [
                f"| {setting} | {figure:.1f} | {row.randoms.get(setting, '')} |"
                for setting, figure in row.first_seed.items()
            ]
    (folder / "study.md").write_text("\n".join(lines) + "\n")


def print_study(rows: Sequence[StudyRow], console: Console | None = None) -> None:
    """Show the table in the terminal."""
    table = Table(title="mean ± standard deviation over the seeds")
    table.add_column("measured by us")
    for column in ("pretrained", "random at its best", "gain"):
        table.add_column(column, justify="right")
    table.add_column("setting")
    for row in rows:
        best = row.randoms[row.best]
        table.add_row(row.name, str(row.pretrained), str(best), str(row.gain), row.best)
    (console or Console()).print(table)
