"""One number of classes, and all that must follow it."""

import json

import pytest
from mmengine.config import Config

from maskssl import config_file
from maskssl.cli.classes import set_num_classes
from maskssl.cli.config import ConfigError

FINETUNE = "finetune/bootmae_vit-base-p16_finetune_8xb256-amp-coslr-100e_in1k.py"
LINEAR = "finetune/extrema_vit-base-p16_linear_8xb512-amp-coslr-90e_in1k.py"
KNN = "finetune/bootmae_vit-base-p16_knn_8xb256_in1k.py"
UPERNET = "seg/bootmae_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512.py"
SCENES_SEG = "seg/bootmae_vit-mini-p8_upernet_1xb8-amp-1k_camvid.py"
MASK_RCNN = "det/bootmae_vit-base-p16_mask-rcnn_16xb2-1x_coco.py"
PRETRAIN = "pretrain/bootmae_vit-base-p16_16xb256-amp-coslr-800e_in1k.py"


def load(name: str) -> Config:
    return Config.fromfile(config_file(name), import_custom_modules=False)


def annotated(folder, names):
    path = folder / "boxes.json"
    categories = [dict(id=7 - i, name=name) for i, name in enumerate(names)]
    path.write_text(json.dumps(dict(images=[], annotations=[], categories=categories)))
    return path


def test_classification_takes_it_in_head_and_preprocessor():
    cfg = load(FINETUNE)
    set_num_classes(cfg, 37)
    assert cfg.model.head.num_classes == cfg.model.data_preprocessor.num_classes == 37
    assert cfg.model.head.topk == cfg.val_evaluator.topk == cfg.test_evaluator.topk == (1, 5)
    cfg = load(LINEAR)
    set_num_classes(cfg, 3)
    assert cfg.model.head.num_classes == 3 and "num_classes" not in cfg.model.data_preprocessor
    # the best five of three would end in an error at the first validation
    assert cfg.model.head.topk == cfg.val_evaluator.topk == cfg.test_evaluator.topk == (1,)


def test_neighbours_have_no_head_but_a_metric():
    cfg = load(KNN)
    set_num_classes(cfg, 4)
    assert cfg.test_evaluator.topk == (1,)


def test_label_maps_take_it_in_both_heads_and_in_the_names():
    cfg = load(SCENES_SEG)
    names = cfg.train_dataloader.dataset.metainfo.classes
    set_num_classes(cfg, 11)
    assert cfg.train_dataloader.dataset.metainfo.classes == names  # they fit
    set_num_classes(cfg, 2)
    assert cfg.model.decode_head.num_classes == cfg.model.auxiliary_head.num_classes == 2
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.metainfo.to_dict() == dict(classes=("class 0", "class 1"))
    set_num_classes(cfg, 2, ["background", "cell"])
    assert cfg.val_dataloader.dataset.metainfo.classes == ("background", "cell")


def test_a_data_set_with_classes_of_its_own_is_not_renamed():
    cfg = load(UPERNET)
    with pytest.raises(
        ConfigError, match=r"ADE20KDataset has classes of its own; .*BaseSegDataset"
    ):
        set_num_classes(cfg, 5)
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].dataset.type = "BaseSegDataset"
    set_num_classes(cfg, 5)
    assert len(cfg.train_dataloader.dataset.metainfo.classes) == 5


def test_a_test_over_scales_takes_it_inside():
    cfg = load(UPERNET.replace(".py", "_ms-flip.py"))
    cfg.pop("train_dataloader"), cfg.pop("val_dataloader")
    cfg.test_dataloader.dataset.type = "BaseSegDataset"
    set_num_classes(cfg, 5)
    assert cfg.model.module.decode_head.num_classes == 5


def test_detection_takes_the_names_of_its_annotations(tmp_path):
    cfg = load(MASK_RCNN)
    path = annotated(tmp_path, ["cat", "dog", "cow"])  # with falling ids, which do not count
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        cfg[loader].dataset.update(data_root=str(tmp_path), ann_file=path.name)
    set_num_classes(cfg, 3)
    heads = cfg.model.roi_head
    assert heads.bbox_head.num_classes == heads.mask_head.num_classes == 3
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        assert cfg[loader].dataset.metainfo.classes == ("cat", "dog", "cow")
    assert "num_classes" not in cfg.model.backbone and "num_classes" not in cfg.model.rpn_head
    with pytest.raises(ConfigError, match="num_classes=2, but .*boxes.json has 3 categories: cat"):
        set_num_classes(cfg, 2)
    path.write_text("{}")
    cfg.train_dataloader.dataset.metainfo = None
    with pytest.raises(ConfigError, match=r"boxes\.json.*categories"):
        set_num_classes(cfg, 3)


@pytest.mark.parametrize(
    ("name", "count", "names", "said"),
    [
        (FINETUNE, 1, None, "num_classes=1 leaves nothing to tell; use 2 or more"),
        (UPERNET, 0, None, "num_classes=0"),
        (MASK_RCNN, 0, None, "use 1 or more"),
        (FINETUNE, 3, ["a", "b"], "num_classes=3, but 2 names were given"),
        (PRETRAIN, 10, None, "BootMAE has no classes; give it with a config of finetune/"),
    ],
)
def test_what_cannot_be_is_refused(name, count, names, said):
    with pytest.raises(ConfigError, match=said):
        set_num_classes(load(name), count, names)


def test_topk_may_be_one_number_and_must_count_something():
    cfg = load(FINETUNE)
    cfg.val_evaluator.topk = 1
    set_num_classes(cfg, 3)
    assert cfg.val_evaluator.topk == (1,)
    cfg.val_evaluator.topk = (5,)
    with pytest.raises(ConfigError, match=r"topk=\(5,\) counts none of 3 classes"):
        set_num_classes(cfg, 3)
