"""Pictures of one and four channels, 16 bits and arrays, through every stage."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATASETS, DefaultScope
from mmpretrain.registry import MODELS
from PIL import Image

from maskssl import config_file
from maskssl.cli.config import ConfigError, load_config
from maskssl.cli.data_channels import use_channels
from maskssl.cli.data_check import DataError, look_at_data
from maskssl.cli.data_check.sheets import write_sheets
from maskssl.cli.launch import build_runner
from maskssl.datasets.transforms.channels import ChannelJitter, LoadChannels
from maskssl.datasets.transforms.loading import UnreadableImageError
from maskssl.errors import MaskSSLError
from tests.cli.test_data_check import DET, FINETUNE, KNN, PRETRAIN, SEG, TEST, TRAIN, VAL
from tests.cli.test_data_layouts import on
from tests.datasets.checks.sets import write_dense, write_image_folder
from tests.support import runner_for

EXTREMA = "pretrain/extrema_vit-mini-p8_1xb32-amp-coslr-10e_scenes.py"
LINEAR = "finetune/extrema_vit-mini-p8_linear_1xb16-amp-coslr-30e_scenes.py"
BASE_FINETUNE = "finetune/bootmae_vit-base-p16_finetune_8xb256-amp-coslr-100e_in1k.py"

BASE_PRETRAIN = "pretrain/bootmae_vit-base-p16_16xb256-amp-coslr-800e_in1k.py"

KINDS = dict(grey=(1, (0, 255)), bands=(4, (0, 4095)), deep=(3, (0, 65535)))


def rewrite(path: Path, kind: str) -> None:
    """The picture in a form that LoadImage would cut: 8-bit grey, 12-bit bands, 16-bit RGB."""
    pixels = np.array(Image.open(path))
    path.unlink()
    if kind == "grey":
        Image.fromarray(pixels).convert("L").save(path.with_suffix(".png"))
    elif kind == "bands":
        bands = np.dstack([pixels, pixels[..., 0]]).astype(np.uint16) * 16
        np.save(path.with_suffix(".npy"), bands)
    else:
        cv2.imwrite(str(path.with_suffix(".png")), pixels[..., ::-1].astype(np.uint16) * 257)


@pytest.fixture(params=list(KINDS))
def kind(request) -> str:
    return request.param


def options(kind: str) -> dict:
    channels, values = KINDS[kind]
    return dict(channels=channels, value_range=values)


def folders(root: Path, kind: str) -> Path:
    for path in list(write_image_folder(root).rglob("*.jpg")):
        rewrite(path, kind)
    return root


def small(cfg: Config, work_dir: Path) -> Config:
    """A step or two without loader processes."""
    cfg.work_dir = str(work_dir)
    for key in (TRAIN, VAL, TEST):
        if cfg.get(key):
            cfg[key].update(num_workers=0, persistent_workers=False, batch_size=4)
    if cfg.get("train_cfg"):
        cfg.train_cfg.update(dict(max_epochs=1) if "max_epochs" in cfg.train_cfg else {})
        if "max_iters" in cfg.train_cfg:
            cfg.train_cfg.update(max_iters=2, val_interval=2)
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize("name", [PRETRAIN, EXTREMA, LINEAR, FINETUNE, SEG])
def test_every_stage_trains(name, kind, tmp_path):
    if name is SEG:
        root = write_dense(tmp_path / "set")
        for path in list((root / "images").rglob("*.jpg")):
            rewrite(path, kind)
        cfg = on(name, f"masks:{root}", pretrained="none", **options(kind))
    else:
        pretrained = None if name in (PRETRAIN, EXTREMA) else "none"
        classes = None if name in (PRETRAIN, EXTREMA) else "from-data"
        data = f"folders:{folders(tmp_path / 'set', kind)}"
        cfg = on(name, data, pretrained=pretrained, classes=classes, **options(kind))
    runner = runner_for(small(cfg, tmp_path / "w"))
    runner.train()
    weight = dict(runner.model.named_parameters())["backbone.patch_embed.proj.weight"]
    assert weight.shape[1] == KINDS[kind][0] and torch.isfinite(weight).all()
    for path in (tmp_path / "w").rglob("epoch_1.png"):
        assert np.array(Image.open(path)).std() > 0
    assert name is not PRETRAIN or list((tmp_path / "w").rglob("epoch_1.png"))


def test_neighbours_vote(kind, tmp_path):
    root = folders(tmp_path / "set", kind)
    cfg = on(KNN, f"folders:{root}", pretrained="none", **options(kind))
    small(cfg, tmp_path / "w")
    cfg.test_cfg.bank_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.experiment_name = f"knn-{kind}"
    cfg.model.k = 3
    assert build_runner(cfg, [TEST]).test()["accuracy/top1"] >= 0


# what the model sees


def test_values_and_order_of_channels_are_the_files(tmp_path):
    pixels = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(np.uint16) * 100
    np.save(tmp_path / "a.npy", pixels)
    Image.fromarray((pixels // 10).astype(np.uint8)).save(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "a.tif"), pixels[..., [2, 1, 0, 3]])
    Image.fromarray(pixels[..., 0]).save(tmp_path / "b.tif")
    for name in ("a.npy", "a.tif"):
        found = LoadChannels(4, 0, 2550).transform(dict(img_path=str(tmp_path / name)))
        np.testing.assert_allclose(found["img"], pixels / 10, rtol=1e-6)
        assert found["img"].dtype == np.float32 and found["ori_shape"] == (2, 3)
    found = LoadChannels(4).transform(dict(img_path=str(tmp_path / "a.png")))
    np.testing.assert_array_equal(found["img"], pixels // 10)
    found = LoadChannels(1, 100, 1120).transform(dict(img_path=str(tmp_path / "b.tif")))
    np.testing.assert_allclose(found["img"], (pixels[..., 0] - 100.0) / 4, rtol=1e-6)


def test_the_same_picture_in_three_channels_gives_the_same_input(tmp_path):
    """LoadChannels, and LoadImage with the preprocessor's exchange of channels."""
    root = write_image_folder(tmp_path)
    inputs = []
    for more in ({}, dict(channels=3)):
        cfg = on(FINETUNE, f"folders:{root}", **more)
        cfg.val_dataloader.dataset.pipeline = [
            *cfg.val_dataloader.dataset.pipeline[:1],
            dict(type="PackInputs"),
        ]
        with DefaultScope.overwrite_default_scope("mmpretrain"):
            dataset = DATASETS.build(cfg.val_dataloader.dataset)
            preprocess = MODELS.build(
                dict(cfg.model.data_preprocessor, num_classes=3, mean=[127.5], std=[64])
                if more
                else dict(cfg.model.data_preprocessor, mean=[127.5] * 3, std=[64] * 3)
            )
        sample = dataset[0]
        batch = dict(inputs=[sample["inputs"]], data_samples=[sample["data_samples"]])
        inputs.append(preprocess(batch)["inputs"])
    torch.testing.assert_close(*inputs)


def test_jitter_changes_all_channels_together():
    np.random.seed(1)
    image = np.random.rand(5, 6, 4).astype(np.float32)
    changed = ChannelJitter(0.4, 0).transform(dict(img=image))["img"]
    ratio = changed / image
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-3)
    assert abs(ratio[0, 0, 0] - 1) > 0.01 and changed.dtype == np.float32
    flat = ChannelJitter(0, 1).transform(dict(img=image))["img"]
    np.testing.assert_allclose(flat.mean(), image.mean(), rtol=1e-5)
    drawn = [ChannelJitter(0.8, 0).transform(dict(img=image))["img"].mean() for _ in range(400)]
    assert 0.2 * image.mean() <= min(drawn) and max(drawn) <= 1.8 * image.mean()
    assert abs(np.mean(drawn) / image.mean() - 1) < 0.1  # as often up as down, by as much
    drawn = [ChannelJitter(0, 0.8).transform(dict(img=image))["img"].std() for _ in range(400)]
    assert min(drawn) < 0.5 * image.std() and 1.5 * image.std() < max(drawn) <= 1.81 * image.std()
    same = ChannelJitter(0, 0).transform(dict(img=image))["img"]
    np.testing.assert_allclose(same, image, rtol=1e-3)


@pytest.mark.parametrize("name", [EXTREMA, BASE_PRETRAIN, BASE_FINETUNE, SEG, FINETUNE])
def test_pipelines_keep_the_channels(name, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((70, 90, 5)))
    cfg = on(name, None, classes=None, channels=5, value_range=[0, 1])
    steps = [s for s in cfg[TRAIN].dataset.pipeline if s["type"] != "LoadMask"]
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        packed = Compose(steps)(dict(img_path=str(tmp_path / "a.npy"), gt_label=0, seg_fields=[]))
    views = packed["inputs"] if isinstance(packed["inputs"], list) else [packed["inputs"]]
    assert {view.shape[0] for view in views} == {5}
    assert all(view.is_floating_point() and view.max() > 100 for view in views)
    assert len(views) < 2 or not torch.equal(*views)


def test_sheets_show_what_they_can(kind, tmp_path):
    cfg = on(FINETUNE, f"folders:{folders(tmp_path / 'set', kind)}", **options(kind))
    train, *_ = write_sheets(cfg, tmp_path / "sheets")
    assert np.array(Image.open(train)).std() > 0


# what is refused


def test_what_does_not_fit_is_refused_before_training(kind, tmp_path):
    root = folders(tmp_path / "set", kind)
    channels, values = KINDS[kind]
    data = dict(data=f"folders:{root}", channels=channels, value_range=values)
    with pytest.raises(DataError, match=rf"has {channels} channels, and --channels 2 asks for 2"):
        on(FINETUNE, **{**data, "channels": 2})
    other = {"model.backbone.in_channels": 2}
    with pytest.raises(DataError, match=rf"loaded in {channels} channels, and .*in_channels=2"):
        look_at_data(on(FINETUNE, cfg_options=other, **data), [TRAIN])
    other = {"model.data_preprocessor.mean": [0] * 5}
    with pytest.raises(DataError, match=rf"mean has 5 values, and the model takes {channels} chan"):
        look_at_data(on(FINETUNE, cfg_options=other, **data), [TRAIN])


@pytest.mark.parametrize("name", [PRETRAIN, FINETUNE, SEG])
def test_without_the_option_depth_is_refused_with_it_as_the_remedy(name, tmp_path):
    if name is SEG:
        root = write_dense(tmp_path)
        for path in list((root / "images").rglob("*.jpg")):
            rewrite(path, "deep")
        data, classes = f"masks:{root}", None
    else:
        data, classes = f"folders:{folders(tmp_path, 'deep')}", None
    cfg = on(name, data, classes=classes, num_classes=None if name is PRETRAIN else 3)
    with pytest.raises(DataError, match=r"has 16 bits a channel.*--channels N --value-range LOW"):
        look_at_data(cfg, [TRAIN])


def test_a_range_that_the_values_do_not_use_is_said(tmp_path):
    root = folders(tmp_path / "set", "bands")
    cfg = on(FINETUNE, f"folders:{root}", channels=4, value_range=(0, 65535))
    (train,) = look_at_data(cfg, [TRAIN])
    assert "255 stands for 65535: give --value-range" in " ".join(train.notes)
    cfg = on(FINETUNE, f"folders:{root}", channels=4)
    (train,) = look_at_data(cfg, [TRAIN])
    assert "255 stands for 255: give --value-range" in " ".join(train.notes)
    cfg = on(FINETUNE, f"folders:{root}", channels=4, value_range=(0, 4095))
    assert look_at_data(cfg, [TRAIN])[0].notes == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as an image or array"),
        (b"<html>", "cannot be read as an image or array"),
        (None, "cannot be read as an image or array"),
    ],
)
@pytest.mark.parametrize("ending", ["npy", "png"])
def test_files_that_are_none_are_named(content, message, ending, tmp_path):
    path = tmp_path / f"bad.{ending}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UnreadableImageError, match=f"bad.{ending} {message}"):
        LoadChannels(1).transform(dict(img_path=str(path)))


def test_arrays_of_objects_and_of_many_dimensions_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 2, 2, 2)))
    with pytest.raises(UnreadableImageError, match=r"it holds float64 of the shape \(2, 2, 2, 2\)"):
        LoadChannels(1).transform(dict(img_path=str(tmp_path / "a.npy")))
    np.save(tmp_path / "b.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UnreadableImageError, match=r"b.npy cannot be read"):
        LoadChannels(1).transform(dict(img_path=str(tmp_path / "b.npy")))
    with pytest.raises(MaskSSLError, match="give one channel or more, and a range"):
        LoadChannels(1, 5, 5)


def test_detection_says_that_it_takes_three(tmp_path):
    with pytest.raises(ConfigError, match="--channels 4: detection takes pictures of 3 channels"):
        on(DET, f"coco:{write_dense(tmp_path)}", channels=4)
    with pytest.raises(ConfigError, match="--value-range goes with --channels N"):
        on(FINETUNE, None, value_range=[0, 1], classes=None)


def test_a_cache_of_three_channels_is_refused():
    cfg = load_config(config_file(PRETRAIN), {"train_dataloader.dataset.cache": "cache"})
    with pytest.raises(ConfigError, match=r"train_dataloader.dataset.cache holds .* leave it out"):
        use_channels(cfg, 4)


def test_an_alpha_channel_is_kept_on_demand(tmp_path):
    root = write_image_folder(tmp_path, ending="png")
    for path in root.rglob("*.png"):
        Image.open(path).convert("RGBA").save(path)
    (train,) = look_at_data(on(FINETUNE, f"folders:{root}"), [TRAIN])
    assert any("alpha channel" in note and "--channels 4 keeps it" in note for note in train.notes)
    cfg = on(FINETUNE, f"folders:{root}", channels=4)
    assert look_at_data(cfg, [TRAIN])[0].notes == []
    shutil.rmtree(root)
    use_channels(cfg, 1)  # a second time changes the number alone
    assert [s["channels"] for s in cfg[TRAIN].dataset.pipeline if "channels" in s] == [1]
