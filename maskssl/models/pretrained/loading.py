"""Pretrained weights into a PlainViT: everything is used, said, or refused."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log

from ...checkpoints.errors import CheckpointError
from ...checkpoints.finding import refuse_other_bytes
from ...checkpoints.parts import sha256_of_all
from ...checkpoints.reading import checkpoint_at, read_checkpoint
from ...errors import MaskSSLError
from .architecture import (
    POOLED,
    POOLINGS,
    assumptions,
    pixels_of,
    pooling_of,
    told_heads,
    vit_settings,
)
from .fitting import Backbone, fit_weights
from .ledger import Ledger
from .recognition import EncoderWeights, encoder_weights
from .told import told_config

# settings of a backbone that change every feature and that no shape shows
COMPARED = ("num_heads", "norm_eps", "pos_resize")
ACCEPTABLE = (*COMPARED, "pooling", "pixels")  # what ``accept`` lets pass


@dataclass(frozen=True)
class PretrainedFile:
    """A checkpoint, read and recognised.

    Attributes:
        path: of the file.
        weights: of one branch's encoder.
        config: what the file, or config.json beside it, says of the model.
        sha256: of the file, or of an index and its parts.
    """

    path: str
    weights: EncoderWeights
    config: Mapping[str, Any]
    sha256: str


def read_pretrained(
    checkpoint: str | Path, branch: str | None = None, unverified: bool = False
) -> PretrainedFile:
    """Read an encoder from any known checkpoint.

    Args:
        checkpoint: a file (.pth, .pt, .bin, .safetensors), a folder of Hugging Face's or timm's
            (config.json beside the weights), a work dir, or a URL.
        branch: 'student' or 'teacher'; None for the one that its authors evaluate.
        unverified: take sources too that were compared with nobody's code.

    Raises:
        CheckpointError: it cannot be read, its checksum file says other bytes, or it is of no
            known source.
    """
    path = checkpoint_at(str(checkpoint))
    refuse_other_bytes(Path(path))
    content = read_checkpoint(path)
    config = told_config(content, path)
    weights = encoder_weights(content, branch, config)
    if weights.source.reference is None and not unverified:
        raise CheckpointError(
            f"{path} is of {weights.source.name}, whose map was compared with no code of its "
            "authors; set unverified=True to take it all the same"
        )
    return PretrainedFile(path, weights, config, sha256_of_all(Path(path)))


def load_pretrained(
    backbone: Backbone,
    checkpoint: str | Path,
    branch: str | None = None,
    accept: Collection[str] = (),
    unverified: bool = False,
) -> Ledger:
    """Load an encoder from any known checkpoint, completely or not at all.

    Args:
        backbone: changed in place, and only when everything fits.
        checkpoint: as ``read_pretrained`` takes it.
        branch: 'student' or 'teacher'; None for the one that its authors evaluate.
        accept: of ``ACCEPTABLE``, what may differ from the pretraining;
            the last is compared by ``check_pixels``.
        unverified: as ``read_pretrained`` takes it.

    Returns:
        The ledger, which is also logged.

    Raises:
        CheckpointError: an encoder tensor is missing, unexpected, or of a shape that
            cannot be resized; the message lists all of them.
    """
    return load_weights(backbone, read_pretrained(checkpoint, branch, unverified), accept)


def load_weights(backbone: Backbone, file: PretrainedFile, accept: Collection[str] = ()) -> Ledger:
    """As ``load_pretrained``, of a file that was read already.

    Raises:
        CheckpointError: as there.
    """
    weights = file.weights
    ledger = Ledger(
        file.path,
        weights.source.name,
        weights.branch,
        file.sha256,
        dropped=dict(weights.dropped),
        outside=dict(weights.outside),
        parts=dict(weights.parts),
    )
    pixels = pixels_of(weights, file.config)
    ledger.mean, ledger.std = pixels.mean, pixels.std
    fitted = fit_weights(backbone, weights, file.config, ledger)
    if not ledger.problems:
        heads = told_heads(weights, file.config) or backbone.num_heads
        told = vit_settings(weights, file.config, heads)
        ledger.assumed = assumptions(weights, file.config, told)
        _compare(backbone, told, accept, ledger)
        _compare_pooling(backbone, file, accept, ledger)
    if ledger.problems:
        raise CheckpointError(
            f"{ledger.origin} ({ledger.source}, {ledger.branch}) does not fit this backbone, and "
            "nothing was loaded:\n  "
            + "\n  ".join(ledger.problems[:20])
            + (f"\n  … and {len(ledger.problems) - 20} more" if len(ledger.problems) > 20 else "")
        )
    backbone.load_state_dict(fitted, strict=True)
    backbone.ledger = ledger
    print_log(str(ledger), logger="current")
    return ledger


def _compare(
    backbone: Backbone, told: dict[str, Any], accept: Collection[str], ledger: Ledger
) -> None:
    """What no shape shows: the backbone's settings beside those of the pretraining."""
    for setting in COMPARED:
        mine, theirs = getattr(backbone, setting), (told | told["arch"])[setting]
        if mine == theirs or (setting == "pos_resize" and backbone.pos_embed is None):
            continue
        sentence = f"{setting}={mine!r}, and the checkpoint was made with {theirs!r}"
        if setting in accept:
            ledger.accepted.append(sentence)
        else:
            place = "arch of the backbone" if setting == "num_heads" else "the backbone"
            ledger.problems.append(
                f"{sentence}; set {setting}={theirs!r} in {place}, or "
                f"accept=[{setting!r}] in init_cfg for other features than its authors'"
            )


def _compare_pooling(
    backbone: Backbone, file: PretrainedFile, accept: Collection[str], ledger: Ledger
) -> None:
    """A cls token that a file's own training never looked at is refused; the rest is said."""
    mine = POOLINGS.get(backbone.out_type)
    trained, said = pooling_of(file.weights, file.config)
    if mine is None or trained is None or mine == trained:
        return
    sentence = (
        f"out_type={backbone.out_type!r}, and the checkpoint was trained with {POOLED[trained]}"
    )
    if mine == "avg" or not said:
        ledger.notes.append(sentence)
    elif "pooling" in accept:
        ledger.accepted.append(sentence)
    else:
        ledger.problems.append(
            f"{sentence}; set out_type='avg' in the backbone, or accept=['pooling'] in init_cfg "
            "for a cls token that no loss has trained"
        )


def check_pixels(
    ledger: Ledger, mean: Sequence[float], std: Sequence[float], accept: Collection[str] = ()
) -> None:
    """Refuse images that are normalised otherwise than those of the pretraining.

    Args:
        ledger: of the load; a mismatch that is accepted is noted in it.
        mean: that a model subtracts, per channel in RGB of 0..255.
        std: that it divides by.
        accept: 'pixels' to let it pass.

    Raises:
        CheckpointError: they differ, and nothing accepts it.
    """
    theirs = (*ledger.mean, *ledger.std)
    if len(theirs) == len(mean) + len(std) and all(
        abs(one - other) < 0.5 for one, other in zip((*mean, *std), theirs, strict=True)
    ):
        return
    sentence = (
        f"data_preprocessor has mean={list(mean)} and std={list(std)}, and {ledger.origin} was "
        f"made with mean={list(ledger.mean)} and std={list(ledger.std)}"
    )
    if "pixels" not in accept:
        raise CheckpointError(
            f"{sentence}; set those in model.data_preprocessor, or accept=['pixels'] in init_cfg "
            "for other features than its authors'"
        )
    ledger.accepted.append(sentence)


@torch.no_grad()
def initialise_backbone(backbone: Backbone) -> None:
    """Act on a backbone's ``init_cfg``: nothing, or Pretrained through the strict loader.

    Raises:
        MaskSSLError: ``init_cfg`` asks for something else.
    """
    cfg = backbone.init_cfg
    if not cfg:
        return
    cfg = dict(cfg[0]) if isinstance(cfg, list) and len(cfg) == 1 else cfg
    known = {"type", "checkpoint", "branch", "accept", "unverified"}
    if not isinstance(cfg, Mapping) or cfg.get("type") != "Pretrained" or not known >= cfg.keys():
        raise MaskSSLError(
            f"init_cfg={cfg} of {type(backbone).__name__} is not understood; use "
            "dict(type='Pretrained', checkpoint=PATH, branch='student' or 'teacher'), or None for "
            "random weights; accept and unverified are known too"
        )
    unknown = set(cfg.get("accept", ())) - set(ACCEPTABLE)
    if unknown:
        raise MaskSSLError(
            f"accept={sorted(unknown)} of init_cfg is unknown; use some of {ACCEPTABLE}"
        )
    if not cfg.get("checkpoint"):
        raise MaskSSLError(
            "init_cfg names no checkpoint; give one with maskssl train --pretrained PATH, or "
            "--pretrained none for random weights"
        )
    options = {key: cfg[key] for key in known - {"type", "checkpoint"} if key in cfg}
    load_pretrained(backbone, cfg["checkpoint"], **options)
