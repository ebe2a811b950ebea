"""What the recipes make of a picture, against torchvision and timm told the published values.

Both draw from the same generators in the same order, so the same seed gives the same picture.
"""

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image
from timm.data import create_transform
from torch import Tensor
from torchvision import transforms as tv
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tvf

from tests.recipe_table import config, groups, inner_model, recipes, skip_without

TABLE = {name: groups(recipe) for name, recipe in recipes().items()}
AUGMENTED = sorted(name for name, recipe in TABLE.items() if "augmentation" in recipe)
TESTED = sorted(name for name, recipe in TABLE.items() if "resize" in recipe.get("test", {}))
SEGMENTED = sorted(name for name in TABLE if name.startswith("seg/"))
DETECTED = sorted(name for name in TABLE if name.startswith("det/"))


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> str:
    """A PNG of 500 x 375 with every hue, soft and sharp edges."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (15, 20, 3), dtype=np.uint8)
    soft = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
    noise = rng.normal(0, 12, (375, 500, 3))
    pixels = np.clip(np.asarray(soft) + noise, 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    Image.fromarray(pixels).save(path)
    return str(path)


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@cache
def pipeline(name: str, loader: str = "train_dataloader") -> Compose:
    cfg = config(name)
    steps = cfg.get(loader) if "." not in loader else cfg.test_cfg.bank_dataloader
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return Compose(steps.dataset.pipeline)


def packed(name: str, picture: str, seed: int) -> list[Tensor]:
    """The views (3, H, W), RGB, that a pipeline makes."""
    steps = pipeline(name)
    seed_all(seed)
    inputs = steps(dict(img_path=picture, gt_label=1))["inputs"]
    return [view.flip(0) for view in (inputs if isinstance(inputs, list) else [inputs])]


def mode(values: dict[str, Any]) -> InterpolationMode:
    return InterpolationMode(values["interpolation"])


def cropped(image: Image.Image, values: dict[str, Any]) -> Image.Image:
    image = tv.RandomResizedCrop(224, tuple(values["crop_scale"]), interpolation=mode(values))(
        image
    )
    return tv.RandomHorizontalFlip(values["flip"])(image)


def coloured(image: Image.Image, values: dict[str, Any]) -> Image.Image:
    if np.random.rand() < values["jitter_prob"]:
        image = tv.ColorJitter(*values["jitter"])(image)
    return tv.RandomGrayscale(values["grey_prob"])(image)


def finetuned(image: Image.Image, recipe: dict[str, Any]) -> Tensor:
    """As BEiT's code, which both fine-tune with, calls timm; normalised."""
    values = recipe["augmentation"]
    mean, std = (tuple(x / 255 for x in recipe["normalisation"][key]) for key in ("mean", "std"))
    theirs = create_transform(
        224,
        is_training=True,
        color_jitter=0.4,
        auto_augment=values["rand_augment"],
        interpolation=values["interpolation"],
        re_prob=values["erasing"],
        re_mode=values["erasing_mode"],
        re_count=1,
        mean=mean,
        std=std,
    ).transforms
    theirs[-1].device = "cpu"
    image = cropped(image, values)
    for step in theirs[2:]:  # behind timm's crop, whose draws are torchvision's, and its flip
        image = step(image)
    return image


@pytest.mark.parametrize("name", [n for n in AUGMENTED if n.startswith("pretrain/")])
def test_pretraining_sees_what_torchvision_makes(name, picture):
    values = TABLE[name]["augmentation"]
    unchanged = 0
    for seed in range(12):
        found = packed(name, picture, seed)
        seed_all(seed)
        image = cropped(Image.open(picture), values)
        count = values.get("views", 1)
        expected = [coloured(image, values) if count > 1 else image for _ in range(count)]
        assert len(found) == count
        for ours, theirs in zip(found, expected, strict=True):
            difference = (ours.int() - tvf.pil_to_tensor(theirs).int()).abs()
            # torch's resizing of bytes is Pillow's up to rounding, which colours may enlarge
            assert difference.max() <= (2 if theirs is image else 12), seed
            assert difference.float().mean() < 0.05, seed
            unchanged += theirs is image
    assert unchanged < 12 or count == 1  # the colours did something


@pytest.mark.parametrize("name", [n for n in AUGMENTED if "_finetune_" in n])
def test_fine_tuning_sees_what_timm_makes(name, picture):
    recipe, erased = TABLE[name], 0
    mean, std = (torch.tensor(recipe["normalisation"][k]).view(3, 1, 1) for k in ("mean", "std"))
    assert [round(channel) for channel in mean.flatten().tolist()] == recipe["augmentation"]["fill"]
    seeds = 20 if "bootmae_vit-base" in name else 6
    for seed in range(seeds):
        (found,) = packed(name, picture, seed)
        seed_all(seed)
        expected = finetuned(Image.open(picture), recipe)
        torch.testing.assert_close((found - mean) / std, expected, rtol=0, atol=2e-5)
        erased += found.max() > 255 or found.min() < 0
    assert 2 <= erased <= 10 or seeds < 20  # a quarter, with noise beyond what a picture can hold


@pytest.mark.parametrize("name", [n for n in AUGMENTED if "_linear_" in n])
def test_the_probe_sees_crops_and_flips_alone(name, picture):
    values = TABLE[name]["augmentation"]
    image = Image.open(picture)
    for seed in range(8):
        (found,) = packed(name, picture, seed)
        seed_all(seed)
        if values["crop"] == "ten draws":
            assert torch.equal(found, tvf.pil_to_tensor(cropped(image, values)))
            continue
        top, left, height, width = crop_step(name).rand_crop_params(np.asarray(image))
        resized = tvf.resized_crop(image, top, left, height, width, [224, 224], mode(values))
        expected = tvf.pil_to_tensor(resized)
        assert torch.equal(found, expected) or torch.equal(found, expected.flip(-1))
    if values["crop"] == "one draw":
        square = np.zeros((1000, 1000, 3), dtype=np.uint8)
        areas = [
            h * w / 1e6
            for *_, h, w in (crop_step(name).rand_crop_params(square) for _ in range(2000))
        ]
        assert min(areas) == pytest.approx(values["crop_scale"][0], abs=0.01)
        assert max(areas) == pytest.approx(values["crop_scale"][1], abs=0.02)
        seeds = [packed(name, picture, seed)[0] for seed in range(8)]
        assert len({tuple(view[0, 0].tolist()) for view in seeds}) == 8


def crop_step(name: str) -> BaseTransform:
    (step,) = (step for step in pipeline(name).transforms if hasattr(step, "rand_crop_params"))
    return step


@pytest.mark.parametrize("name", TESTED)
@pytest.mark.parametrize("size", [(500, 375), (331, 500), (640, 257)])
def test_tests_see_the_middle(name, size, tmp_path):
    values = TABLE[name]["test"]
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    loaders = ["test_dataloader"]
    loaders.append("test_cfg.bank_dataloader" if "_knn_" in name else "val_dataloader")
    theirs = tv.Compose(
        [tv.Resize(values["resize"], interpolation=mode(values)), tv.CenterCrop(values["crop"])]
    )
    expected = tvf.pil_to_tensor(theirs(Image.fromarray(pixels)))
    for loader in loaders:
        found = pipeline(name, loader)(dict(img_path=str(tmp_path / "x.png"), gt_label=1))
        assert torch.equal(found["inputs"].flip(0), expected), loader


@pytest.mark.parametrize(
    "name", [n for n in TABLE if "block_patches" in TABLE[n].get("masking", {})]
)
def test_masks_are_the_published_blocks(name, picture):
    values = TABLE[name]["masking"]
    seed_all(0)
    mask = pipeline(name)(dict(img_path=picture))["data_samples"].mask
    assert mask.shape == (14, 14) and mask.sum() == values["block_patches"]
    (step,) = (s for s in pipeline(name).transforms if type(s).__name__ == "BlockMask")
    assert (step.options["min_area"], step.options["max_area"]) == (
        values["block_min"],
        values["block_max"],
    )


# Dense tasks


def steps_of(transforms: Any, kind: str) -> list[Any]:
    """The built transforms of a kind, inside choices and test-time augmentations too."""
    found = [step for step in transforms if type(step).__name__ == kind]
    for step in transforms:
        for inner in getattr(step, "transforms", []) if hasattr(step, "transforms") else []:
            found += steps_of(getattr(inner, "transforms", [inner]), kind)
    return found


@pytest.fixture
def scene(tmp_path) -> Callable[[int, int], dict[str, Any]]:
    """A picture with a label map, as mmseg's data set hands it to the pipeline."""

    def draw(width: int, height: int) -> dict[str, Any]:
        rng = np.random.default_rng(0)
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            tmp_path / "x.png"
        )
        Image.fromarray(rng.integers(0, 151, (height, width), dtype=np.uint8)).save(
            tmp_path / "y.png"
        )
        return dict(
            img_path=str(tmp_path / "x.png"),
            seg_map_path=str(tmp_path / "y.png"),
            label_map=None,
            reduce_zero_label=True,
            seg_fields=[],
        )

    return draw


@pytest.mark.parametrize("name", SEGMENTED)
def test_segmentation_is_trained_and_tested_on_the_published_sizes(name, scene):
    skip_without("mmseg")
    values, tested = TABLE[name]["pictures"], TABLE[name]["test"]
    trained = pipeline(name).transforms
    (resize,) = steps_of(trained, "RandomResize")
    assert (list(resize.scale), list(resize.ratio_range)) == (values["scale"], values["ratios"])
    (crop,), (flip,) = steps_of(trained, "RandomCrop"), steps_of(trained, "RandomFlip")
    assert (list(crop.crop_size), crop.cat_max_ratio) == (values["crop"], values["largest_class"])
    assert flip.prob == values["flip"]
    assert len(steps_of(trained, "PhotoMetricDistortion")) == 1
    seed_all(0)
    out = pipeline(name)(scene(700, 600))
    assert list(out["inputs"].shape[1:]) == values["crop"]

    model = inner_model(config(name))
    assert model.test_cfg.mode == "slide"
    assert list(model.test_cfg.crop_size) == tested["window"]
    assert list(model.test_cfg.stride) == tested["stride"]
    assert list(model.data_preprocessor["size"]) == values["crop"]
    assert list(model.data_preprocessor["test_cfg"]["size"]) == tested["window"]
    out = pipeline(name, "test_dataloader")(scene(640, 480))
    if "short_sides" not in tested:
        assert tuple(out["inputs"].shape[1:]) == (512, 683) and tested["short_side"] == 512
        return
    sizes = [min(view.shape[1:]) for view in out["inputs"]]
    mirrored = [bool(sample.metainfo.get("flip")) for sample in out["data_samples"]]
    assert sorted(sizes) == sorted(2 * tested["short_sides"])
    assert mirrored.count(True) == len(tested["short_sides"]) and tested["mirrored"]


@pytest.mark.parametrize("name", DETECTED)
def test_detection_is_trained_and_tested_on_the_published_sizes(name):
    skip_without("mmdet")
    values = TABLE[name]["pictures"]
    trained = pipeline(name).transforms
    (choice,), (flip,) = steps_of(trained, "RandomChoice"), steps_of(trained, "RandomFlip")
    assert flip.prob == values["flip"]
    plain, cropped = (part.transforms for part in choice.transforms)
    assert choice.prob is None  # either as often
    scales = [(short, values["long_side"]) for short in values["short_sides"]]
    before = [(short, values["long_side"]) for short in values["before_crop"]]
    assert [list(step.scales) for step in plain] == [scales]
    resize, crop, again = cropped
    assert (resize.scales, again.scales) == (before, scales)
    assert (list(crop.crop_size), crop.crop_type) == (values["crop"], "absolute_range")
    cfg = config(name)
    assert cfg.model.data_preprocessor.pad_size_divisor == values["pad"]
    (resize,) = steps_of(pipeline(name, "test_dataloader").transforms, "Resize")
    assert list(resize.scale) == TABLE[name]["test"]["scale"] and resize.keep_ratio


def test_every_group_of_pictures_is_compared():
    for name, recipe in TABLE.items():
        if "augmentation" in recipe:
            known = {"crop_scale", "interpolation", "flip", "crop", "fill", "rand_augment"}
            known |= {"jitter", "jitter_prob", "grey_prob", "views", "erasing", "erasing_mode"}
            assert recipe["augmentation"].keys() <= known, name
        known = {"resize", "crop", "interpolation", "window", "stride", "short_side"}
        assert recipe.get("test", {}).keys() <= known | {"short_sides", "mirrored", "scale"}, name
        known = {"scale", "ratios", "crop", "largest_class", "flip", "short_sides", "long_side"}
        assert recipe.get("pictures", {}).keys() <= known | {"before_crop", "pad"}, name
