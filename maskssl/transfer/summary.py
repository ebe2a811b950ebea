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
from ..evaluation.metrics import compare
from ..evaluation.paired import Pair, interval_of, shared_ranks
from .encoders import Encoder
from .measure import CLASSES, HELD_OUT
from .opening import Results
from .plan import Plan
from .published import published_beside
from .rows import Row, Stage
from .stages import STAGES

VERSION = 1  # of the JSON


def summarise(plan: Plan, results: Results) -> dict[str, Any]:
    """The whole report as values of JSON."""
    first = next(iter(results.sets.values()))[0].root
    stages = [STAGES[name] for name in plan.stages]
    return {
        "version": VERSION,
        "title": f"Transfer: {plan.data.name if plan.data else first.name}",
        "command": command_of(plan, list(plan.checkpoints), plan.stages),
        "facts": facts_of(plan, results),
        "data": {
            kind if labels == CLASSES else f"{labels}, {kind}": dict(
                folder=str(images.root),
                images=len(images),
                classes=len(images.classes),
                sha256=images.content if kind == "train" or results.outcomes else None,
            )
            for labels, sets in results.sets.items()
            for kind, images in zip(("train", "test"), sets, strict=True)
        },
        "checkpoints": [_checkpoint(encoder) for encoder in results.encoders.values()],
        "measures": [
            _measure(plan, results, stage, row) for stage in stages for row in stage.rows_of_report
        ],
        "failed": results.failed,
        "seconds": results.seconds,
    }


def facts_of(plan: Plan, results: Results) -> dict[str, str]:
    """What a reader of the table must know."""
    cuda = plan.device.type == "cuda"
    most = plan.budget.chosen_on
    limit = "" if most is None else f", of {most:,} at most"
    return {
        "settings": f"chosen on {HELD_OUT:.0%} of the training images{limit}, held out class by "
        f"class, mean over {len(plan.seeds)} splits; then fitted on all training images and scored "
        "on the test images, once",
        "±": "standard deviation over seeds of the fit; apart from the draw of the test images",
        "interval": "95 %, bootstrap over test images",
        "rank": "1 + the number of checkpoints that are better beyond doubt (paired bootstrap, "
        "5 %, Holm's correction over the pairs of a row) and under every seed; a shared rank "
        "means: not told apart",
        "smallest difference shown": "found in 80 of 100 draws of such test images, at 5 % "
        "corrected for the pairs of the row, for the pair whose answers differ most",
        "random": "the first checkpoint's architecture with random weights, at its own best "
        "settings",
        "preset": plan.preset,
        "seeds": ", ".join(map(str, plan.seeds)),
        "pre-flight": "; ".join(results.preflight),
        "versions": f"maskssl {__version__}, torch {torch.__version__}, numpy {np.__version__}, "
        f"Python {platform.python_version()}",
        "machine": torch.cuda.get_device_name()
        if cuda
        else f"{len(os.sched_getaffinity(0))} CPU cores",
    }


def command_of(plan: Plan, checkpoints: Sequence[str], stages: Sequence[str]) -> str:
    """The command that gives these numbers again, of some checkpoints and stages."""
    words = ["maskssl", "transfer", *checkpoints]
    for option, given in (("--data", plan.data), ("--masks", plan.masks), ("--coco", plan.coco)):
        words += [option, str(given)] if given else []
    words += ["--stages", *stages, "--seeds", *map(str, plan.seeds), "--preset", plan.preset]
    words += ["--recipe", plan.recipe]
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


def _measure(plan: Plan, results: Results, stage: Stage, row: Row) -> dict[str, Any]:
    """A row of the table: cells, pairs, and what the test set can show."""
    told = dict(name=row.name, title=row.title, stage=stage.name, metric=row.metric)
    told["labels"] = stage.labels
    names = [name for name in results.encoders if (name, row.name) in results.outcomes]
    if not names:
        return told | dict(test=None, cells=[], pairs=[], detectable=None)
    chosen = {name: results.outcomes[name, row.name][0] for name in names}  # (S, N, …)
    figures, pairs = compare(chosen, row.figures)
    ranks = shared_ranks(names, pairs)
    return told | dict(
        test=results.sets[stage.labels][1].content,
        cells=[
            _cell(plan, results, name, stage, row)
            | dict(interval=list(interval_of(figures[:, place])), rank=ranks[name])
            for place, name in enumerate(names)
        ],
        pairs=[asdict(pair) | dict(told_apart=pair.told_apart) for pair in pairs],
        detectable=_detectable(pairs),
    )


def _detectable(pairs: Sequence[Pair]) -> float | None:
    """The largest of the pairs' smallest differences; models that agree everywhere tell nothing."""
    return max((pair.detectable for pair in pairs if pair.detectable), default=None)


def _cell(plan: Plan, results: Results, name: str, stage: Stage, row: Row) -> dict[str, Any]:
    outcomes = results.outcomes[name, row.name]  # (settings, S, N, …)
    choice = results.choices[name, stage.name]
    seeds = row.figures.seeds(outcomes[0])
    held_out = next(r["held_out"] for r in choice["table"] if r["setting"] == choice["chosen"])
    one = f"{name}={results.encoders[name].given}"
    alone = Plan(**{**vars(plan), "floor": False, "out": plan.out / "replay" / name / stage.name})
    many = row.metric == "top-1" and len(results.sets[CLASSES][0].classes) > 5
    return dict(
        checkpoint=name,
        figure=float(seeds.mean()),
        top5=float((outcomes[0] < 5).mean()) if many else None,
        seeds=seeds.tolist(),
        sd=float(seeds.std(ddof=1)) if len(seeds) > 1 else None,
        setting=choice["chosen"],
        held_out=held_out,
        table=choice["table"],
        reported=published_beside(
            plan.preset, plan.recipe, results.sets, results.encoders[name], row.name
        ),
        published=_published(row, outcomes, choice) if len(outcomes) > 1 else None,
        command=command_of(alone, [one], [stage.name]),
    )


def _published(row: Row, outcomes: np.ndarray, choice: dict[str, Any]) -> dict[str, Any]:
    """What a choice on the test images themselves would have reported."""
    chosen, *others = [row.figures.seeds(fits).mean() for fits in outcomes]
    best = int(np.argmax(others))
    return dict(
        setting=choice["table"][best]["setting"],
        figure=float(others[best]),
        worth=float(others[best] - chosen),
    )
