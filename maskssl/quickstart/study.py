"""The transfer over several seeds, with random weights trained in every way that may serve them.

Whether a gain is one shows against the spread between seeds, and against random weights at
their best. The first seed trains them in every setting; its best ones are repeated on the other
seeds, and that of the highest mean counts. It stands in the shipped configs
(``random_weights``, else the config's own); nothing is picked for pretrained weights.
"""

import json
import statistics
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from ..errors import MaskSSLError
from ..models.backbones.vit_settings import arch_settings
from ..progress import ProgressLine
from ..transfer.experiment import run_experiment
from ..transfer.opening import Results
from ..transfer.rows import Row
from ..transfer.stages import STAGES
from ..transfer.tables import markdown_table
from .plan import FLOOR, Plan, Variations
from .plan import STAGES as CONFIGS
from .quickstart import run_quickstart

LR_FACTORS = (0.3, 1.0, 3.0)
REPEATED = 3  # best settings of the first seed that the others repeat, beside the config's own
LAYER_DECAY_RATE = 0.75
AS_CONFIGURED = "as configured"
LR, DECAY = "optim_wrapper.optimizer.lr", "optim_wrapper.paramwise_cfg.layer_decay_rate"

Figures = Mapping[tuple[str, str], float]  # (checkpoint, row) -> percent


class StudyError(MaskSSLError):
    """A part of a seed failed."""


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
        spread = f" ± {self.deviation:.1f}" if len(self.values) > 1 else ""
        return f"{self.mean:.1f}{spread}"


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


def random_settings(plan: Plan, stage: str) -> dict[str, dict[str, Any]]:
    """The settings for random weights: name -> options over the stage's config.

    Three learning rates, each with and without layer decay and with a frozen backbone. What the
    config has for random weights comes first; a stage that trains no backbone has that alone.
    """
    config = CONFIGS[stage]
    if not config:
        return {AS_CONFIGURED: {}}
    cfg = Config.fromfile(plan.config(config), import_custom_modules=False)
    settings: dict[str, dict[str, Any]] = {AS_CONFIGURED: dict(cfg.get("random_weights", {}))}
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


def checkpoint_of(stage: str, setting: str) -> str:
    """What random weights in a setting are called among the checkpoints."""
    if setting == AS_CONFIGURED:
        return FLOOR
    return f"{FLOOR}-{stage}-{setting.replace(', ', '-').replace('lr ', 'lr')}"


def variations_of(plan: Plan, settings: Mapping[str, Collection[str]] | None = None) -> Variations:
    """Random weights in other settings than the configs': all, or by stage's name."""
    return {
        checkpoint_of(stage, setting): {stage: options}
        for stage in plan.stages
        for setting, options in random_settings(plan, stage).items()
        if setting != AS_CONFIGURED and (settings is None or setting in settings[stage])
    }


def run_study(plan: Plan, seeds: Sequence[int], line: ProgressLine) -> list[StudyRow]:
    """Run every seed in a folder of its own, and write study.json and study.md.

    The same call again goes on where an interrupted one stopped.

    Args:
        plan: its ``out`` takes the folders of the seeds.
        seeds: each a quickstart and random weights: in all settings, after the first seed in its
            best ones.
        line: shows the progress.
    """
    plans = [replace(plan, out=plan.out / f"seed-{seed}", seed=seed) for seed in seeds]
    found: list[Figures] = []
    settings: Mapping[str, Collection[str]] | None = None
    for each in plans:
        line.say(f"seed {each.seed}")
        run_quickstart(each, line)
        variations = variations_of(each, settings)
        results = run_experiment(each.transfer(variations), line)
        if results.failed:
            raise StudyError(f"seed {each.seed}: {'; '.join(results.failed.values())}")
        found.append(figures_of(results))
        settings = settings or repeated_settings(each, found[0])
    rows = study_rows(plan, found)
    write_study(rows, seeds, plan.out)
    return rows


def figures_of(results: Results) -> Figures:
    """What each checkpoint reached in each row."""
    rows = {row.name: row for _, row in rows_of(tuple(STAGES))}
    return {
        (name, row): 100 * float(rows[row].figures.seeds(outcomes[0]).mean())
        for (name, row), outcomes in results.outcomes.items()
    }


def rows_of(stages: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """(stage, row of the report)."""
    for stage in stages:
        for row in STAGES[stage].rows_of_report:
            yield stage, row


def repeated_settings(plan: Plan, first: Figures) -> dict[str, list[str]]:
    """Stage's name -> settings that serve random weights best on the first seed."""
    kept = {}
    for stage in plan.stages:
        rows = [row.name for _, row in rows_of([stage])]
        sums = {
            setting: sum(first[checkpoint_of(stage, setting), row] for row in rows)
            for setting in random_settings(plan, stage)
        }
        kept[stage] = sorted(sums, key=lambda setting: -sums[setting])[:REPEATED]
    return kept


def study_rows(plan: Plan, seeds: Sequence[Figures]) -> list[StudyRow]:
    """The rows of finished seeds."""
    first, found = seeds[0], []
    kept = repeated_settings(plan, first)
    for stage, row in rows_of(plan.stages):
        names = {one: checkpoint_of(stage, one) for one in random_settings(plan, stage)}
        randoms = {
            setting: spread_of([figures[name, row.name] for figures in seeds])
            for setting, name in names.items()
            if setting == AS_CONFIGURED or setting in kept[stage]
        }
        pretrained = spread_of([figures[plan.row.title, row.name] for figures in seeds])
        every = {setting: first[name, row.name] for setting, name in names.items()}
        title = f"{row.title}, {row.metric}"
        found.append(StudyRow(title, pretrained, randoms, every))
    return found


def write_study(rows: Sequence[StudyRow], seeds: Sequence[int], folder: Path) -> None:
    """Write study.json and study.md: the table, then random weights in each setting."""
    content = [asdict(row) | dict(best=row.best, gain=asdict(row.gain)) for row in rows]
    (folder / "study.json").write_text(json.dumps(dict(seeds=list(seeds), rows=content), indent=2))
    lines = [f"# Transfer over the seeds {', '.join(map(str, seeds))}", ""]
    header = ["measured by us", "pretrained", "random at its best", "gain", "setting"]
    lines += markdown_table(header, [_cells(row) for row in rows], figures=True)
    for row in rows:
        if len(row.first_seed) > 1:
            header = [f"{row.name}, random weights", f"seed {seeds[0]}", "all seeds"]
            body = [
                [setting, f"{figure:.1f}", str(row.randoms.get(setting, ""))]
                for setting, figure in row.first_seed.items()
            ]
            lines += ["", *markdown_table(header, body, figures=True)]
    (folder / "study.md").write_text("\n".join(lines) + "\n")


def _cells(row: StudyRow) -> list[str]:
    return [row.name, *map(str, (row.pretrained, row.randoms[row.best], row.gain)), row.best]


def print_study(rows: Sequence[StudyRow]) -> None:
    """Show the table in the terminal."""
    table = Table(title="mean ± standard deviation over the seeds")
    table.add_column("measured by us")
    for column in ("pretrained", "random at its best", "gain"):
        table.add_column(column, justify="right")
    table.add_column("setting")
    for row in rows:
        table.add_row(*_cells(row))
    Console().print(table)
