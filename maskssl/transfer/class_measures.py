"""What is measured of labels of whole images: kNN, probes, and a few labels."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import MaskSSLError
from ..evaluation.attentive import AttentiveSetting, train_attentive
from ..evaluation.knn import swept_votes, unit_length
from ..evaluation.linear_sweep import HeadSetting, train_heads
from ..evaluation.logistic import LogisticFit, fit_logistic
from ..evaluation.rows import Rows, ranks_of
from ..evaluation.splits import few_per_class
from .budgets import Budget
from .feature_store import POOLED, TOKENS, FeatureSet
from .measure import Measure, Part, Setting

Scorer = Callable[[Tensor], Tensor]  # features (B, …) -> scores (B, K)

LOW_SHOT_PENALTY = 1.0  # C: a few images of a class leave none to choose it on
NOT_CONVERGED = (
    "logistic regression with C={} stopped before its optimum (gradient {:.1e}); its features may "
    "be degenerate: leave the stage {!r} out, or look at the checkpoint"
)


def knn_settings(features: FeatureSet, budget: Budget, count: int) -> list[Setting]:
    """Block, pooling, k and temperature."""
    return [
        dict(feature=name, k=k, temperature=temperature)
        for name in (features.last_block if budget.last_block else features.features)
        for k in budget.neighbours
        if k <= count
        for temperature in (budget.temperatures if k > 1 else budget.temperatures[:1])
    ]


def knn_ranks(fitted: Part, scored: Part, settings: Sequence[Setting], seed: int) -> np.ndarray:
    """Votes of the nearest fitted images; one search for all k and temperatures of a feature."""
    found: dict[int, Tensor] = {}
    for name in dict.fromkeys(setting["feature"] for setting in settings):
        places = [i for i, setting in enumerate(settings) if setting["feature"] == name]
        pairs = [(int(settings[i]["k"]), float(settings[i]["temperature"])) for i in places]
        batches = list(fitted.rows(str(name)).batches())
        bank = torch.cat([unit_length(features) for features, _ in batches])
        labels = torch.cat([labels for _, labels in batches])
        ranks: list[list[Tensor]] = [[] for _ in places]
        for features, truth in scored.rows(str(name)).batches(1024):
            votes = swept_votes(features, bank, labels, fitted.features.num_classes, pairs)
            for own, scores in zip(ranks, votes, strict=True):
                own.append(ranks_of(scores, truth).cpu())
        found |= {i: torch.cat(own) for i, own in zip(places, ranks, strict=True)}
    return torch.stack([found[i] for i in range(len(settings))]).numpy()


def linear_settings(features: FeatureSet, budget: Budget, count: int) -> list[Setting]:
    """Block, pooling, standardisation, lr and weight decay."""
    return [
        dict(
            feature=name,
            standardised=standardised,
            lr=lr,
            weight_decay=decay,
            epochs=budget.linear_epochs,
            batch_size=budget.batch_size,
        )
        for name in features.features
        for standardised in (False, True)
        for lr in budget.linear_lrs
        for decay in budget.linear_decays
    ]


def linear_ranks(fitted: Part, scored: Part, settings: Sequence[Setting], seed: int) -> np.ndarray:
    """All heads trained in one pass over the features."""
    heads = [
        HeadSetting(
            str(s["feature"]), bool(s["standardised"]), float(s["lr"]), float(s["weight_decay"])
        )
        for s in settings
    ]
    rows = {name: fitted.rows(name) for name in dict.fromkeys(head.feature for head in heads)}
    epochs, batch_size = int(settings[0]["epochs"]), int(settings[0]["batch_size"])
    trained = train_heads(rows, heads, fitted.features.num_classes, epochs, batch_size, seed)
    return np.stack(
        [
            _ranked(scored.rows(head.feature), scorer)
            for head, scorer in zip(heads, trained, strict=True)
        ]
    )


def logistic_settings(features: FeatureSet, budget: Budget, count: int) -> list[Setting]:
    """Pooling of the last block, and C."""
    return [
        dict(feature=name, C=penalty)
        for name in features.last_block
        for penalty in budget.inverse_penalties
    ]


def logistic_ranks(
    fitted: Part, scored: Part, settings: Sequence[Setting], seed: int, stage: str = "logistic"
) -> np.ndarray:
    """The optimum for each C, begun at that of the C before.

    Raises:
        MaskSSLError: a fit of this stage did not converge.
    """
    found, fits = [], dict[str, LogisticFit]()
    for setting in settings:
        name, penalty = str(setting["feature"]), float(setting["C"])
        fit = fit_logistic(fitted.rows(name), fitted.features.num_classes, penalty, fits.get(name))
        if not fit.converged:
            raise MaskSSLError(NOT_CONVERGED.format(penalty, fit.gradient, stage))
        fits[name] = fit
        found.append(_ranked(scored.rows(name), fit.head))
    return np.stack(found)


def attentive_settings(features: FeatureSet, budget: Budget, count: int) -> list[Setting]:
    """Learning rate."""
    steps = math.ceil(count / budget.batch_size)  # of a pass
    epochs = max(budget.attentive_epochs, math.ceil(budget.attentive_steps / steps))
    return [
        dict(
            lr=lr,
            weight_decay=budget.attentive_decay,
            epochs=epochs,
            batch_size=budget.batch_size,
            num_heads=features.num_heads,
        )
        for lr in budget.attentive_lrs
    ]


def attentive_ranks(
    fitted: Part, scored: Part, settings: Sequence[Setting], seed: int
) -> np.ndarray:
    """One probe after the other on the last block's patch tokens."""
    found = []
    for setting in settings:
        probe = train_attentive(
            fitted.rows(TOKENS),
            fitted.features.num_classes,
            AttentiveSetting(**setting),  # type: ignore[arg-type]
            seed,
        )
        with torch.inference_mode():
            found.append(_ranked(scored.rows(TOKENS), probe, 256))
    return np.stack(found)


def low_shot(amount: int | float) -> Measure:
    """Logistic regression on a few images of each class; nothing is chosen.

    Args:
        amount: images of a class, or as a float their share.
    """

    def settings(features: FeatureSet, budget: Budget, count: int) -> list[Setting]:
        name = next(name for name in features.last_block if name.endswith(".mean"))
        return [dict(feature=name, C=LOW_SHOT_PENALTY, amount=amount)]

    def ranks(fitted: Part, scored: Part, settings: Sequence[Setting], seed: int) -> np.ndarray:
        labels = fitted.features.labels[fitted.ids]
        few = Part(fitted.features, fitted.ids[few_per_class(labels, amount, seed)])
        return logistic_ranks(few, scored, settings, seed, name)

    what = f"{amount} a class" if isinstance(amount, int) else f"{amount:.0%} of the images"
    name = f"lowshot-{amount}" if isinstance(amount, int) else f"lowshot-{100 * amount:g}%"
    return Measure(name, f"logistic regression, {what}", settings, ranks, seeded=True)


def _ranked(rows: Rows, scorer: Scorer, size: int = 4096) -> np.ndarray:
    """Ranks of the true classes, (N,)."""
    return torch.cat(
        [ranks_of(scorer(features), labels).cpu() for features, labels in rows.batches(size)]
    ).numpy()


CLASS_MEASURES = (
    Measure("knn", "kNN", knn_settings, knn_ranks, seeded=False),
    Measure("linear", "linear probe", linear_settings, linear_ranks, seeded=True),
    Measure("logistic", "logistic regression", logistic_settings, logistic_ranks, seeded=False),
    Measure(
        "attentive",
        "attentive probe",
        attentive_settings,
        attentive_ranks,
        seeded=True,
        kinds=(POOLED, TOKENS),
        together=False,
    ),
    *(low_shot(amount) for amount in (1, 5, 10, 0.01, 0.1)),
)
