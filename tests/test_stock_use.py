"""A user's own mmseg or mmdet config: plain Runner, custom_imports, our backbone type."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from maskssl.checkpoints.errors import CheckpointError
from maskssl.models.pretrained.guard import UnloadedWeightsError
from maskssl.quickstart.scenes.writer import write_scenes
from tests.support import TINY_ARCH, small_config


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_scenes(
        tmp_path_factory.mktemp("stock") / "s",
        num_train=8,
        num_val=8,
        num_dense_train=4,
        num_dense_val=2,
    )


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Pretraining checkpoints of a narrow BootMAE and a narrow ExtreMA."""
    encoder = dict(type="PlainViT", arch=TINY_ARCH, img_size=64, patch_size=8)
    mlp = dict(type="ProjectionMLP", hidden_channels=16, out_channels=8)
    settings = dict(
        bootmae=dict(
            type="BootMAE",
            backbone=encoder,
            neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=16)),
            head=dict(type="BootMAEHead"),
            target_generator=dict(type="MomentumEncoder"),
        ),
        extrema=dict(
            type="ExtreMA",
            backbone=dict(
                encoder, with_cls_token=False, class_attention=dict(num_layers=2), out_type="cls"
            ),
            neck=mlp,
            head=dict(type="ExtreMAHead", predictor=dict(mlp, num_layers=2)),
            target_generator=dict(type="MomentumProjector", schedule=dict(type="cosine")),
        ),
    )
    folder = tmp_path_factory.mktemp("weights")
    for name, cfg in settings.items():
        torch.save(dict(state_dict=MODELS.build(cfg).state_dict()), folder / f"{name}.pth")
    return folder


@pytest.fixture(scope="module")
def pretraining(checkpoints):
    return str(checkpoints / "bootmae.pth")


def user_config(scope, scenes, work_dir, checkpoint):
    """What a user writes: nothing of maskssl but the import, the type and init_cfg."""
    name = dict(
        mmseg="seg/bootmae_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py",
        mmdet="det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py",
    )[scope]
    shipped = small_config(name, scenes, work_dir)
    backbone = dict(
        type="mmpretrain.PlainViT",
        arch=TINY_ARCH,
        img_size=128,
        patch_size=8,
        out_type="featmap",
        out_indices=[1, 2, 4, 5],
        final_norm=False,
        init_cfg=dict(type="Pretrained", checkpoint=checkpoint),
    )
    width = [TINY_ARCH["embed_dims"]] * 4
    model = shipped.model.to_dict()
    model["backbone"] = backbone
    if scope == "mmseg":
        # stock parts: mmseg's own pyramid in place of ours
        model["neck"] = dict(
            type="Feature2Pyramid",
            embed_dim=width[0],
            rescales=[4, 2, 1, 0.5],
            norm_cfg=dict(type="BN"),
        )
        every = dict(in_channels=width, in_index=[0, 1, 2, 3])
        model["decode_head"].update(every, norm_cfg=dict(type="BN"))
        model["auxiliary_head"].update(in_channels=width[0], norm_cfg=dict(type="BN"))
        train_cfg = dict(type="IterBasedTrainLoop", max_iters=2, val_interval=2)
    else:
        model["neck"] = [
            dict(
                type="mmseg.Feature2Pyramid",
                embed_dim=width[0],
                rescales=[4, 2, 1, 0.5],
                norm_cfg=dict(type="BN"),
            ),
            dict(type="FPN", in_channels=width, out_channels=48, start_level=1, num_outs=3),
        ]
        model["roi_head"]["bbox_head"]["norm_cfg"] = dict(type="BN")
        train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=1, val_interval=1)
    cfg = dict(
        default_scope=scope,
        custom_imports=dict(imports=["maskssl.registration"], allow_failed_imports=False),
        model=model,
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-4)),
        train_cfg=train_cfg,
        work_dir=str(work_dir),
        experiment_name=f"stock-{scope}-{work_dir.name}",
    )
    for key in ("dataloader", "evaluator"):
        for split in ("train", "val", "test"):
            if f"{split}_{key}" in shipped:
                cfg[f"{split}_{key}"] = shipped[f"{split}_{key}"].to_dict()
    cfg["train_dataloader"]["batch_size"] = 2
    cfg["val_cfg"], cfg["test_cfg"] = dict(), dict()
    cfg["visualizer"] = shipped.visualizer.to_dict()
    return Config(cfg)


@pytest.mark.parametrize("method", ["bootmae", "extrema"])
@pytest.mark.parametrize("scope", ["mmseg", "mmdet"])
def test_loads_trains_and_tests(scope, method, scenes, checkpoints, tmp_path):
    pretraining = str(checkpoints / f"{method}.pth")
    cls_token = dict(bootmae=True, extrema=False)[method]
    cfg = user_config(scope, scenes, tmp_path / "train", pretraining)
    cfg.model.backbone.with_cls_token = cls_token
    runner = Runner.from_cfg(cfg)
    runner.train()
    log = next((tmp_path / "train").rglob("*.log")).read_text()
    assert "resized pos_embed: 8 x 8 -> 16 x 16" in log
    assert ("class attention, class_attention=None" in log) == (method == "extrema")
    trained = next((tmp_path / "train").glob("*.pth"))

    cfg = user_config(scope, scenes, tmp_path / "test", pretraining)
    cfg.model.backbone.with_cls_token = cls_token
    cfg.load_from = str(trained)
    metrics = Runner.from_cfg(cfg).test()
    assert {"mmseg": "mIoU", "mmdet": "coco/bbox_mAP"}[scope] in metrics
    assert metrics == runner.val()
    weights = torch.load(trained, weights_only=False)["state_dict"]
    tested = runner.model.state_dict()
    assert weights.keys() == tested.keys()
    assert all(torch.equal(weights[name], value) for name, value in tested.items())


@pytest.mark.parametrize("scope", ["mmseg", "mmdet"])
def test_refusals(scope, scenes, pretraining, checkpoints, tmp_path):
    cfg = user_config(scope, scenes, tmp_path / "a", pretraining)
    with pytest.raises(UnloadedWeightsError, match="were loaded; give the checkpoint"):
        Runner.from_cfg(cfg).test()  # no checkpoint at all

    cfg = user_config(scope, scenes, tmp_path / "b", pretraining)
    cfg.load_from = pretraining
    with pytest.raises(UnloadedWeightsError, match="never loaded"):
        Runner.from_cfg(cfg).test()  # the encoder alone

    cfg = user_config(scope, scenes, tmp_path / "c", pretraining)
    cfg.model.backbone.arch = dict(TINY_ARCH, embed_dims=48)
    with pytest.raises(CheckpointError, match="nothing was loaded"):
        Runner.from_cfg(cfg).model.init_weights()

    cfg = user_config(scope, scenes, tmp_path / "e", str(checkpoints / "extrema.pth"))
    with pytest.raises(CheckpointError, match="set with_cls_token=False"):
        Runner.from_cfg(cfg).model.init_weights()  # a cls token asked of ExtreMA

    cfg = user_config(scope, scenes, tmp_path / "f", pretraining)
    cfg.custom_hooks = [dict(type="LedgerHook")]
    cfg.model.data_preprocessor.update(mean=[127.5] * 3, std=[127.5] * 3)
    with pytest.raises(CheckpointError, match=r"made with mean=\[123.675.*accept=\['pixels'\]"):
        Runner.from_cfg(cfg).train()  # pixels of another pretraining

    broken = tmp_path / "broken.pth"
    broken.write_bytes(Path(pretraining).read_bytes()[:5000])
    cfg = user_config(scope, scenes, tmp_path / "d", str(broken))
    with pytest.raises(CheckpointError, match="truncated"):
        Runner.from_cfg(cfg).model.init_weights()
