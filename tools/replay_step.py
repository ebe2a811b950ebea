"""Run a step that was not finite again and see where it breaks.

python tools/replay_step.py WORK_DIR/non_finite/step_120.pt --anomaly

Ends with 0 if all losses are those of the record to the last bit, else with 1.
"""

import argparse
import math
import sys

from maskssl.engine.finite_steps.record import read_record
from maskssl.engine.finite_steps.replay import Replay, replay
from maskssl.errors import MaskSSLError


def report(record: dict, result: Replay) -> None:
    last = len(record["forwards"]) - 1
    print(f"step {record['step']}, seed {record['seed']}, rank {record['rank']}")
    for name in record["bad_weights"]:
        print(f"weight not finite before the step: {name}")
    for index, (now, then) in enumerate(zip(result.losses, result.recorded, strict=False)):
        for name, value in now.items():
            finite = "finite" if math.isfinite(value) else "NOT FINITE"
            recorded = then.get(name, "nothing")
            print(
                f"forward {index} of 0..{last}: {name} {value!r} (recorded {recorded!r}) {finite}"
            )
    print(f"first module with an output that is not finite: {result.first_bad_module or 'none'}")
    print(f"gradients not finite: {len(result.bad_gradients)}")
    for name in result.bad_gradients:
        print(f"  {name}")
    if result.anomaly:
        print(f"anomaly: {result.anomaly}")
    same = "exactly those of the record" if result.exact else "NOT those of the record"
    print(f"losses are {same}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("record", help="file in WORK_DIR/non_finite/")
    parser.add_argument("--anomaly", action="store_true", help="name the backward's first NaN")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="default the record's")
    args = parser.parse_args()
    try:
        read = read_record(args.record)
        replayed = replay(read, device=args.device, anomaly=args.anomaly)
    except MaskSSLError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    report(read, replayed)
    sys.exit(0 if replayed.exact else 1)
