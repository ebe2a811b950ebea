"""Say what is installed here, what will work, and what to do about what will not.

Looks at files and versions, and imports nothing heavy; --import tries every package, mmcv's ops,
mixed precision and fused attention. Exit status 0 if pretraining, probing and kNN will work.
"""

import argparse
import contextlib
import dataclasses
import json
import sys
import warnings

from ..cli.doctor import examine, verdict, works
from ..cli.doctor.machine import Machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How deep to look, and how to tell."""
    parser.add_argument("--import", dest="deep", action="store_true", help="import everything too")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Look, tell, and judge."""
    # libraries talk while they are imported; stdout is for the findings
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        findings = examine(Machine(deep=args.deep))
    said, fine = verdict(findings), works(findings)
    if args.json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"works": fine, "verdict": said, "findings": rows}, indent=2))
        return int(not fine)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.status:8}{finding.name:{width}}  {finding.detail}")
        if finding.remedy:
            print(f"{'':{8 + width}}  -> {finding.remedy}")
    print(said)
    return int(not fine)
