"""A table of the evidence: pretrain, measure set by set, write what there is."""

from collections.abc import Mapping
from typing import Any

from ..progress import ProgressLine
from ..transfer.experiment import run_experiment
from ..transfer.summary import summarise
from .plan import Plan
from .pretraining import pretrain, weights_of
from .results import add_pretrainings, add_set, read_results, write_results

Failed = Mapping[str, str]


def run_evidence(plan: Plan, line: ProgressLine) -> tuple[dict[str, Any], Failed]:
    """Run what is not done; the same call again goes on where an interrupted one stopped.

    The results are written behind every set, and keep what other calls have measured.

    Args:
        plan: what to run.
        line: shows the progress.

    Returns:
        The results as their JSON has them, and what failed -> why.

    Raises:
        MaskSSLError: the data is not there, or plan.out holds results of other inputs.
    """
    for name in dict.fromkeys((*plan.sets, *(one.pictures for one in plan.pretrainings))):
        line.say(f"{name}: {plan.data(name)}")
    plan.write_start()
    failed = pretrain(plan, line)
    pretrained = weights_of(plan, list(failed))
    results = read_results(plan)
    add_pretrainings(results, plan, pretrained)
    write_results(results, plan)
    for name in plan.sets:
        line.say(f"measuring on {name}")
        transfer = plan.transfer(name, pretrained)
        measured = run_experiment(transfer, line)
        failed |= {f"{name}: {what}": why for what, why in measured.failed.items()}
        results = read_results(plan)  # another call may have added its sets meanwhile
        add_set(results, plan, name, summarise(transfer, measured))
        write_results(results, plan)
    return results, failed
