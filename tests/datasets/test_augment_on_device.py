"""Flips and colours left to the device: what the model sees is what it saw, bit for bit."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.registry import DATASETS, DefaultScope
from mmpretrain.registry import MODELS
from PIL import Image

from maskssl import config_file
from maskssl.cli.cache import dataset_of
from maskssl.cli.config import load_config
from maskssl.cli.data_check.sheets import write_sheets
from maskssl.datasets.draws.draw import Draw
from maskssl.datasets.draws.seeded_dataset import SeededDataset
from maskssl.datasets.index.indexed_images import IndexedImages
from maskssl.errors import MaskSSLError
from maskssl.models import data_preprocessor
from maskssl.view_changes import Change
from tests.datasets.pictures import write_pictures
from tests.datasets.test_load_resized_crop import photograph

RECIPES = [
    "bootmae_vit-base-p16_16xb256-amp-coslr-800e_in1k",
    "bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes",
    "extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k",
    "extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k_no-colour",
    "extrema_vit-mini-p8_1xb32-amp-coslr-12e_scenes",
    "extrema_vit-mini-p8_1xb64-amp-coslr-8e_camvid",
]
DRAWS = [Draw(epoch, index) for epoch in range(2) for index in range(6)]
EXTREMA = config_file(f"pretrain/{RECIPES[2]}.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("pictures") / "a", 6).parent


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    for seed, kind in enumerate(["jpg", "png", "jpg", "jpg", "jpg", "jpg"]):
        photograph(500, 375, seed).save(folder / f"{seed}.{kind}")
    return folder


@pytest.fixture(autouse=True)
def scope():
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        yield


def images_of(cfg, folder, on_device: bool | str) -> SeededDataset:
    entry = cfg.train_dataloader.dataset
    entry = entry.dataset if entry.type == "RepeatDataset" else entry
    options = dict(data_root=str(folder), data_prefix="", augment_on_device=on_device)
    return SeededDataset(DATASETS.build({**entry, **options}), seed=5)


def both_ways(name: str, folder, ways=(False, True)):
    """Batches as the loader has them and as the model sees them, by ``augment_on_device``."""
    cfg = load_config(config_file(f"pretrain/{name}.py"))
    prepare = MODELS.build(cfg.model.data_preprocessor)
    loaded = [
        default_collate([images[draw] for draw in DRAWS])
        for images in (images_of(cfg, folder, on_device) for on_device in ways)
    ]
    return loaded, [prepare(batch, training=True) for batch in loaded]


@pytest.mark.parametrize("name", RECIPES)
def test_the_model_sees_the_same_to_the_bit(name, folder):
    (_, drawn), (made, left) = both_ways(name, folder)
    assert type(made["inputs"]) is type(left["inputs"])
    torch.testing.assert_close(left["inputs"], made["inputs"], rtol=0, atol=0)
    for ours, theirs in zip(left["data_samples"], made["data_samples"], strict=True):
        assert ours.metainfo == theirs.metainfo
        assert ours.keys() == theirs.keys()
        assert ("mask" in ours) is name.startswith("bootmae")
        assert "mask" not in ours or (ours.mask == theirs.mask).all()
    images = drawn["inputs"]["images"]  # one for all views
    assert images.dtype == torch.uint8 and images.shape[:2] == (len(DRAWS), 3)
    changes = set(drawn["inputs"]["drawn"][..., 0].unique().tolist())
    coloured = name.startswith("extrema") and "no-colour" not in name
    assert changes == set(Change) if coloured else {Change.NOTHING, Change.FLIP}


DECODED = [name for name in RECIPES if name.endswith(("in1k", "no-colour"))]


@pytest.mark.parametrize("name", DECODED)
def test_the_device_decodes_what_the_loader_would(name, photographs):
    """Same draws, same masks; pixels up to another decoder's rounding, which colours spread."""
    (changed, encoded), (made, left) = both_ways(name, photographs, (True, "decode"))
    for ours, theirs in zip(left["data_samples"], made["data_samples"], strict=True):
        assert ours.metainfo == theirs.metainfo
        assert "mask" not in ours or (ours.mask == theirs.mask).all()
    assert torch.equal(encoded["inputs"]["drawn"], changed["inputs"]["drawn"])
    views = [made["inputs"], left["inputs"]]
    for one, other in zip(*([v] if torch.is_tensor(v) else v for v in views), strict=True):
        byte = 1 / 58  # the smallest step of normalised values
        difference = (one - other).abs() / byte
        assert 0 < difference.mean() < 1 and np.percentile(difference, 99) < 8


def test_what_the_device_does_not_decode_is_told_once(photographs, monkeypatch):
    cfg, told = load_config(EXTREMA), []
    monkeypatch.setattr(data_preprocessor, "print_log", lambda text, **_: told.append(text))
    images = images_of(cfg, photographs, "decode")
    prepare = MODELS.build(cfg.model.data_preprocessor)
    prepare(default_collate([images[Draw(0, index)] for index in (0, 2)]))
    assert told == []
    for _ in range(2):
        prepare(default_collate([images[draw] for draw in DRAWS]))
    [line] = told
    assert line.startswith("2 of the 12 images of a batch are not decoded by cpu, but on the host")
    assert line.count("1.png (no plain JPEG)") == 2


@pytest.mark.parametrize("on_device", [True, "decode"])
def test_draws_are_of_seed_epoch_and_image(on_device, folder):
    """In any order, by any worker; and they are no constants."""
    images = images_of(load_config(EXTREMA), folder, on_device)
    first = [images[draw]["inputs"]["drawn"] for draw in DRAWS]
    again = [images[draw]["inputs"]["drawn"] for draw in reversed(DRAWS)][::-1]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert len({one.numpy().tobytes() for one in first}) > len(DRAWS) - 3


def test_building_a_pipeline_draws_nothing(folder):
    cfg = load_config(EXTREMA)
    torch.manual_seed(0)
    images_of(cfg, folder, True)
    found = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(found, torch.rand(1))


def test_the_sheet_of_the_data_check_shows_what_the_model_sees(folder, tmp_path):
    sheets = []
    for on_device in (False, True):
        torch.manual_seed(0)
        np.random.seed(0)
        cfg = load_config(config_file(f"pretrain/{RECIPES[4]}.py"))
        options = dict(data_root=str(folder), data_prefix="", augment_on_device=on_device)
        cfg.train_dataloader.dataset.update(options)
        [sheet] = write_sheets(cfg, tmp_path / str(on_device))
        sheets.append(sheet.read_bytes())
    assert sheets[0] == sheets[1]


def test_the_sheet_shows_what_the_device_decodes(photographs, tmp_path):
    sheets = []
    for on_device in (False, "decode"):
        torch.manual_seed(0)
        np.random.seed(0)
        cfg = load_config(config_file(f"pretrain/{RECIPES[0]}.py"))
        options = dict(data_root=str(photographs), data_prefix="", augment_on_device=on_device)
        cfg.train_dataloader.dataset.update(options)
        with Image.open(write_sheets(cfg, tmp_path / str(on_device))[0]) as sheet:
            sheets.append(np.asarray(sheet).astype(int))
    assert abs(sheets[0] - sheets[1]).mean() < 1


@pytest.mark.parametrize("on_device", [True, "decode"])
def test_a_cache_is_made_all_the_same(on_device, folder):
    options = {
        "train_dataloader.dataset.data_root": str(folder),
        "train_dataloader.dataset.data_prefix": "",
        "train_dataloader.dataset.augment_on_device": on_device,
    }
    assert len(dataset_of(EXTREMA, options)) == 6


@pytest.mark.parametrize(
    "steps, told",
    [
        ([dict(type="RandomFlip", prob=0.5), dict(type="CenterCrop", crop_size=8)], "CenterCrop"),
        ([dict(type="RandomFlip", prob=0.5, direction="vertical")], "'vertical'"),
        ([dict(type="NumpyToPIL")], "to_rgb=True"),
        (
            [dict(type="MultiView", num_views=2, transforms=[[dict(type="Solarize", thr=1)]])],
            "Solarize is made by augment_on_device=False",
        ),
    ],
)
def test_what_cannot_be_left_to_the_device_is_refused(steps, told, folder):
    with pytest.raises(MaskSSLError, match=told):
        IndexedImages(
            data_root=str(folder),
            with_label=False,
            pipeline=[dict(type="LoadImage"), *steps, dict(type="PackInputs")],
            augment_on_device=True,
        )


@pytest.mark.parametrize("steps", [[], [dict(type="RandomFlip", prob=0.5)]])
def test_decoding_is_left_by_one_step_that_loads(steps, folder):
    with pytest.raises(MaskSSLError, match="begins with LoadImage; load by LoadResizedCrop, or"):
        IndexedImages(
            data_root=str(folder),
            with_label=False,
            pipeline=[dict(type="LoadImage"), *steps, dict(type="PackInputs")],
            augment_on_device="decode",
        )


@pytest.mark.parametrize("given", [dict(cache="cached"), dict(augment_on_device="decoded")])
def test_a_cache_has_nothing_to_decode_and_other_words_mean_nothing(given, folder):
    options = {"data_root": str(folder), "augment_on_device": "decode", **given}
    with pytest.raises(MaskSSLError, match=r"'decoded?', cache=.*: use True, False or, without"):
        IndexedImages(**options)


@pytest.mark.parametrize("step", ["CenterCrop", "RandomErasing"])
def test_a_step_that_needs_pixels_is_refused_where_the_device_decodes(step, folder):
    with pytest.raises(MaskSSLError, match=f"has {step} behind the first of them"):
        IndexedImages(
            data_root=str(folder),
            pipeline=[dict(type="LoadResizedCrop", size=8), dict(type=step)],
            augment_on_device="decode",
        )
