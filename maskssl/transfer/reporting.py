"""From results to the report: numbers, then pictures, then the pages."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..progress import ProgressLine
from .against import compare_reports
from .feature_store import POOLED, Extraction
from .galleries import draw_galleries
from .opening import Results
from .pages import write_pages
from .per_class import add_class_figures
from .plan import Plan
from .run_views import add_run_views
from .summary import summarise

Report = dict[str, Any]


def write_report(
    plan: Plan,
    results: Results,
    line: ProgressLine,
    *,
    earlier: Path | None = None,
    told: Mapping[str, Any] | None = None,
    add: Callable[[Report, Path], None] = lambda report, folder: None,
) -> Report:
    """Write OUT/report, with pictures where test images have been read.

    Args:
        plan: what was asked for.
        results: of ``run_experiment``.
        line: tells how far it is.
        earlier: report.json of another experiment to compare with.
        told: over what ``summarise`` says: 'title', or more 'facts'.
        add: adds to the report what its caller knows, and puts pictures into its folder.

    Returns:
        What stands in report.json.
    """
    folder = plan.out / "report"
    report = summarise(plan, results)
    for key, value in (told or {}).items():
        report[key] = {**value, **report[key]} if isinstance(value, Mapping) else value
    add_class_figures(report, results.outcomes, results.sets)
    if results.outcomes:
        cache, workers = plan.cache, plan.num_workers
        how = Extraction(cache, (POOLED,), plan.batch_size, workers, plan.device)
        draw_galleries(report, results.encoders, results.sets, how, folder, line)
    add_run_views(report, plan.out, folder)
    add(report, folder)
    if earlier:
        report["against"] = compare_reports(report, plan.out, earlier)
    write_pages(report, folder)
    return report
