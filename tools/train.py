"""Train any stage by its config: pretraining, probe, fine-tuning, segmentation, detection.

python tools/train.py configs/pretrain/bootmae_vit-tiny_scenes.py
python tools/train.py configs/finetune/linear_vit-tiny_scenes.py --pretrained CHECKPOINT
"""

import argparse

from maskssl.cli import command_line, launch, restarts, trackers


def main(args: argparse.Namespace) -> None:
    cfg = command_line.configured(args)
    if args.amp:
        launch.use_amp(cfg)
    if args.auto_scale_lr:
        launch.use_auto_scale_lr(cfg)
    if resume := restarts.resume_from(args.resume, cfg.work_dir):
        cfg.resume = True
        cfg.load_from = None if resume == "auto" else launch.checkpoint_at(resume)
    if args.track:
        trackers.use_tracker(cfg, args.track)
    loaders = ["train_dataloader", "val_dataloader"]
    launch.build_runner(cfg, loaders, args.launcher).train()


if __name__ == "__main__":
    parser = command_line.tool_parser(__doc__)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="PATH",
        help="go on from PATH, or from the latest checkpoint in the work dir",
    )
    parser.add_argument("--amp", action="store_true", help="bf16 mixed precision")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the lr with the actual batch size"
    )
    parser.add_argument(
        "--track", choices=trackers.TRACKERS, help="log to this tracker too; its package is needed"
    )
    command_line.run_tool(parser, main)
