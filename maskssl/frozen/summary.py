"""From outcomes per image to the report's numbers: plain values, as report.json has them."""

import os
import platform
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..evaluation.paired import Pair, compare_pairs, interval_of, resampled_means, shared_ranks
from .encoders import Encoder
from .experiment import HELD_OUT, Plan, Results
from .measures import MEASURES, Measure

VERSION = 1  # of the JSON


def summarise(plan: Plan, results: Results) -> dict[str, Any]:
    """The whole report as values of JSON."""
    return {
        "version": VERSION,
        "title": f"Transfer on frozen features: {plan.data.name}",
        "command": command_of(plan, list(plan.checkpoints), plan.stages),
        "facts": facts_of(plan, results),
        "data": {
            kind: dict(
                folder=str(images.root),
                images=len(images),
                classes=len(images.classes),
                sha256=images.content if kind == "train" or results.outcomes else None,
            )
            for kind, images in (("train", results.train), ("test", results.test))
        },
        "checkpoints": [_checkpoint(encoder) for encoder in results.encoders.values()],
        "measures": [_measure(plan, results, MEASURES[name]) for name in plan.stages],
        "failed": results.failed,
        "seconds": results.seconds,
    }


def facts_of(plan: Plan, results: Results) -> dict[str, str]:
    """What a reader of the table must know."""
    cuda = plan.device.type == "cuda"
    return {
        "settings": f"chosen on {HELD_OUT:.0%} of the training images, held out class by class, "
        f"mean over {len(plan.seeds)} splits; then fitted on all training images and scored on the "
        "test images, once",
        "±": "standard deviation over seeds of the fit; apart from the draw of the test images",
        "interval": "95 %, bootstrap over test images",
        "rank": "1 + the number of checkpoints that are better beyond doubt (paired bootstrap, "
        "5 %, Holm's correction over the pairs of a row) and under every seed; a shared rank "
        "means: not told apart",
        "smallest difference shown": "found in 80 of 100 draws of such test images, at 5 %, for "
        "the pair of the row whose answers differ most",
        "random": "the first checkpoint's architecture with random weights, at its own best "
        "settings",
        "preset": plan.preset,
        "seeds": ", ".join(map(str, plan.seeds)),
        "versions": f"maskssl {__version__}, torch {torch.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}",
        "machine": torch.cuda.get_device_name()
        if cuda
        else f"{len(os.sched_getaffinity(0))} CPU cores",
    }


def command_of(plan: Plan, checkpoints: Sequence[str], stages: Sequence[str]) -> str:
    """The command that gives these numbers again, of some checkpoints and stages."""
    words = ["maskssl", "transfer", *checkpoints, "--data", str(plan.data)]
    words += ["--stages", *stages, "--seeds", *map(str, plan.seeds), "--preset", plan.preset]
    if plan.blocks:
        words += ["--blocks", *map(str, plan.blocks)]
    if plan.img_size:
        words += ["--img-size", str(plan.img_size)]
    words += ["--published"] * plan.published + ["--no-floor"] * (not plan.floor)
    return shlex.join([*words, "--cache", str(plan.cache), "--out", str(plan.out)])


def _checkpoint(encoder: Encoder) -> dict[str, Any]:
    backbone = encoder.backbone
    return dict(
        name=encoder.name,
        given=encoder.given,
        weights=encoder.weights,
        architecture=f"{backbone.num_layers} blocks of width {backbone.embed_dims}, "
        f"{backbone.num_heads} heads, patches of {backbone.patch_size}, "
        f"images of {backbone.img_size[0]} x {backbone.img_size[1]}",
        features=encoder.features,
        mean=list(backbone.mean),
        std=list(backbone.std),
        ledger=asdict(backbone.ledger),
        ledger_text=str(backbone.ledger),
    )


def _measure(plan: Plan, results: Results, measure: Measure) -> dict[str, Any]:
    """A row of the table: cells, pairs, and what the test set can show."""
    names = [name for name in results.encoders if (name, measure.name) in results.outcomes]
    if not names:
        return dict(name=measure.name, title=measure.title, cells=[], pairs=[], detectable=None)
    right = {name: results.outcomes[name, measure.name][0] == 0 for name in names}  # (S, N)
    means = resampled_means(np.stack([found.mean(axis=0) for found in right.values()]))  # (R, M)
    pairs = compare_pairs(right, means)
    ranks = shared_ranks(names, pairs)
    return dict(
        name=measure.name,
        title=measure.title,
        cells=[
            _cell(plan, results, name, measure)
            | dict(interval=list(interval_of(means[:, place])), rank=ranks[name])
            for place, name in enumerate(names)
        ],
        pairs=[asdict(pair) | dict(told_apart=pair.told_apart) for pair in pairs],
        detectable=_detectable(pairs),
    )


def _detectable(pairs: Sequence[Pair]) -> float | None:
    """The largest of the pairs' smallest differences; models that agree everywhere tell nothing."""
    return max((pair.detectable for pair in pairs if pair.detectable), default=None)


def _cell(plan: Plan, results: Results, name: str, measure: Measure) -> dict[str, Any]:
    ranks = results.outcomes[name, measure.name]  # (settings, S, N)
    choice = results.choices[name, measure.name]
    right = ranks[0] == 0
    seeds = right.mean(axis=1)
    held_out = next(r["held_out"] for r in choice["table"] if r["setting"] == choice["chosen"])
    one = f"{name}={results.encoders[name].given}"
    alone = Plan(**{**vars(plan), "floor": False, "out": plan.out / "replay" / name / measure.name})
    return dict(
        checkpoint=name,
        top1=float(right.mean()),
        top5=float((ranks[0] < 5).mean()) if len(results.train.classes) > 5 else None,
        seeds=seeds.tolist(),
        sd=float(seeds.std(ddof=1)) if len(seeds) > 1 else None,
        setting=choice["chosen"],
        held_out=held_out,
        table=choice["table"],
        published=_published(ranks, choice) if plan.published else None,
        command=command_of(alone, [one], [measure.name]),
    )


def _published(ranks: np.ndarray, choice: dict[str, Any]) -> dict[str, Any]:
    """What a choice on the test images themselves would have reported."""
    accuracies = (ranks[1:] == 0).mean(axis=(1, 2))
    best = int(accuracies.argmax())
    return dict(
        setting=choice["table"][best]["setting"],
        top1=float(accuracies[best]),
        worth=float(accuracies[best] - (ranks[0] == 0).mean()),
    )
