"""What is installed here, what will work, and what to do about what will not.

``maskssl doctor`` prints it. Nothing but the standard library is imported, and on a deep look
nothing until a check asks for it, so that a broken torch or mmcv can be described.
"""

from collections.abc import Callable, Sequence

from .hardware import check_hardware
from .machine import Finding, Machine
from .packages import (
    check_installed,
    check_old_line,
    check_one_cv2,
    check_python,
    check_torch_pair,
)
from .stages import check_stages
from .tested_choices import check_ways

CHECKS: tuple[Callable[[Machine], list[Finding]], ...] = (
    check_python,
    check_old_line,
    check_one_cv2,
    check_torch_pair,
    check_installed,
    check_stages,
    check_hardware,
    check_ways,
)


def examine(machine: Machine | None = None) -> list[Finding]:
    """Run every check.

    Args:
        machine: how to look; default this machine and this interpreter.
    """
    machine = machine or Machine()
    return [finding for check in CHECKS for finding in check(machine)]


def works(findings: Sequence[Finding]) -> bool:
    """Whether pretraining, probing and kNN will work."""
    return not any(finding.status == "refused" for finding in findings)


def verdict(findings: Sequence[Finding]) -> str:
    """The findings in one sentence; of several refusals the first, which others follow from."""
    refused = [finding for finding in findings if finding.status == "refused"]
    if refused:
        first = refused[0]
        more = f" ({len(refused) - 1} more refused)" if len(refused) > 1 else ""
        return f"REFUSED: {first.name}: {first.detail}; {first.remedy}{more}"
    dense = [item for item in findings if item.name in ("segmentation", "detection")]
    running = [item.name for item in dense if item.status == "ok"]
    limited = [item.name for item in dense if item.status != "ok"]
    will = ", ".join(["pretraining, probing, kNN", *running])
    return f"OK: {will} will work" + (f"; see above for {', '.join(limited)}" if limited else "")
