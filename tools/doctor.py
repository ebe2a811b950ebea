"""Say what is installed here, what will work, and what to do about what will not.

Exit status 0 if pretraining, probing and kNN will work, 1 otherwise.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def inspection() -> ModuleType:
    """maskssl.cli.doctor by its path: importing maskssl needs what is to be examined."""
    path = ROOT / "maskssl" / "environment" / "__init__.py"
    spec = importlib.util.spec_from_file_location("environment", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its own relative imports look here
    spec.loader.exec_module(module)
    return module


def main(as_json: bool) -> int:
    environment = inspection()
    # libraries talk while they are imported; stdout is for the findings
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        findings = environment.examine()
    verdict = environment.verdict(findings)
    works = environment.works(findings)
    if as_json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"works": works, "verdict": verdict, "findings": rows}, indent=2))
        return int(not works)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.status:8}{finding.name:{width}}  {finding.detail}")
        if finding.remedy:
            print(f"{'':{8 + width}}  -> {finding.remedy}")
    print(verdict)
    return int(not works)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    sys.exit(main(parser.parse_args().json))
