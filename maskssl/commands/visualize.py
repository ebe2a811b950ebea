"""Look at a run before it is paid for, and at what pretraining has made of pictures.

maskssl visualize schedule CONFIG --images 1281167 --nproc 16
maskssl visualize masks CONFIG photos
maskssl visualize reconstruction CHECKPOINT photos
maskssl visualize attention CHECKPOINT photos
maskssl visualize pca CHECKPOINT photos
maskssl visualize neighbours CHECKPOINT flowers
maskssl visualize embedding CHECKPOINT flowers

CHECKPOINT is a file or work dir of any source that the loader reads, or random:CHECKPOINT for its
architecture with random weights. Each view writes one PNG; maskssl visualize VIEW --help says more.
"""

import argparse
from typing import TYPE_CHECKING

from ..cli.argument_types import at_least, output_picture

if TYPE_CHECKING:
    from ..transfer.encoders import Encoder

VIEWS = {
    "reconstruction": "what a pretraining fills in where it sees nothing",
    "attention": "where the heads of the last block look",
    "pca": "three components of the patches of all pictures together, as colours",
    "neighbours": "pictures beside those nearest to them, marked right or wrong by class",
    "embedding": "a map of all pictures by their features, in the colours of their classes",
    "masks": "what a pretraining hides",
    "schedule": "lr, weight decay, momentum and feature weight of a run, step by step",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A parser for each view."""
    views = parser.add_subparsers(dest="view", required=True, metavar="VIEW")
    for name, what in VIEWS.items():
        view = views.add_parser(name, help=what, description=f"Draw {what}.", allow_abbrev=False)
        _ADD.get(name, _add_encoder)(view)
        view.add_argument(
            "--out",
            type=output_picture,
            metavar="PNG",
            default=f"{name}.png",
            help="default %(default)s",
        )
        view.add_argument("--seed", type=at_least(0), default=0, help="of what is drawn at random")
        view.add_argument("--debug", action="store_true", default=argparse.SUPPRESS)
        if name in ("neighbours", "embedding"):
            view.add_argument("--pooling", choices=["mean", "cls", "registers"], default="mean")
            view.add_argument("--block", type=at_least(1), help="counted from 1; default the last")
        if name == "neighbours":
            view.add_argument(
                "--k", type=at_least(1), default=5, help="neighbours of a picture (5)"
            )


def _add_pictures(view: argparse.ArgumentParser) -> None:
    view.add_argument("images", nargs="+", help="image files, or folders of them")
    view.add_argument("--limit", type=at_least(1), help="most pictures, spread over the folders")


def _add_encoder(view: argparse.ArgumentParser) -> None:
    view.add_argument("checkpoint", help="file or work dir; random:PATH for random weights")
    _add_pictures(view)
    view.add_argument(
        "--img-size", type=at_least(1), help="side in pixels; default the pretraining's"
    )


def _add_reconstruction(view: argparse.ArgumentParser) -> None:
    view.add_argument("checkpoint", help="of a pretraining that predicts pixels, or its work dir")
    _add_pictures(view)
    view.add_argument("--config", help="of the pretraining; default the one in the checkpoint")


def _add_masks(view: argparse.ArgumentParser) -> None:
    view.add_argument("config", help="pretraining config")
    _add_pictures(view)


def _add_schedule(view: argparse.ArgumentParser) -> None:
    from ..cli.config_options import ConfigOptions

    view.add_argument("config", help="any training config")
    view.add_argument(
        "--images", type=at_least(1), help="of the training set; default what is there"
    )
    view.add_argument("--nproc", type=at_least(1), default=1, help="processes that share them (1)")
    view.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the lr as maskssl train does"
    )
    view.add_argument("--cfg-options", nargs="+", action=ConfigOptions, default={}, metavar="K=V")


_ADD = {
    "reconstruction": _add_reconstruction,
    "masks": _add_masks,
    "schedule": _add_schedule,
}


def run(args: argparse.Namespace) -> None:
    """Draw, and say where and how."""
    from .. import registration  # noqa: F401  as every run does

    told = {"masks": _masks, "schedule": _schedule, "reconstruction": _reconstruction}
    print(told.get(args.view, _of_encoder)(args))


def _masks(args: argparse.Namespace) -> str:
    from ..cli.pretraining_pictures import draw_masks

    return draw_masks(args.config, args.images, args.out, args.limit or 6, args.seed)


def _reconstruction(args: argparse.Namespace) -> str:
    from ..cli.pretraining_pictures import draw_reconstructions

    limit = args.limit or 8
    if args.config:
        return draw_reconstructions(
            args.config, args.checkpoint, args.images, args.out, limit, args.seed
        )
    from ..transfer.views import reconstruction_sheet, shelves

    shelf, _ = shelves(args.images)
    files = [shelf.files[place] for place in shelf.spread(limit)]
    reconstruction_sheet(args.checkpoint, files, args.seed).save(args.out)
    return args.out


def _schedule(args: argparse.Namespace) -> str:
    from ..cli.config import load_config
    from ..cli.launch import use_auto_scale_lr
    from ..cli.schedule import schedules_of
    from ..cli.unknown_arguments import named_in
    from ..visualization.schedules import figure_of, told_points

    cfg = load_config(args.config, args.cfg_options)
    if args.auto_scale_lr:
        use_auto_scale_lr(cfg)
    with named_in(cfg):
        schedules = schedules_of(cfg, args.images, args.nproc)
    figure_of(schedules).savefig(args.out)
    lines = [schedules.title]
    for quantity, curves in schedules.panels.items():
        for whose, curve in curves.items():
            points = told_points(curve).items()
            values = ", ".join(f"{word} {curve[at]:.6g} (iteration {at:,})" for word, at in points)
            lines.append(f"  {quantity}{f' of {whose}' if len(curves) > 1 else ''}: {values}")
    return "\n".join([*lines, args.out])


def _of_encoder(args: argparse.Namespace) -> str:
    import torch

    from ..transfer import views
    from ..transfer.encoders import open_encoder

    queries, bank = views.shelves(args.images)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    blocks = [args.block] if getattr(args, "block", None) else None
    encoder = open_encoder(args.checkpoint, "", device, blocks, args.img_size, args.seed)
    if args.view in ("attention", "pca"):
        limit = args.limit or (6 if args.view == "attention" else 12)
        files = [queries.files[place] for place in queries.spread(limit)]
        if args.view == "attention":
            views.attention_sheet(encoder, files).save(args.out)
            return args.out
        sheet, shares = views.component_sheet(encoder, files)
        sheet.save(args.out)
        return f"variance of the components: {', '.join(f'{s:.0%}' for s in shares)}\n{args.out}"
    feature = _feature(args, encoder)
    if args.view == "embedding":
        picked = queries.only(queries.spread(args.limit or 2000))
        features = views.pooled_features(encoder, picked.files, feature)
        sheet, how = views.map_sheet(features, picked, args.seed)
        sheet.save(args.out)
        return f"{feature}: {how}\n{args.out}"
    places = queries.spread(args.limit or 8)
    features = views.pooled_features(encoder, queries.files, feature)
    others = bank and views.pooled_features(encoder, bank.files, feature)
    found = views.neighbours_of(features, places, others, args.k)
    views.neighbour_sheet(encoder, queries, places, bank or queries, found).save(args.out)
    return args.out


def _feature(args: argparse.Namespace, encoder: "Encoder") -> str:
    """The encoder's name of what is asked for."""
    from ..errors import MaskSSLError

    feature = f"{args.block or encoder.blocks[-1]}.{args.pooling}"
    if feature not in encoder.features:
        raise MaskSSLError(
            f"--pooling {args.pooling}: {args.checkpoint} has {', '.join(encoder.features)} "
            "(block.pooling)"
        )
    return feature
