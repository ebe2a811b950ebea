"""--map-masks reaches every pipeline that loads masks."""

import argparse
import re
from importlib import import_module

import pytest

from maskssl import config_file
from maskssl.cli.boxes_only import use_boxes_only
from maskssl.cli.config import load_config
from maskssl.cli.mask_codes import map_masks
from maskssl.datasets.checks import masks
from maskssl.errors import MaskSSLError
from tests.cli.test_data_check import DET, FINETUNE, SEG

MS_FLIP = "seg/bootmae_vit-base-p16_upernet_8xb2-amp-160k_ade20k-512x512_ms-flip.py"


def test_codes_stand_behind_the_loading_of_masks():
    cfg = load_config(config_file(SEG))
    map_masks(cfg, ["0=0", "255=1"])
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        types = [step["type"] for step in cfg[loader].dataset.pipeline]
        assert types.count("MapLabels") == 1
        place = types.index("LoadMask") + 1
        step = cfg[loader].dataset.pipeline[place]
        assert (step["type"], step["codes"]) == ("MapLabels", {"0": 0, "255": 1})


def test_codes_reach_the_loading_of_masks_inside_a_test_over_scales():
    cfg = load_config(config_file(MS_FLIP))
    map_masks(cfg, ["0=1", "1=0"])
    mapping = dict(type="MapLabels", codes={"0": 1, "1": 0})
    for loader in ("train_dataloader", "val_dataloader"):
        pipeline = cfg[loader].dataset.pipeline
        assert pipeline[pipeline.index(dict(type="LoadMask")) + 1] == mapping
    _, test_time = cfg.test_dataloader.dataset.pipeline
    assert test_time["transforms"][2:] == [
        [dict(type="LoadMask")],
        [mapping],
        [dict(type="PackSegInputs")],
    ]
    map_masks(cfg, ["0=1", "1=0"])  # no second time
    assert len(test_time["transforms"]) == 5


def test_codes_of_the_command_replace_a_layout_s():
    cfg = load_config(config_file(SEG))
    map_masks(cfg, ["0=1", "1=0"])
    map_masks(cfg, ["0=0", "7=1"])
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        steps = [step for step in cfg[loader].dataset.pipeline if step["type"] == "MapLabels"]
        assert steps == [dict(type="MapLabels", codes={"0": 0, "7": 1})]


def test_boxes_alone_reach_the_loading_inside_a_test_over_scales():
    cfg = load_config(config_file(DET))
    load = dict(type="LoadAnnotations", with_bbox=True, with_mask=True)
    cfg.test_dataloader.dataset.pipeline = [dict(type="TestTimeAug", transforms=[[load]])]
    use_boxes_only(cfg)
    assert not cfg.test_dataloader.dataset.pipeline[0]["transforms"][0][0]["with_mask"]


@pytest.mark.parametrize(
    ("name", "pairs", "message"),
    [
        (SEG, ["0"], "--map-masks 0: give VALUE=LABEL"),
        (SEG, ["0=256"], "--map-masks 0=256: give"),
        (SEG, ["#ff0000=0", "3=1"], "neither all integers nor all colours"),
        (FINETUNE, ["0=0"], "needs a config of segmentation"),
    ],
)
def test_what_means_nothing_is_refused(name, pairs, message):
    with pytest.raises(MaskSSLError, match=message):
        map_masks(load_config(config_file(name)), pairs)


@pytest.mark.parametrize("name", ["train", "test", "check_data", "quickstart", "transfer"])
def test_messages_name_the_commands_that_map_masks(name):
    parser = argparse.ArgumentParser()
    import_module(f"maskssl.commands.{name}").add_arguments(parser)
    named = name.replace("_", "-") in re.findall(r"[\w-]+", masks._MAPPING)
    assert ("--map-masks" in parser.format_usage()) is named
