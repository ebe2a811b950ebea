"""Test a trained model, or a pretrained backbone by kNN.

python tools/test.py configs/seg/upernet_vit-tiny_scenes.py work_dirs/.../iter_300.pth
python tools/test.py configs/finetune/knn_vit-tiny_scenes.py --pretrained CHECKPOINT
"""

import argparse
import json
from pathlib import Path

from maskssl.cli import command_line, launch


def main(args: argparse.Namespace) -> None:
    cfg = command_line.configured(args)
    launch.set_tested(cfg, args.checkpoint)
    if args.show_dir:
        launch.set_show_dir(cfg, args.show_dir)
    metrics = launch.build_runner(cfg, ["test_dataloader"], args.launcher).test()
    out = Path(args.out or Path(cfg.work_dir, "metrics.json"))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({key: float(value) for key, value in metrics.items()}, indent=2))


if __name__ == "__main__":
    parser = command_line.tool_parser(__doc__)
    parser.add_argument("checkpoint", nargs="?", help="of the whole model; not needed for kNN")
    parser.add_argument("--show-dir", help="save pictures of predictions here")
    parser.add_argument("--out", help="JSON file of the metrics; default WORK_DIR/metrics.json")
    command_line.run_tool(parser, main)
