"""Whose checkpoint is it, and what are its tensors called here: one entry per source.

A source is recognised by keys that only it has. It says under which container and
prefix each branch (student, teacher) lies, how names map to PlainViT's, and which
tensors belong to no encoder and are dropped, with the reason that the log gives.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...checkpoints.errors import CheckpointError
from ...checkpoints.reading import CONTAINERS, tensors_of


@dataclass(frozen=True)
class Branch:
    """Where one set of encoder weights lies: container of the file, prefix of the keys."""

    container: str
    prefix: str


@dataclass(frozen=True)
class Pixels:
    """How images are normalised: (x - mean) / std, per channel in RGB of 0..255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


HALF_PIXELS = Pixels((127.5,) * 3, (127.5,) * 3)  # to -1..1: BootMAE and BEiT
IMAGENET_PIXELS = Pixels((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@dataclass(frozen=True)
class Source:
    """One way of saving ViT weights.

    Attributes:
        name: as the log calls it.
        marks: keys (after the container) of which all must match, as patterns.
        branches: by name; 'student' comes first where there are several.
        renames: (pattern, replacement) applied in order to keys below the prefix.
        drops: pattern -> why tensors of that name are not part of the encoder.
        pixels: mean and std, per channel in RGB of 0..255, that its images are normalised by
            where the file does not say.
    """

    name: str
    marks: tuple[str, ...]
    branches: Mapping[str, Branch]
    renames: tuple[tuple[str, str], ...] = ()
    drops: Mapping[str, str] = field(default_factory=dict)
    pixels: Pixels = field(default_factory=lambda: IMAGENET_PIXELS)


DECODER = "decoder of the pretraining"
HEAD = "head of another task"
PROJECTOR = "projector of the pretraining"

# the release's cls token belongs to the class attention: its patch encoder has none
EXTREMA_RENAMES = (
    (r"^blocks_token\.", "class_attention.blocks."),
    (r"^cls_token$", "class_attention.cls_token"),
)

MMPRETRAIN_RENAMES = (
    (r"^layers\.(\d+)\.ln([12])\.", r"blocks.\1.norm\2."),
    (r"^layers\.(\d+)\.attn\.", r"blocks.\1.attn."),
    (r"^layers\.(\d+)\.ffn\.layers\.0\.0\.", r"blocks.\1.mlp.fc1."),
    (r"^layers\.(\d+)\.ffn\.layers\.1\.", r"blocks.\1.mlp.fc2."),
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"^ln1\.", "norm."),
)

SOURCES: tuple[Source, ...] = (
    Source(
        name="maskssl pretraining",
        marks=(r"backbone\.blocks\.0\.", r"target_generator\.encoder\.blocks\.0\."),
        branches={
            "student": Branch("state_dict", "backbone."),
            "teacher": Branch("state_dict", "target_generator.encoder."),
        },
    ),
    Source(
        name="maskssl model",
        marks=(r"backbone\.blocks\.0\.attn\.qkv\.weight",),
        branches={"student": Branch("state_dict", "backbone.")},
    ),
    Source(
        name="mmpretrain ViT",
        marks=(r"backbone\.layers\.0\.attn\.qkv\.", r"backbone\.layers\.0\.ffn\.layers\."),
        branches={"student": Branch("state_dict", "backbone.")},
        renames=MMPRETRAIN_RENAMES,
    ),
    Source(
        name="BootMAE release",
        marks=(r"blocks\.0\.attn\.q_bias", r"decode_blocks_1\.0\."),
        branches={"student": Branch("model", ""), "teacher": Branch("model_ema", "")},
        drops={
            r"(decode_|down|lm_head|mask_token|de_pos_embed)": DECODER,
        },
        pixels=HALF_PIXELS,
    ),
    Source(
        name="ExtreMA release",
        marks=(r"base_encoder\.blocks_token\.0\.", r"momentum_encoder\.blocks_token\.0\."),
        branches={
            "student": Branch("*", "base_encoder."),
            "teacher": Branch("*", "momentum_encoder."),
        },
        renames=EXTREMA_RENAMES,
        drops={r"head\.": PROJECTOR},
    ),
    Source(
        name="BEiT-style ViT",
        marks=(r"blocks\.0\.attn\.q_bias",),
        branches={"student": Branch("*", ""), "teacher": Branch("model_ema", "")},
        renames=(
            (r"\.gamma_([12])$", r".ls\1.gamma"),
            (r"\.attn\.relative_position_bias_table$", r".rel_pos.table"),
        ),
        drops={
            r"(head|fc_norm|mask_token|lm_head)": HEAD,
            r".*relative_position_index$": "recomputed from the grid",
        },
        pixels=HALF_PIXELS,
    ),
    Source(
        name="plain ViT (timm, MAE)",
        marks=(r"blocks\.0\.attn\.qkv\.weight",),
        branches={"student": Branch("*", "")},
        drops={r"(decoder_|mask_token)": DECODER, r"(head|fc_norm)": HEAD},
    ),
)


@dataclass
class EncoderWeights:
    """Encoder tensors under PlainViT's names.

    Attributes:
        source: name of the source.
        branch: 'student' or 'teacher'.
        tensors: by PlainViT's parameter name.
        dropped: name -> reason.
        pixels: the source's.
    """

    source: str
    branch: str
    tensors: dict[str, Tensor]
    dropped: dict[str, str]
    pixels: Pixels


def identify(content: Mapping[str, Any]) -> tuple[Source, str]:
    """Recognise a checkpoint.

    Returns:
        The source and the container whose keys gave it away ('' for a bare file).

    Raises:
        CheckpointError: no source matches.
    """
    for container in (*CONTAINERS, ""):
        if container and not isinstance(content.get(container), Mapping):
            continue
        keys = _unwrapped(tensors_of(dict(content), container))
        for source in SOURCES:
            if all(any(re.match(mark, key) for key in keys) for mark in source.marks):
                return source, container
    sample = ", ".join(list(content)[:5])
    raise CheckpointError(
        f"no ViT encoder is recognised in this checkpoint (it holds {sample}…); known are "
        f"{', '.join(source.name for source in SOURCES)}"
    )


def encoder_weights(content: Mapping[str, Any], branch: str = "student") -> EncoderWeights:
    """Take one branch's encoder out of a checkpoint, under PlainViT's names.

    Args:
        content: as ``read_checkpoint`` returns it.
        branch: 'student' or 'teacher'.

    Raises:
        CheckpointError: unknown source, or the branch is not in the file.
    """
    source, found_in = identify(content)
    if branch not in source.branches:
        raise CheckpointError(
            f"a {source.name} checkpoint has no branch {branch!r}; use one of "
            f"{sorted(source.branches)}"
        )
    place = source.branches[branch]
    container = found_in if place.container == "*" or branch == "student" else place.container
    tensors = _unwrapped(tensors_of(dict(content), container))
    tensors = {key: value for key, value in tensors.items() if key.startswith(place.prefix)}
    if not tensors:
        raise CheckpointError(
            f"this {source.name} checkpoint holds no {branch} (nothing under {container!r}); it "
            f"was saved without one. Use branch='student'"
        )
    weights = EncoderWeights(source.name, branch, {}, {}, source.pixels)
    for key, value in tensors.items():
        name = key[len(place.prefix) :]
        reason = next((why for what, why in source.drops.items() if re.match(what, name)), None)
        if reason:
            weights.dropped[name] = reason
            continue
        for pattern, replacement in source.renames:
            name = re.sub(pattern, replacement, name)
        weights.tensors[name] = value
    weights.tensors = fuse_qv_bias(weights.tensors)
    return weights


def fuse_qv_bias(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join q_bias and v_bias to one qkv bias; the k part, which softmax ignores, is zero."""
    fused = {
        key: value for key, value in tensors.items() if not key.endswith((".q_bias", ".v_bias"))
    }
    for key, q_bias in tensors.items():
        if key.endswith(".q_bias"):
            stem = key.removesuffix("q_bias")
            v_bias = tensors[stem + "v_bias"]
            fused[stem + "qkv.bias"] = torch.cat([q_bias, torch.zeros_like(v_bias), v_bias])
    return fused


def _unwrapped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the 'module.' that DistributedDataParallel puts before every key."""
    if tensors and all(key.startswith("module.") for key in tensors):
        return {key.removeprefix("module."): value for key, value in tensors.items()}
    return dict(tensors)
