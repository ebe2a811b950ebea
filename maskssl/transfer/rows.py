"""Rows of the report, and what a stage that fills them must be able to do."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..evaluation.metrics import METRICS, Metric
from .fingerprints import Facts
from .job_queue import Job

if TYPE_CHECKING:
    from .work import Work

Choice = dict[str, Any]
"""'chosen': a setting; 'table': of all settings and their figures on held out training images."""


@dataclass(frozen=True)
class Row:
    """One row of the report.

    Attributes:
        name: in file names.
        title: in tables.
        metric: name of the figure.
    """

    name: str
    title: str
    metric: str

    @property
    def figures(self) -> Metric:
        """What outcomes come to."""
        return METRICS[self.metric]


class Stage(Protocol):
    """What is measured of a checkpoint, in two steps with the firewall between them."""

    @property
    def name(self) -> str:
        """On the command line."""

    @property
    def title(self) -> str:
        """In messages."""

    @property
    def labels(self) -> str:
        """Which images it needs."""

    @property
    def rows_of_report(self) -> tuple[Row, ...]:
        """What it fills."""

    def config_facts(self, work: "Work", name: str) -> Facts:
        """What it comes from but for images, weights and code, for the checkpoint of a name."""

    def training(self, work: "Work", name: str, facts: Facts) -> list[Job]:
        """Trainings that ``choose`` reads, in processes of their own; they see no test image.

        Args:
            work: what they work with.
            name: of the checkpoint.
            facts: what they come from; what others have left behind is not gone on with.
        """

    def choose(self, work: "Work", name: str) -> Choice:
        """All that training images decide, for the checkpoint of a name."""

    def testing(self, work: "Work", name: str) -> list[Job]:
        """Tests that ``score`` reads, in processes of their own."""

    def score(self, work: "Work", name: str, choice: Choice) -> dict[str, np.ndarray]:
        """Row's name -> (settings, S, N, …) outcomes on the test images, the chosen one first."""
