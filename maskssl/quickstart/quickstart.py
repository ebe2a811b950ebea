"""From images to the report of ``maskssl transfer``, by a small pretraining of one's own."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..evaluation.run_logs import read_run
from ..occupied import occupied
from ..progress import ProgressLine
from ..transfer.experiment import run_experiment, train_beside
from ..transfer.fingerprints import open_record
from ..transfer.galleries import PICTURES
from ..transfer.reporting import Report, write_report
from ..visualization.curves import plot_runs
from .plan import FLOOR, Plan
from .pretraining import PRETRAIN, pretraining_facts, pretraining_job, write_start


def run_quickstart(plan: Plan, line: ProgressLine | None = None) -> Report:
    """Pretrain, then measure the weights beside random ones, as ``maskssl transfer`` does.

    Random weights are trained while the pretraining runs. The same call again goes on where an
    interrupted one stopped.

    Args:
        plan: what to run.
        line: shows the progress; default on stderr.

    Returns:
        What stands in plan.out / 'report' / 'report.json'.

    Raises:
        MaskSSLError: plan.out holds the results of another experiment, the pretraining failed, or
            another process is writing there.
    """
    with occupied(plan.out):  # before anything of another call is touched
        return _run(plan, line or ProgressLine())


def _run(plan: Plan, line: ProgressLine) -> Report:
    facts = pretraining_facts(plan)
    pretrained = open_record(plan.out).is_done(PRETRAIN, facts)
    for kind, arranged in (plan.images.labelled if plan.images else {}).items():
        arranged.write(plan.data(kind))
    if not pretrained:  # it may be of a call of another method that was broken off
        plan.start.unlink(missing_ok=True)
    write_start(plan)
    transfer = plan.transfer()
    if not pretrained:
        floor = [given for given in transfer.checkpoints if given.startswith(f"{FLOOR}=")]
        line.say(f"pretraining, and beside it random weights; its log: {plan.pretrained}")
        alone = replace(transfer, checkpoints=tuple(floor))
        train_beside(alone, [(pretraining_job(plan, facts), facts)], line)
    results = run_experiment(transfer, line)
    return write_report(
        transfer, results, line, told=told(plan), add=partial(add_pretraining, plan)
    )


def told(plan: Plan) -> Mapping[str, Any]:
    """Title and facts that ``maskssl transfer`` cannot know."""
    images = plan.images
    source = images.pretrain_root.name if images else "drawn scenes"
    return {
        "title": f"Transfer of {plan.row.title} pretrained on {source}",
        "facts": {
            "pretrained on": f"{images.num_images} images, seed {plan.seed}"
            if images
            else f"drawn scenes, without labels, seed {plan.seed}",
            "one seed": "figures of one pretraining move by some points from seed to seed; "
            "maskssl study repeats it",
        },
    }


def add_pretraining(plan: Plan, report: Report, folder: Path) -> None:
    """The curves of the pretraining, first among its pictures."""
    run = read_run(plan.pretrained, "pretraining")
    curves = {key: name for key, name in plan.row.curves.items() if run.series(key)}
    curves = curves or {"loss": "loss"}  # which every run logs
    file = f"{PICTURES}/pretraining.png"
    (folder / PICTURES).mkdir(parents=True, exist_ok=True)
    plot_runs([run], list(curves), folder / file, curves)
    picture = dict(checkpoint=plan.row.title, kind="pretraining", file=file)
    picture["caption"] = f"Curves of the pretraining: {', '.join(curves.values())}"
    picture["alt"] = f"curves of {', '.join(curves.values())} over the steps of the pretraining"
    report["pictures"] = [picture, *report.get("pictures", [])]
