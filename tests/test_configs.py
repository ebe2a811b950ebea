"""Every shipped config loads, builds, fits together and says what it is."""

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper
from mmengine.registry import (
    DATASETS,
    HOOKS,
    LOOPS,
    METRICS,
    MODELS,
    VISUALIZERS,
    DefaultScope,
)
from torch import nn

from maskssl.cli.config import load_config
from maskssl.transfer.scenes.scene import SHAPES

CONFIGS = Path(__file__).parents[1] / "configs"
LEAVES = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.glob("*/*.py")
    if path.parent.name != "_base_"
)
TRAINED = [name for name in LEAVES if "knn_" not in name and "ms-flip" not in name]
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
STEM = "backbone.patch_embed.proj.weight"
IMAGENET_NORM = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
PIXEL_NORMS = {False: ([127.5] * 3, [127.5] * 3), True: IMAGENET_NORM}
LOOP_KEYS = ("train_cfg", "val_cfg", "test_cfg")
TINY_ARCH = dict(embed_dims=96, num_layers=4, num_heads=3)
# The scopes that need mmcv's compiled ops, and what has to be there for them.
EXTRAS = {"mmseg": ("mmseg", "mmcv._ext"), "mmdet": ("mmdet", "mmcv._ext")}


@cache
def _loaded(name: str) -> Config:
    return load_config(str(CONFIGS / name))


def config(name: str) -> Config:
    """A config of its own to change."""
    return _loaded(name).copy()


def scoped(cfg: Config):
    """The registries as the config's runs see them; skips where the scope is not installed."""
    for module in EXTRAS.get(cfg.default_scope, ()):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    return DefaultScope.overwrite_default_scope(cfg.default_scope)


def inner_model(cfg: Config) -> Any:
    """The model, or the one that a test-time augmentation wraps."""
    return cfg.model.get("module", cfg.model)


def datasets(cfg: Config) -> list[Any]:
    """Data sets of all loaders, unwrapped."""
    loaders = [cfg.get(name) for name in LOADERS]
    loaders.append((cfg.get("test_cfg") or {}).get("bank_dataloader"))
    found = [loader.dataset for loader in loaders if loader]
    return [dataset.get("dataset", dataset) for dataset in found]


def pooled_by_extrema(name: str) -> bool:
    """Whether a leaf reads the class token of ExtreMA's momentum encoder."""
    pooled = "linear" in name or ("knn" in name and "tiny" not in name)
    return "extrema" in name and pooled


@pytest.fixture
def without_drawing(monkeypatch):
    """Weights stay as they are allocated: large models build in seconds."""
    for name in (
        "normal_",
        "trunc_normal_",
        "uniform_",
        "xavier_uniform_",
        "xavier_normal_",
        "kaiming_uniform_",
        "kaiming_normal_",
    ):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


# What stands in the files


@pytest.mark.parametrize("name", LEAVES)
def test_leaf_is_an_experiment_record(name):
    text = (CONFIGS / name).read_text(encoding="utf-8")
    record = ast.get_docstring(ast.parse(text)) or ""
    assert len(record.splitlines()) > 1, "a leaf says what it is and how to run it"
    assert f"configs/{name}" in record, "the record gives the exact command"
    if "tiny" not in name:
        assert "Reproduced: no." in record
        assert "Expected" in record
    assert len(text.splitlines()) < 60, "a leaf holds only its delta"


def test_every_base_is_used():
    used: set[Path] = set()
    open_files = [CONFIGS / name for name in LEAVES]
    while open_files:
        path = open_files.pop()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_base_":
                bases = [(path.parent / base).resolve() for base in ast.literal_eval(node.value)]
                open_files += [base for base in bases if base not in used]
                used.update(bases)
    shipped = {path.resolve() for path in (CONFIGS / "_base_").rglob("*.py")}
    assert shipped - used == set()


@pytest.mark.parametrize("name", LEAVES)
def test_what_all_share(name):
    cfg = config(name)
    assert cfg.custom_imports.imports == ["maskssl.registration"]
    preprocessor = inner_model(cfg).data_preprocessor
    # normalisation follows the weights in every scope
    assert (preprocessor.mean, preprocessor.std) == PIXEL_NORMS["extrema" in name]
    assert preprocessor.get("to_rgb") or preprocessor.get("bgr_to_rgb")
    for dataset in datasets(cfg):
        assert dataset.pipeline[0].type == "LoadImage"
    if "pretrain/" not in name:
        # nothing trains or tests from random weights without being told to
        init = inner_model(cfg).backbone.init_cfg
        branch = "teacher" if pooled_by_extrema(name) else "student"
        assert (init.type, init.checkpoint, init.branch) == ("Pretrained", None, branch)


@pytest.mark.parametrize("name", LEAVES)
def test_the_cls_token_follows_the_method(name):
    backbone = inner_model(config(name)).backbone
    extrema = "extrema" in name
    assert backbone.with_cls_token is not extrema
    assert backbone.pos_embed_layout == ("mae" if extrema else "bootmae")
    pooled = extrema and ("pretrain/" in name or pooled_by_extrema(name))
    assert bool(backbone.get("class_attention")) is pooled
    if "linear" in name:
        assert backbone.final_norm is False
    if name.startswith(("seg/", "det/")):
        assert not backbone.get("pos_embed_trainable") or "released" in name
        assert backbone.get("layer_scale_init") is None or "released" in name


@pytest.mark.parametrize("stage", ["seg/upernet", "det/mask-rcnn", "finetune/finetune"])
def test_extrema_differs_from_bootmae_by_its_encoder_alone(stage):
    leaves = [name for name in LEAVES if name.startswith(f"{stage}_extrema_vit-tiny")]
    assert leaves
    for name in leaves:
        ours, theirs = config(name), config(name.replace("_extrema", ""))
        changed = {key for key in (set(ours) | set(theirs)) if ours.get(key) != theirs.get(key)}
        added = {"pixel_norm", "patch_encoder", "finetuned_encoder", "pooled_encoder"}
        assert changed - added == {"model"}
        model, other = ours.model, theirs.model
        assert {key for key in model if model[key] != other[key]} == {
            "data_preprocessor",
            "backbone",
        }


@pytest.mark.parametrize("name", TRAINED)
def test_length_stands_in_one_place(name):
    cfg = config(name)
    assert cfg.auto_scale_lr.enable is False
    assert cfg.auto_scale_lr.base_batch_size > 0
    decay = cfg.param_scheduler[-1]
    assert decay.type == "MultiStepLR" or not {"end", "T_max"} & set(decay)


# What is built from them


@pytest.mark.parametrize("name", LEAVES)
def test_builds(name, without_drawing):
    cfg = config(name)
    inner_model(cfg).backbone.init_cfg = None
    with scoped(cfg):
        model = MODELS.build(cfg.model)
        if name not in TRAINED:
            return
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(param): param_name for param_name, param in model.named_parameters()}
    grouped = [
        (group, param) for group in wrapper.optimizer.param_groups for param in group["params"]
    ]
    trainable = {id(param) for param in model.parameters() if param.requires_grad}
    assert sorted(id(param) for _, param in grouped) == sorted(trainable)
    optimizer = cfg.optim_wrapper.optimizer
    for group, param in grouped:
        plain = param.ndim <= 1 or names[id(param)].endswith(("pos_embed", "cls_token"))
        assert group["weight_decay"] == (0 if plain else optimizer.weight_decay)
        assert 0 < group["lr"] <= optimizer.lr
    if "linear" in name:
        assert {names[key] for key in trainable} == {"head.fc.weight", "head.fc.bias"}
    else:
        rate = cfg.optim_wrapper.paramwise_cfg.layer_decay_rate
        depth = model.backbone.num_layers + 1
        stem = next(group for group, param in grouped if names[id(param)] == STEM)
        assert stem["lr"] == pytest.approx(optimizer.lr * rate**depth)


@pytest.mark.parametrize("name", LEAVES)
def test_every_type_is_known(name):
    cfg = config(name)
    entries = [(DATASETS, dataset) for dataset in datasets(cfg)]
    entries += [(HOOKS, hook) for hook in cfg.default_hooks.values()]
    entries += [(HOOKS, hook) for hook in cfg.get("custom_hooks", [])]
    entries += [(METRICS, cfg[key]) for key in ("val_evaluator", "test_evaluator") if key in cfg]
    entries += [(LOOPS, cfg[key]) for key in LOOP_KEYS if "type" in cfg.get(key, {})]
    entries.append((VISUALIZERS, cfg.visualizer))
    with scoped(cfg):
        for dataset in datasets(cfg):
            Compose(dataset.pipeline)
        for registry, entry in entries:
            with registry.switch_scope_and_registry(None) as own:
                assert own.get(entry.type), f"{entry.type} is not in {cfg.default_scope}"


# Whether they fit together


@pytest.mark.parametrize("name", [name for name in LEAVES if "pretrain/" in name])
def test_crops_and_masks_fit_the_images(name):
    cfg = config(name)
    steps = {step.type: step for step in datasets(cfg)[0].pipeline}
    backbone = cfg.model.backbone
    assert steps["RandomResizedCrop"].scale == backbone.img_size
    if "bootmae" in name:
        assert steps["BlockMask"].grid == (backbone.img_size // backbone.patch_size,) * 2
        return
    assert steps["RandomResizedCrop"].interpolation == "bilinear"
    # the crop is shared: it stands before the views part
    order = [step.type for step in datasets(cfg)[0].pipeline]
    if "no-colour" in name:
        assert "MultiView" not in order
    else:
        assert order.index("RandomFlip") < order.index("MultiView") == len(order) - 2
        assert steps["MultiView"].num_views == 2


@pytest.mark.parametrize("name", [n for n in LEAVES if n.startswith(("seg/", "det/"))])
def test_classes_fit_the_heads(name):
    cfg, model = config(name), inner_model(config(name))
    heads = [model.decode_head, model.auxiliary_head] if "seg/" in name else []
    if "det/" in name:
        heads = [model.roi_head.bbox_head, model.roi_head.mask_head]
    shipped = {"ADE20KDataset": 150, "CocoDataset": 80}
    for dataset in datasets(cfg):
        classes = dataset.get("metainfo", {}).get("classes")
        count = len(classes) if classes else shipped[dataset.type]
        assert {head.num_classes for head in heads} == {count}
        if "scenes" in name:
            assert tuple(classes)[-8:] == SHAPES
            assert tuple(classes)[:-8] == (("background",) if "seg/" in name else ())


@pytest.mark.parametrize("name", [name for name in LEAVES if "tiny" in name])
def test_small_ones_share_a_backbone(name):
    backbone = config(name).model.backbone
    assert dict(backbone.arch) == TINY_ARCH
    data = name.removesuffix(".py").rsplit("_", 1)[1]
    pretrained = config(f"pretrain/bootmae_vit-tiny_{data}.py").model.backbone
    assert backbone.patch_size == pretrained.patch_size


def test_multi_scale_test_keeps_the_crop():
    for name in (name for name in LEAVES if "ms-flip" in name):
        cfg = config(name)
        assert cfg.model.module == config(name.replace("_ms-flip", "")).model
        resizes, flips = cfg.test_dataloader.dataset.pipeline[1].transforms[:2]
        crop = cfg.model.module.test_cfg.crop_size[0]
        assert [step.scale for step in resizes] == [
            max(crop, int(512 * ratio)) for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
        ]
        assert [flip.prob for flip in flips] == [0.0, 1.0]
