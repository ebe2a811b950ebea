"""A row of the report: settings are fitted on some images, and score others.

That is all a measure can do. It never sees which images are the test's, so that the choice of
settings (on a part of the training images) and the last score are the same function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ..errors import MaskSSLError
from ..evaluation.rows import Rows
from ..evaluation.splits import hold_out
from .budgets import Budget
from .feature_store import POOLED, FeatureSet
from .fingerprints import Facts
from .job_queue import Job
from .processes import spread
from .rows import Choice, Row
from .work import Work

HELD_OUT = 0.2  # share of the training images that settings are chosen on

Setting = dict[str, str | float | int | bool]
CLASSES, MAPS, BOXES = "classes", "maps", "boxes"  # what images are labelled with


@dataclass(frozen=True)
class Part:
    """Some images of a feature set.

    Attributes:
        features: of the set.
        ids: the images.
    """

    features: FeatureSet
    ids: Tensor

    def rows(self, feature: str) -> Rows:
        """Their rows of one feature."""
        return self.features.rows(feature, self.ids)


@dataclass(frozen=True)
class Measure:
    """One row of the report.

    Attributes:
        name: of the stage, on the command line.
        title: of the row.
        settings: what may be chosen, by the features that there are, the budget, and the number of
            images that are fitted at least.
        outcomes: fits every setting on the first part by a seed and gives (settings, N, …) what
            happened on each image of the second, as the metric reads it.
        seeded: whether a seed changes anything.
        kinds: features that it reads, see ``FeatureSet.folders``.
        labels: CLASSES or MAPS.
        metric: name of the figure.
        together: whether settings of the same features are cheaper fitted at once.
    """

    name: str
    title: str
    settings: Callable[[FeatureSet, Budget, int], list[Setting]]
    outcomes: Callable[[Part, Part, Sequence[Setting], int], np.ndarray]
    seeded: bool
    kinds: tuple[str, ...] = (POOLED,)
    labels: str = CLASSES
    metric: str = "top-1"
    together: bool = True

    @property
    def rows_of_report(self) -> tuple[Row, ...]:
        """One."""
        return (Row(self.name, self.title, self.metric),)

    def config_facts(self, work: Work, name: str) -> Facts:
        """None; the budget is the plan's."""
        return {}

    def training(self, work: Work, name: str, facts: Facts) -> list[Job]:
        """Nothing; settings are fitted in this process."""
        return []

    def testing(self, work: Work, name: str) -> list[Job]:
        """Likewise."""
        return []

    def choose(self, work: Work, name: str) -> Choice:
        """The figure of every setting on held out training images, mean over the seeds' splits."""
        plan = work.plan
        features = work.features(name, self.labels)
        most = plan.budget.chosen_on
        splits = [hold_out(features.labels, HELD_OUT, seed, most) for seed in plan.seeds]
        settings = self.settings(features, plan.budget, len(splits[0][0]))
        if not settings:
            raise MaskSSLError(
                f"{self.title}: the preset {plan.preset!r} tries nothing that {len(splits[0][0])} "
                "training images are enough for; give more, or another --preset"
            )
        figures: list[float | None] = [None] * len(settings)
        chosen = 0
        if len(settings) > 1:
            work.line.say(f"{name}: choosing for {self.title}")
            parts = [(Part(features, kept), Part(features, held)) for kept, held in splits]
            found = self._fitted(parts, settings, plan.seeds)
            (row,) = self.rows_of_report
            means = np.mean([[row.figures.seeds(one[None]) for one in own] for own in found], 0)
            figures, chosen = means[:, 0].tolist(), int(means.argmax())
        table = [dict(setting=s, held_out=f) for s, f in zip(settings, figures, strict=True)]
        return dict(chosen=settings[chosen], table=table)

    def score(self, work: Work, name: str, choice: Choice) -> dict[str, np.ndarray]:
        """Fit the chosen setting on all training images, then score the test images."""
        plan = work.plan
        train, test = (work.features(name, self.labels, tested) for tested in (False, True))
        work.line.say(f"{name}: {self.title} on the test images")
        settings: list[Setting] = [choice["chosen"]]
        if plan.published:
            settings += [row["setting"] for row in choice["table"]]
        parts = Part(train, train.everything), Part(test, test.everything)
        seeds = plan.seeds if self.seeded else plan.seeds[:1]
        found = self._fitted([parts] * len(seeds), settings, seeds)
        return {self.name: np.stack(found, axis=1)}  # (settings, S, N, …)

    def _fitted(
        self,
        parts: Sequence[tuple[Part, Part]],
        settings: Sequence[Setting],
        seeds: Sequence[int],
    ) -> list[np.ndarray]:
        """Outcomes (settings, N, …) of each seed on its own parts, shared by all processes."""
        groups: dict[str, list[int]] = {}
        for place, setting in enumerate(settings):
            alone = setting.get("feature", "" if self.together else place)
            groups.setdefault(str(alone), []).append(place)

        def task(seed: int, both: tuple[Part, Part], places: list[int]) -> Callable[[], np.ndarray]:
            return lambda: self.outcomes(*both, [settings[place] for place in places], seed)

        tasks = [
            task(seed, both, places)
            for seed, both in zip(seeds, parts, strict=True)
            for places in groups.values()
        ]
        results = iter(spread(tasks))
        order = np.argsort(np.concatenate(list(groups.values())))
        return [np.concatenate([next(results) for _ in groups])[order] for _ in seeds]
