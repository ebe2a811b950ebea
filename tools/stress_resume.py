"""Kill a training again and again, resume it, and compare it with one that was left alone.

python tools/stress_resume.py \
    configs/pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-20e_scenes.py --kills 20 \
    --cfg-options default_hooks.checkpoint.by_epoch=False default_hooks.checkpoint.interval=10
"""

import argparse
import sys
import time

from mmengine.config import DictAction

from maskssl.errors import MaskSSLError
from tests.stress.resume_stress import stress_resume


def say(line: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {line}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="of any training")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--out", default="work_dirs/stress", help="new folder of both runs")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    args = parser.parse_args()
    try:
        stress_resume(args.config, args.out, args.kills, args.cfg_options, say, args.seed)
    except MaskSSLError as error:
        sys.exit(f"{type(error).__name__}: {error}")
