"""Each config at paper scale against the table of published values: what is built of it."""

import ast
import importlib.util
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS, DefaultScope
from torch import nn

from maskssl.schedules import feature_weight_ramp
from tests.recipe_table import (
    TABLE,
    Built,
    built,
    config,
    groups,
    inner_model,
    lr_curve,
    recipes,
    skip_without,
)

RECIPES = sorted(recipes())
EPOCH = 5  # steps of an epoch in simulated schedules
DET_EPOCH = 600  # longer than the warm-up of 500 steps
# A group of the table -> what compares it. Each takes what was built and the group, and
# removes from the group what it has compared.
CHECKS: dict[str, Callable[[Built, dict[str, Any]], None]] = {}


def compares(check: Callable[[Built, dict[str, Any]], None]) -> Callable[..., None]:
    """Register the comparison of the group it is named after."""
    CHECKS[check.__name__] = check
    return check


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


# The training


@compares
def batch(model: Built, values: dict[str, Any]) -> None:
    cfg = model.cfg
    if "gpus" not in values:  # a test alone
        assert cfg.test_dataloader.batch_size == values.pop("per_gpu")
        return
    per_gpu, accumulation = values.pop("per_gpu"), values.pop("accumulation")
    assert cfg.train_dataloader.batch_size == per_gpu
    # mmengine compares the images of one forward
    assert cfg.auto_scale_lr.base_batch_size == values.pop("gpus") * per_gpu
    if model.wrapper is not None:
        assert model.wrapper._accumulative_counts == accumulation


@compares
def optimizer(model: Built, values: dict[str, Any]) -> None:
    if model.wrapper is None:
        values.clear()
        return
    made, peak = model.wrapper.optimizer, values.pop("lr")
    kind = values.pop("type")
    assert type(made).__name__ == {"LARS": "MAELARS"}.get(kind, kind)
    decay, rate = values.pop("weight_decay"), values.pop("layer_decay")
    clip = values.pop("clip_norm", 0)
    assert model.wrapper.clip_grad_kwargs == (dict(max_norm=clip, norm_type=2) if clip else None)
    for key, published in (
        ("betas", "betas"),
        ("momentum", "momentum"),
        ("trust_coeff", "trust_coefficient"),
    ):
        if published in values:
            wanted = values.pop(published)
            found = {repr(group.get(key, 0.0)) for group in made.param_groups}
            assert found == {repr(tuple(wanted) if published == "betas" else wanted)}, published
    depth = model.backbone.num_layers
    for name, param, group in model.grouped():
        below = depth_from_head(name, depth)
        assert group["lr"] == pytest.approx(peak * rate**below), name
        plain = param.ndim <= 1 or name.endswith(("pos_embed", "cls_token"))
        assert group["weight_decay"] == (0 if plain else decay), name
    trained = {name for name, param in model.model.named_parameters() if param.requires_grad}
    assert trained == {name for name, _, _ in model.grouped()}


def depth_from_head(name: str, depth: int) -> int:
    """How many times the layer decay applies: 1 for the last block, depth + 1 for the stem."""
    if block := re.match(r"backbone\.blocks\.(\d+)\.", name):
        return depth - int(block[1])
    return depth + 1 if re.match(r"backbone\.(patch_embed|cls_token|pos_embed)", name) else 0


@compares
def precision(model: Built, values: dict[str, Any]) -> None:
    if model.wrapper is None:
        values.clear()
        return
    with model.wrapper.optim_context(nn.Linear(2, 2)):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert str(product.dtype) == f"torch.{values.pop('dtype')}"


@compares
def schedule(model: Built, values: dict[str, Any]) -> None:
    """The lr of the head, and of the stem below it, at the times of the table."""
    cfg = model.cfg
    length = values.pop("epochs", None) or values.pop("iterations")
    assert cfg.train_cfg.get("max_epochs", cfg.train_cfg.get("max_iters")) == length
    epoch = DET_EPOCH if "lr_at_step" in values else EPOCH
    epoch = 1 if "max_iters" in cfg.train_cfg else epoch
    warm = values.pop("warmup_epochs", 0) * epoch or values.pop("warmup_iterations", 500)
    values.pop("floor", None)  # lr_at says what it makes of it
    points = [(step, lr) for step, lr in values.pop("lr_at_step", [])]
    points += [(round(time * epoch), lr) for time, lr in values.pop("lr_at")]
    peak, steps = cfg.optim_wrapper.optimizer.lr, tuple(step for step, _ in points)
    rate = cfg.optim_wrapper.paramwise_cfg.layer_decay_rate
    for scale in (1.0, rate ** (model.backbone.num_layers + 1)):
        for (step, lr), found in zip(points, curve(cfg, peak * scale, epoch, steps), strict=True):
            # mmengine's warm-up arrives a step early, and so does its poly
            allowed = lr * (1.2 / warm if step < warm else 2e-5) + 8e-6 * peak
            assert found == pytest.approx(lr * scale, abs=allowed * scale), f"step {step}"


def curve(cfg: Config, lr: float, epoch: int, steps: tuple[int, ...]) -> list[float]:
    """``lr_curve``, walked once for all schedules that only scale with the lr."""
    scales = not any(entry.get("eta_min") for entry in cfg.param_scheduler)
    walked = _walked(
        repr(cfg.param_scheduler), repr(cfg.train_cfg), 1.0 if scales else lr, epoch, steps
    )
    return [lr * value for value in walked] if scales else walked


@cache
def _walked(schedulers: str, loop: str, lr: float, epoch: int, steps: tuple[int, ...]):
    entries, train_cfg = ast.literal_eval(schedulers), ast.literal_eval(loop)
    return lr_curve(Config(dict(param_scheduler=entries, train_cfg=train_cfg)), lr, epoch, [*steps])


@compares
def ema(model: Built, values: dict[str, Any]) -> None:
    decay = values.pop("decay")
    hooks = [HOOKS.build(hook) for hook in model.cfg.custom_hooks if hook.type.endswith("EMAHook")]
    assert len(hooks) == bool(decay)
    for hook in hooks:
        source = nn.Linear(1, 1, bias=False)
        averaged = MODELS.build(dict(hook.ema_cfg, model=source))
        for weight in (1.0, 1.0, 2.0):  # the first update copies
            nn.init.constant_(source.weight, weight)
            averaged.update_parameters(source)
        moved = averaged.module.weight.item() - 1
        assert moved == pytest.approx(1 - decay, rel=1e-3)


# The models


@compares
def normalisation(model: Built, values: dict[str, Any]) -> None:
    preprocessor = model.model.data_preprocessor
    if "ms-flip" in model.cfg.filename:
        preprocessor = model.model.module.data_preprocessor
    assert preprocessor.mean.flatten().tolist() == pytest.approx(values.pop("mean"))
    assert preprocessor.std.flatten().tolist() == pytest.approx(values.pop("std"))
    cfg = inner_model(model.cfg).data_preprocessor
    assert cfg.get("to_rgb") or cfg.get("bgr_to_rgb")  # images are read as BGR


@compares
def encoder(model: Built, values: dict[str, Any]) -> None:
    backbone = model.backbone
    assert backbone.embed_dims == values.pop("embed_dims")
    depth = backbone.num_layers
    assert depth == values["depth"] and len(backbone.blocks) == values.pop("blocks", depth)
    values.pop("depth")
    assert {block.attn.num_heads for block in backbone.blocks} == {values.pop("heads")}
    assert backbone.patch_embed.proj.kernel_size == (values["patch_size"],) * 2
    assert backbone.grid_size == (values.pop("img_size") // values.pop("patch_size"),) * 2
    assert backbone.with_cls_token is values.pop("cls_token")
    assert backbone.pos_embed_layout == values.pop("position")
    assert backbone.pos_embed.requires_grad is values.pop("position_learnt")
    assert backbone.with_final_norm is values.pop("final_norm")
    rate = values.pop("drop_path")
    found = [block.drop_path.drop_prob or 0.0 for block in backbone.blocks]
    assert found == pytest.approx([rate * k / (depth - 1) for k in range(len(found))])
    scale = values.pop("layer_scale", 0.0)
    scales = [block.ls1 for block in backbone.blocks]
    assert all(isinstance(part, nn.Identity) is (scale == 0) for part in scales)
    assert all((part.gamma == scale).all() for part in scales if scale)
    biased = values.pop("relative_bias", False)
    assert {block.rel_pos is not None for block in backbone.blocks} == {biased}
    layers = values.pop("class_attention_layers", 0)
    assert bool(backbone.class_attention) is bool(layers)
    if layers:
        assert len(backbone.class_attention.blocks) == layers
        wanted = values.pop("class_attention_scale")
        gammas = [p for n, p in backbone.class_attention.named_parameters() if "gamma" in n]
        assert len(gammas) == 2 * layers
        for gamma in gammas:
            torch.testing.assert_close(gamma, torch.full_like(gamma, wanted))
    if "output" in values:
        assert backbone.out_type == values.pop("output")
        init = inner_model(config_of(model)).backbone.init_cfg
        wanted = ("Pretrained", None, values.pop("weights"))
        assert (init.type, init.checkpoint, init.branch) == wanted
    if "levels" in values:
        assert list(backbone.out_indices) == values.pop("levels")
    if model.wrapper is not None:
        trained = any(param.requires_grad for param in backbone.parameters())
        assert trained is not values.pop("frozen", False)


def _file(model: Built) -> str:
    return model.cfg.filename.rsplit("/", 1)[-1]


def config_of(model: Built) -> Any:
    """The config as it was read, with its init_cfg."""
    (cfg,) = (config(name) for name in RECIPES if name.endswith("/" + _file(model)))
    return cfg


@compares
def decoders(model: Built, values: dict[str, Any]) -> None:
    neck, depth = model.model.neck, values.pop("layers")
    for decoder in (neck.pixel, neck.feature):
        assert len(decoder.blocks) == depth
    heads = {m.num_heads for m in neck.modules() if hasattr(m, "num_heads")}
    assert heads == {values.pop("heads")}
    assert neck.pixel.embed.out_features == values.pop("pixel_dims")
    assert neck.feature.embed.out_features == values.pop("feature_dims")
    assert model.model.shallow_index == values.pop("pixel_level")
    assert model.model.deep_index == values.pop("feature_level")


@compares
def heads(model: Built, values: dict[str, Any]) -> None:
    def widths(mlp: nn.Module) -> list[int]:
        return [part.out_features for part in mlp.modules() if isinstance(part, nn.Linear)]

    hidden, out = values.pop("hidden"), values.pop("out")
    head = model.model.head
    assert widths(model.model.neck) == [hidden] * (values.pop("projector_layers") - 1) + [out]
    assert widths(head.predictor) == [hidden] * (values.pop("predictor_layers") - 1) + [out]
    assert (head.loss_name, head.temperature) == (values.pop("loss"), values.pop("temperature"))


@compares
def masking(model: Built, values: dict[str, Any]) -> None:
    algorithm = model.model
    if "masked" in values:
        assert algorithm.mask_num == values.pop("masked")
        values.clear()  # the block mask: tests/test_recipe_pictures.py
        return
    ids = algorithm.draw_masks(1)
    assert tuple(ids.shape[1:]) == (values.pop("masks"), values.pop("visible"))
    assert len(ids.unique()) == values.pop("covered")


@compares
def loss(model: Built, values: dict[str, Any]) -> None:
    head = model.model.head
    assert head.feature_weight == values.pop("feature_weight")
    assert head.weight_mask is values.pop("weight_mask")
    epochs = model.cfg.train_cfg.max_epochs
    for epoch, weight in values.pop("feature_weight_at"):
        found = feature_weight_ramp(epoch, epochs, head.feature_weight, head.feature_ramp)
        assert found == pytest.approx(weight, rel=1e-5)
    assert "FeatureWeightHook" in [hook.type for hook in model.cfg.custom_hooks]


@compares
def teacher(model: Built, values: dict[str, Any]) -> None:
    generator, epochs = model.model.target_generator, model.cfg.train_cfg.max_epochs
    for epoch, momentum in values.pop("momentum_at"):
        found = generator.momentum_at(epoch, epoch / epochs)
        assert 1 - found == pytest.approx(1 - momentum, rel=1e-4, abs=1e-9), epoch
    assert "MomentumUpdateHook" in [hook.type for hook in model.cfg.custom_hooks]


@compares
def head(model: Built, values: dict[str, Any]) -> None:
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        drawn = MODELS.build(model.cfg.model.head)  # with its weights
    assert drawn.fc.weight.shape == (values.pop("classes"), model.backbone.embed_dims)
    assert drawn.fc.weight.std().item() == pytest.approx(values.pop("init_std"), rel=0.02)
    assert [said(norm) for norm in drawn.norms] == values.pop("norms")


def said(norm: nn.Module) -> str:
    """A norm as the table writes it."""
    state = "no affine"
    if norm.weight is not None:
        state = "trained" if norm.weight.requires_grad else "frozen"
    return f"{type(norm).__name__} eps={norm.eps} {state}"


@compares
def targets(model: Built, values: dict[str, Any]) -> None:
    """The loss of mixed labels, and how they are mixed."""
    logits = torch.randn(4, 1000)
    label = torch.rand(4, 1000).softmax(-1)
    smoothing = values.pop("smoothing")
    smooth = label * (1 - smoothing) + smoothing / 1000
    expected = -(smooth * F.log_softmax(logits, -1)).sum(-1).mean()
    if smoothing:
        torch.testing.assert_close(model.model.head.loss_module(logits, label), expected)
    else:
        hard = torch.randint(1000, (4,))
        found = model.model.head.loss_module(logits, hard)
        torch.testing.assert_close(found, F.cross_entropy(logits, hard))
    mixes = model.model.data_preprocessor.batch_augments
    if "mixup" not in values:
        assert mixes is None
        return
    assert model.model.data_preprocessor.num_classes == 1000
    found = {type(mix).__name__.lower(): mix.alpha for mix in mixes.augments if mix}
    assert found == dict(mixup=values.pop("mixup"), cutmix=values.pop("cutmix"))
    share = 1.0 if mixes.probs is None else sum(mixes.probs[:2])
    assert share == values.pop("mixed")


@compares
def neighbours(model: Built, values: dict[str, Any]) -> None:
    assert model.model.k == values.pop("k")
    assert model.model.temperature == values.pop("temperature")


# Dense models


@compares
def pyramid(model: Built, values: dict[str, Any]) -> None:
    inner = getattr(model.model, "module", model.model)
    necks = list(inner.neck) if isinstance(inner.neck, nn.Sequential) else [inner.neck]
    width = model.backbone.embed_dims
    maps = [torch.zeros(1, width, 4, 4)] * 4
    norms = [m for m in necks[0].modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert {type(norm).__name__ for norm in norms} == {"SyncBatchNorm"}
    assert values.pop("norm") == "SyncBN"
    with torch.no_grad():
        sizes = [out.shape[-1] / 4 for out in necks[0].eval()(maps)]
        assert sizes == values.pop("scales")
        if "channels" in values:
            levels = necks[1]([torch.zeros(1, width, 4, 4)] * 4)
            assert len(levels) == values.pop("levels")
            assert {level.shape[1] for level in levels} == {values.pop("channels")}


@compares
def decode_heads(model: Built, values: dict[str, Any]) -> None:
    inner = getattr(model.model, "module", model.model)
    main, auxiliary = inner.decode_head, inner.auxiliary_head
    assert type(main).__name__ == values.pop("type")
    assert main.channels == values.pop("channels")
    assert list(main.psp_modules.pool_scales) == values.pop("pool_scales")
    assert main.dropout_ratio == auxiliary.dropout_ratio == values.pop("dropout")
    assert main.num_classes == auxiliary.num_classes == values.pop("classes")
    assert type(auxiliary).__name__ == values.pop("auxiliary_type")
    assert auxiliary.in_index == values.pop("auxiliary_level")
    assert auxiliary.channels == values.pop("auxiliary_channels")
    assert auxiliary.num_convs == values.pop("auxiliary_convolutions")
    assert auxiliary.loss_decode.loss_weight == values.pop("auxiliary_weight")
    assert main.loss_decode.loss_weight == 1 and not main.align_corners
    assert main.in_channels == [model.backbone.embed_dims] * 4
    for part in (main, auxiliary):
        assert part.norm_cfg["type"] == "SyncBN"


@compares
def detector(model: Built, values: dict[str, Any]) -> None:
    box, mask = model.model.roi_head.bbox_head, model.model.roi_head.mask_head
    assert box.num_classes == mask.num_classes == values.pop("classes")
    assert len(box.shared_convs) == values.pop("box_convolutions")
    assert len(box.shared_fcs) == values.pop("box_linears")
    assert {type(conv.bn).__name__ for conv in box.shared_convs} == {values.pop("box_norm")}
    assert box.reg_decoded_bbox is values.pop("box_decoded")
    assert type(box.loss_bbox).__name__ == values.pop("box_loss")
    assert box.loss_bbox.loss_weight == values.pop("box_loss_weight")
    assert model.model.train_cfg.rpn_proposal.max_per_img == values.pop("proposals")


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
    (r"optim_wrapper\.constructor", None),
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
