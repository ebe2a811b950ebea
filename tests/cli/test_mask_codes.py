"""--map-masks reaches every pipeline that loads masks."""

import pytest

from maskssl import config_file
from maskssl.cli.config import load_config
from maskssl.cli.mask_codes import map_masks
from maskssl.errors import MaskSSLError
from tests.cli.test_data_check import FINETUNE, SEG


def test_codes_stand_behind_the_loading_of_masks():
    cfg = load_config(config_file(SEG))
    map_masks(cfg, ["0=0", "255=1"])
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        types = [step["type"] for step in cfg[loader].dataset.pipeline]
        assert types.count("MapLabels") == 1
        place = types.index("LoadAnnotations") + 1
        step = cfg[loader].dataset.pipeline[place]
        assert (step["type"], step["codes"]) == ("MapLabels", {"0": 0, "255": 1})


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
