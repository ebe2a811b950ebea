"""Each config at paper scale against the table of published values: what is built of it."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config

from tests import recipe_model_checks  # noqa: F401  registers its comparisons
from tests.recipe_table import TABLE, built, config, groups, recipes, skip_without
from tests.recipe_training_checks import CHECKS

RECIPES = sorted(recipes())


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_built_has_the_published_values(name):
    skip_without(config(name).default_scope)
    model = built(name)
    for group, values in groups(recipes()[name]).items():
        if group in ("augmentation", "test", "pictures"):
            continue  # tests/test_recipe_pictures.py
        CHECKS[group](model, values)
        assert not values, f"{name}: nobody compares {group}.{', '.join(values)}"


def test_every_config_at_paper_scale_is_in_the_table_and_every_value_has_a_source():
    shipped = {
        path.relative_to(root).as_posix()
        for root in (TABLE.parents[2] / "configs",)
        for path in root.glob("*/*.py")
        if re.search(r"_(in1k|in22k|ade20k-\d+x\d+|coco)(_|\.py)", path.name)
        and "_deprecation_" not in path.read_text(encoding="utf-8")
    }
    assert shipped == set(RECIPES)
    text = TABLE.read_text(encoding="utf-8")
    known = set(re.findall(r"^([\w-]+) = \"", text.split("[sources]")[1].split("# ---")[0], re.M))
    for name, recipe in recipes().items():
        sources = {recipe["source"]}
        sources |= {group["source"] for group in recipe.values() if "source" in group}
        assert sources <= known, name


# Nothing beside the table


def leaves(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths and values of a config, lists of numbers as one value."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(node, (list, tuple)) and any(isinstance(v, (dict, list)) for v in node):
        for index, value in enumerate(node):
            yield from leaves(value, f"{path}.{index}")
    else:
        yield path, node


# What a config value is called in the table; None says that it is structure, not a value.
RULES: tuple[tuple[str, str | None], ...] = (
    (r"(.*\.)?type", None),
    (r"optim_wrapper\.optimizer\.lr", "optimizer.lr"),
    (r"optim_wrapper\.optimizer\.betas", "optimizer.betas"),
    (r"optim_wrapper\.optimizer\.momentum", "optimizer.momentum"),
    (r"optim_wrapper\.optimizer\.trust_coefficient", "optimizer.trust_coefficient"),
    (r"optim_wrapper\.optimizer\.weight_decay", "optimizer.weight_decay"),
    (r"optim_wrapper\.paramwise_cfg\.layer_decay_rate", "optimizer.layer_decay"),
    (r"optim_wrapper\.clip_grad(\..*)?", "optimizer.clip_norm"),
    (r"optim_wrapper\.accumulative_counts", "batch.accumulation"),
    (r"optim_wrapper\.dtype", "precision.dtype"),
    (r"optim_wrapper\.(constructor|optimizer\.fused)", None),
    (r"param_scheduler\..*", "schedule.lr_at"),
    (r"train_cfg\.max_epochs", "schedule.epochs"),
    (r"train_cfg\.max_iters", "schedule.iterations"),
    (r"train_cfg\.(by_epoch|val_interval)", None),
    (r"auto_scale_lr\.base_batch_size", "batch.gpus"),
    (r"auto_scale_lr\.enable", None),
    (r"custom_hooks\.\d\.momentum", "ema.decay"),
    (r"custom_hooks(\.\d\.interval)?", None),
    (r"(train|test)_dataloader\.batch_size", "batch.per_gpu"),
    (r"model\.data_preprocessor\.(mean|std)", "normalisation.mean"),
    (r"model\.data_preprocessor\.(to_rgb|bgr_to_rgb|to_onehot|pad_mask)", None),
    (r"model\.data_preprocessor\.num_classes", "head.classes"),
    (r"model\.data_preprocessor\.(pad_val|seg_pad_val|size)", "pictures.crop"),
    (r"model\.data_preprocessor\.test_cfg\.size", "test.window"),
    (r"model\.data_preprocessor\.pad_size_divisor", "pictures.pad"),
    (r"model\.backbone\.arch", "encoder.embed_dims"),
    (r"model\.backbone\.(img_size|patch_size|final_norm)", r"encoder.\1"),
    (r"model\.backbone\.with_cls_token", "encoder.cls_token"),
    (r"model\.backbone\.pos_embed_layout", "encoder.position"),
    (r"model\.backbone\.pos_embed_trainable", "encoder.position_learnt"),
    (r"model\.backbone\.drop_path_rate", "encoder.drop_path"),
    (r"model\.backbone\.layer_scale_init", "encoder.layer_scale"),
    (r"model\.backbone\.rel_pos_bias", "encoder.relative_bias"),
    (r"model\.backbone\.class_attention\..*", "encoder.class_attention_layers"),
    (r"model\.backbone\.out_type", "encoder."),
    (r"model\.backbone\.out_indices", "encoder."),
    (r"model\.backbone\.frozen_stages", "encoder.frozen"),
    (r"model\.backbone\.init_cfg\.(branch|checkpoint)", "encoder.weights"),
    (r"model\.backbone\.split_qkv_init", None),
    (r"model\.neck\.pixel\.embed_dims", "decoders.pixel_dims"),
    (r"model\.neck\.num_layers", "decoders.layers|heads.projector_layers"),
    (r"model\.neck\.(hidden|out)_channels", r"heads.\1"),
    (r"model\.shallow_index", "decoders.pixel_level"),
    (r"model\.deep_index", "decoders.feature_level"),
    (r"model\.head\.(feature_weight|weight_mask)", r"loss.\1"),
    (r"model\.head\.predictor\.(num_layers|hidden_channels)", "heads.predictor_layers"),
    (r"model\.head\.(loss|temperature)", r"heads.\1"),
    (r"model\.head\.(in_channels|num_classes)", "head.classes"),
    (r"model\.head\.norms\..*", "head.norms"),
    (r"model\.head\.init_std", "head.init_std"),
    (r"model\.head\.loss\..*", "targets.smoothing"),
    (r"model\.head\.topk", None),
    (r"model\.train_cfg\.augments\..*", "targets.mixup"),
    (r"model\.target_generator\.schedule\..*", "teacher.momentum_at"),
    (r"model\.mask_num", "masking.masked"),
    (r"model\.(mask_ratio|num_masks|disjoint)", "masking.masks"),
    (r"model\.(k|temperature)", r"neighbours.\1"),
    (r"model\.neck\.(\d\.)?(in_channels|scales|norm_cfg\..*)", "pyramid.scales"),
    (r"model\.neck\.\d\.(out_channels|num_outs)", "pyramid.channels"),
    (r"model\.(decode|auxiliary)_head\..*", "decode_heads.channels"),
    (r"model\.test_cfg\.(mode|crop_size|stride)", "test.window"),
    (r"model\.(rpn_head|roi_head|train_cfg|test_cfg)\..*", "detector.classes"),
    (r"train_dataloader\.dataset\.pipeline\.\d\..*", "augmentation.|pictures."),
    (r"(val|test)_dataloader\.dataset\.pipeline\.\d\..*", "test."),
    (r"test_cfg\.bank_dataloader\.batch_size", "batch.per_gpu"),
    (r"test_cfg\.bank_dataloader\.dataset\.pipeline\.\d\..*", "test."),
)  # fmt: skip
WATCHED = re.compile(
    r"(optim_wrapper|param_scheduler|train_cfg|auto_scale_lr|custom_hooks|model)\b"
    r"|.*_dataloader\.(batch_size|dataset\.pipeline)\b"
)


@pytest.mark.parametrize("name", RECIPES)
def test_no_value_stands_outside_the_table(name):
    known = {
        f"{group}.{key}" for group, values in groups(recipes()[name]).items() for key in values
    }
    strangers = []
    for path, value in leaves(config(name).to_dict()):
        path = path.replace("model.module.", "model.")
        if not WATCHED.match(path) or path.startswith("val_dataloader.batch"):
            continue
        matches = ((re.fullmatch(pattern, path), keys) for pattern, keys in RULES)
        found, keys = next(((match, keys) for match, keys in matches if match), (None, None))
        if found is None:
            strangers.append(f"{path} = {value!r}: no rule")
            continue
        if keys is None or value is None:
            continue
        wanted = [found.expand(key) for key in keys.split("|")]
        if not any(entry.startswith(key) for key in wanted for entry in known):
            strangers.append(f"{path} = {value!r}: the recipe has no {' or '.join(wanted)}")
    assert not strangers, "\n".join(strangers)


# the box head and the number of proposals are CAE's, and in the table
DETECTOR = re.compile(
    r".*\.num_classes|roi_head\.bbox_head\..*|train_cfg\.rpn_proposal\.max_per_img"
)


def test_what_cae_leaves_of_the_detector_is_mmdets():
    """Anchors, assigners, samplers, thresholds: those of mmdet's Mask R-CNN."""
    found = importlib.util.find_spec("mmdet")
    if found is None:
        pytest.skip("mmdet is not installed")
    folder = Path(found.origin).parent / ".mim" / "configs" / "_base_" / "models"
    name = "det/bootmae_vit-base-p16_mask-rcnn_16xb2-1x_coco.py"
    theirs = dict(leaves(Config.fromfile(folder / "mask-rcnn_r50_fpn.py").model.to_dict()))
    ours = dict(leaves(config(name).model.to_dict()))
    parts = ("rpn_head", "roi_head", "train_cfg", "test_cfg")
    differing = {
        path: (ours.get(path), theirs.get(path))
        for path in ours.keys() | theirs.keys()
        if path.startswith(parts) and ours.get(path) != theirs.get(path)
    }
    assert {path for path in differing if not DETECTOR.fullmatch(path)} == set()
