"""Every shipped config has a name that tells the truth, loads, builds, fits together."""

import ast
import re
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DATASETS, HOOKS, LOOPS, METRICS, MODELS, VISUALIZERS, DefaultScope
from torch import nn

from maskssl.cli.config import RUNNER_KEYS, load_config
from maskssl.quickstart.scenes.scene import SHAPES
from tests.recipe_table import DRAWS, skip_without
from tests.recipe_table import config as loaded

CONFIGS = Path(__file__).parents[1] / "configs"
ALL = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.glob("*/*.py")
    if path.parent.name != "_base_"
)
FORMER = [name for name in ALL if "_deprecation_" in (CONFIGS / name).read_text(encoding="utf-8")]
LEAVES = [name for name in ALL if name not in FORMER]
TRAINED = [name for name in LEAVES if "_knn_" not in name and "ms-flip" not in name]
PAPER = re.compile(r"_(in1k|in22k|ade20k-512x512|coco)(_|\.py)")
SMALL = [name for name in LEAVES if not PAPER.search(name)]  # for trying things out
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
IMAGENET_NORM = ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
PIXEL_NORMS = {"bootmae": ([127.5] * 3, [127.5] * 3), "extrema": IMAGENET_NORM}
LOOP_KEYS = ("train_cfg", "val_cfg", "test_cfg")
STAGES = {
    "pretrain": {None},
    "finetune": {"finetune", "linear", "knn"},
    "seg": {"upernet"},
    "det": {"mask-rcnn"},
}
# configs/README.md says this in words
GRAMMAR = re.compile(
    r"(?P<algorithm>[a-z0-9]+)_vit-(?P<arch>mini|small|base|large)-p(?P<patch>\d+)"
    r"(_(?P<stage>finetune|linear|knn|upernet|mask-rcnn))?"
    r"_(?P<gpus>\d+)xb(?P<batch>\d+)(?P<amp>-amp)?(-(?P<curve>coslr))?"
    r"(-(?P<length>\d+)(?P<unit>[ekix]))?"
    r"_(?P<data>[a-z0-9]+(-[a-z0-9]+)*)(?P<variants>(_[a-z0-9-]+)*)\.py"
)


def config(name: str) -> Config:
    """A config of its own to change."""
    return deepcopy(loaded(name))


def parsed(name: str) -> dict[str, str | None]:
    """The parts of a config's name."""
    found = GRAMMAR.fullmatch(name.split("/")[1])
    assert found, f"{name} does not follow the grammar of configs/README.md"
    return found.groupdict()


def scoped(cfg: Config):
    """The registries as the config's runs see them; skips where the scope is not installed."""
    skip_without(cfg.default_scope)
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


def base_paths(path: Path) -> list[Path]:
    """What a config file lists as its bases."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_base_":
            return [(path.parent / base).resolve() for base in ast.literal_eval(node.value)]
    return []


def levels(path: Path) -> int:
    """How deep the bases of a file reach."""
    return max((1 + levels(base) for base in base_paths(path)), default=0)


# Names and files


@pytest.mark.parametrize("name", LEAVES)
def test_the_name_says_what_the_config_holds(name):
    parts, cfg = parsed(name), config(name)
    model = inner_model(cfg)
    assert parts["stage"] in STAGES[name.split("/")[0]]
    assert model.backbone.patch_size == int(parts["patch"])
    assert model.backbone.arch == parts["arch"]
    gpus, batch = int(parts["gpus"]), int(parts["batch"])
    if parts["stage"] == "knn":
        assert cfg.test_dataloader.batch_size == batch
        return
    assert cfg.train_dataloader.batch_size == batch
    images = gpus * batch * cfg.optim_wrapper.get("accumulative_counts", 1)
    assert cfg.auto_scale_lr.base_batch_size == images
    assert (cfg.optim_wrapper.type != "OptimWrapper") is bool(parts["amp"])
    curves = {entry.type for entry in cfg.param_scheduler}
    assert ("CosineAnnealingLR" in curves) is (parts["curve"] == "coslr")
    length = int(parts["length"])
    if parts["unit"] in "ki":
        assert cfg.train_cfg.max_iters == length * {"k": 1000, "i": 1}[parts["unit"]]
    elif parts["unit"] == "x":
        assert cfg.train_cfg.max_epochs == 12 * length
    else:  # the authors run 801 and call it 800
        assert cfg.train_cfg.max_epochs - length in ((1,) if length == 800 else (0,))


def test_the_grammar_is_told_to_readers():
    text = (CONFIGS / "README.md").read_text(encoding="utf-8")
    for word in ("algorithm", "architecture", "patch", "stage", "gpus", "amp", "variant"):
        assert word in text
    for name in re.findall(r"`([a-z]+/[^`]+\.py)`", text):
        assert name in LEAVES


@pytest.mark.parametrize("name", LEAVES)
def test_leaf_is_an_experiment_record(name):
    text = (CONFIGS / name).read_text(encoding="utf-8")
    record = ast.get_docstring(ast.parse(text)) or ""
    assert len(record.splitlines()) > 1, "a leaf says what it is and how to run it"
    assert f"configs/{name}" in record, "the record gives the exact command"
    told = ("Paper: ", "Expected", "Cost: ", "Reproduced: no.")
    for words in ("Not from the paper",) if name in SMALL else told:
        assert words in record
    assert len(text.splitlines()) < 60, "a leaf holds only its delta"


@pytest.mark.parametrize("name", LEAVES)
def test_a_leaf_builds_on_its_own_method_by_three_levels_at_most(name):
    path = (CONFIGS / name).resolve()
    assert levels(path) <= 3
    for base in base_paths(path):
        if base.parent.parent.name == "configs" and base.parent.name != "_base_":  # a leaf
            assert base.name.split("_")[0] == path.name.split("_")[0]
            assert "_deprecation_" not in base.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", LEAVES)
def test_a_finished_config_holds_what_the_runner_knows_and_nothing_else(name):
    cfg = config(name)
    assert set(cfg) <= RUNNER_KEYS | {"auto_scale_lr", "custom_imports", "random_weights"}
    assert set(cfg.model) & {"pixel_norm", "encoder"} == set()


def test_every_base_is_used():
    used: set[Path] = set()
    open_files = [CONFIGS / name for name in LEAVES]
    while open_files:
        bases = base_paths(open_files.pop())
        open_files += [base for base in bases if base not in used]
        used.update(bases)
    shipped = {path.resolve() for path in (CONFIGS / "_base_").rglob("*.py")}
    assert shipped - used == set()


def test_what_a_method_asks_for_is_told_once():
    """Mean, cls token and position table of a method stand in its file of _base_/methods."""
    for path in CONFIGS.rglob("*.py"):
        if path.parent.name == "methods":
            continue
        text = path.read_text(encoding="utf-8")
        for word in ("127.5", "123.675", "with_cls_token=", "pos_embed_layout="):
            assert word not in text, f"{path} tells {word} again"


def test_no_two_leaves_differ_in_the_place_or_the_classes_of_their_data_alone():
    plain = {}
    for name in LEAVES:
        text = repr(sorted(_without_data(config(name).to_dict()).items()))
        assert text not in plain, f"{name} and {plain[text]} could be one"
        plain[text] = name


def _without_data(node: Any) -> Any:
    if isinstance(node, dict):
        skipped = ("data_root", "data_prefix", "ann_file", "metainfo", "num_classes")
        return {key: _without_data(value) for key, value in node.items() if key not in skipped}
    return [_without_data(value) for value in node] if isinstance(node, (list, tuple)) else node


# Former names


@pytest.mark.parametrize("name", FORMER)
def test_a_former_name_loads_the_new_config_and_says_so(name):
    (base,) = base_paths(CONFIGS / name)
    new = base.relative_to(CONFIGS.resolve()).as_posix()
    assert new in LEAVES
    with warnings.catch_warnings(record=True) as said:
        cfg = load_config(str(CONFIGS / name))
    (warning,) = (entry for entry in said if entry.category is DeprecationWarning)
    assert f"Please use {base.name}" in str(warning.message)
    assert cfg.to_dict() == config(new).to_dict()


def test_the_former_names_are_all_there():
    """54 configs had other names in 0.1, and three since."""
    assert len(FORMER) == 54 + 3
    assert {"pretrain/bootmae_vit-tiny_scenes.py", "seg/upernet_vit-tiny_camvid.py"} <= set(FORMER)
    assert "det/mask-rcnn_extrema_vit-large_16xb2-1x_coco.py" in FORMER
    assert not any("vit-tiny" in name for name in LEAVES)


# What stands in them


@pytest.mark.parametrize("name", LEAVES)
def test_what_all_share(name):
    cfg = config(name)
    assert cfg.custom_imports.imports == ["maskssl.registration"]
    method, backbone = parsed(name)["algorithm"], inner_model(cfg).backbone
    preprocessor = inner_model(cfg).data_preprocessor
    # normalisation follows the weights in every scope
    assert (preprocessor.mean, preprocessor.std) == PIXEL_NORMS[method]
    assert preprocessor.get("to_rgb") or preprocessor.get("bgr_to_rgb")
    assert backbone.with_cls_token is (method == "bootmae")
    assert backbone.pos_embed_layout == {"bootmae": "bootmae", "extrema": "mae"}[method]
    for dataset in datasets(cfg):
        assert dataset.pipeline[0].type in ("LoadImage", "LoadResizedCrop")
        assert "color_type" not in dataset.pipeline[0]  # pixels as they are stored
    if "pretrain/" not in name:
        # nothing trains or tests from random weights without being told to
        init = backbone.init_cfg
        branch = "teacher" if reads_the_class_token(name) else "student"
        assert (init.type, init.checkpoint, init.branch) == ("Pretrained", None, branch)
        assert bool(backbone.get("class_attention")) is reads_the_class_token(name)


def reads_the_class_token(name: str) -> bool:
    """Whether a leaf reads the class token of ExtreMA's momentum encoder."""
    parts = parsed(name)
    pooled = parts["stage"] == "linear" or (parts["stage"] == "knn" and name not in SMALL)
    return parts["algorithm"] == "extrema" and pooled


@pytest.mark.parametrize("stage", ["finetune", "upernet", "mask-rcnn"])
def test_extrema_differs_from_bootmae_by_its_encoder_alone(stage):
    leaves = [name for name in SMALL if f"extrema_vit-mini-p8_{stage}_" in name]
    assert leaves
    for name in leaves:
        ours, theirs = config(name), config(name.replace("extrema", "bootmae"))
        changed = {key for key in (set(ours) | set(theirs)) if ours.get(key) != theirs.get(key)}
        assert changed == {"model"}
        model, other = ours.model, theirs.model
        assert {key for key in model if model[key] != other[key]} == {
            "data_preprocessor",
            "backbone",
        }


@pytest.mark.parametrize("name", TRAINED)
def test_length_stands_in_one_place(name):
    cfg = config(name)
    assert cfg.auto_scale_lr.enable is False
    decay = cfg.param_scheduler[-1]
    assert decay.type == "MultiStepLR" or not {"end", "T_max"} & set(decay)


# What is built from the small ones; those at paper scale: tests/test_recipes.py


@pytest.mark.parametrize("name", SMALL)
def test_builds(name, monkeypatch):
    for draw in DRAWS:
        monkeypatch.setattr(nn.init, draw, lambda tensor, *_, **__: tensor)
    cfg = config(name)
    cfg.model.backbone.init_cfg = None
    with scoped(cfg):
        model = MODELS.build(cfg.model)
        if name not in TRAINED:
            return
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    trained = {param: key for key, param in model.named_parameters() if param.requires_grad}
    grouped = [param for group in wrapper.optimizer.param_groups for param in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, trained))
    if "_linear_" in name:
        assert set(trained.values()) == {"head.fc.weight", "head.fc.bias"}


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
    steps = {step.type.split("/")[-1]: step for step in datasets(cfg)[0].pipeline}
    backbone = cfg.model.backbone
    crop = steps.get("LoadResizedCrop") or steps["RandomResizedCrop"]
    assert crop.get("size", crop.get("scale")) == backbone.img_size
    assert (
        crop.interpolation
        == {"bootmae": "bicubic", "extrema": "bilinear"}[parsed(name)["algorithm"]]
    )
    if "bootmae" in name:
        assert steps["BlockMask"].grid == (backbone.img_size // backbone.patch_size,) * 2
        return
    # the crop is shared: it stands before the views part
    order = [step.type.split("/")[-1] for step in datasets(cfg)[0].pipeline]
    assert ("MultiView" in order) is ("no-colour" not in name)
    assert crop.get("flip_prob") == 0.5 or [kind for kind in order if "Flip" in kind]
    if "MultiView" in order:
        assert order.index("MultiView") == len(order) - 2
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


@pytest.mark.parametrize("name", [n for n in LEAVES if n.startswith("seg/")])
def test_pictures_are_padded_to_the_window_of_a_test(name):
    model = inner_model(config(name))
    window = model.test_cfg.get("crop_size")
    assert (model.data_preprocessor.test_cfg or {}).get("size") == window
    assert bool(window) == (model.test_cfg.mode == "slide")


@pytest.mark.parametrize(("height", "width"), [(190, 1000), (200, 150), (200, 260), (192, 192)])
def test_a_test_takes_pictures_with_a_side_below_the_window(height, width):
    """Larger ones are not padded, so that nothing changes for them."""
    skip_without("mmseg")
    cfg = config("seg/bootmae_vit-mini-p8_upernet_1xb8-amp-1k_camvid.py")
    cfg.model.backbone.init_cfg = None
    with scoped(cfg):
        model = MODELS.build(cfg.model).eval()
        pack = Compose([dict(type="PackSegInputs")])
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    shape = (height, width)
    batch = pseudo_collate([pack(dict(img=image, img_shape=shape, ori_shape=shape))])
    inputs = model.data_preprocessor(batch)["inputs"]
    assert inputs.shape[2:] == (max(height, 192), max(width, 192))
    assert not inputs[..., height:, :].any() and not inputs[..., width:].any()
    with torch.no_grad():
        (found,) = model.test_step(batch)
    assert found.pred_sem_seg.data.shape == (1, height, width)


@pytest.mark.parametrize("name", [name for name in SMALL if "bootmae" not in name.split("/")[1]])
def test_small_ones_have_the_patches_of_their_pretraining(name):
    data = parsed(name)["data"]
    pretrained = [n for n in SMALL if n.startswith("pretrain/") and parsed(n)["data"] == data]
    assert {parsed(n)["patch"] for n in pretrained} == {parsed(name)["patch"]}


def test_multi_scale_test_tests_the_trained_model():
    for name in (name for name in LEAVES if "ms-flip" in name):
        assert config(name).model.module == config(name.replace("_ms-flip", "")).model
