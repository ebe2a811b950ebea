"""How the groups of the table that speak of the models compare with what was built."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from maskssl.schedules import feature_weight_ramp
from tests.recipe_table import Built, config, inner_model, recipes
from tests.recipe_training_checks import compares


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
    (cfg,) = (config(name) for name in recipes() if name.endswith("/" + _file(model)))
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
