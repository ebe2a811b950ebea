"""A third method, MAE of mmpretrain's parts, by a row and its configs alone."""

import json

import pytest
import torch
from mmengine.config import Config
from mmpretrain.registry import MODELS

from maskssl.inference.backbone import load_backbone
from maskssl.methods import METHODS, block_names
from maskssl.quickstart.scenes.writer import write_scenes
from tests.quickstart.mae.quickstart import HERE, MAE


@pytest.fixture(scope="module")
def finished(tmp_path_factory, run_warm):
    folder = tmp_path_factory.mktemp("mae")
    counts = dict(num_train=128, num_val=16, num_dense_train=16, num_dense_val=8)
    scenes = write_scenes(folder / "scenes", **counts)
    script = "tests/quickstart/mae/quickstart.py"
    done = run_warm(script, folder / "out", scenes, env=dict(PYTHONPATH="."), timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "out"


def test_it_goes_from_pretraining_to_the_report(finished):
    report = json.loads((finished / "report" / "report.json").read_text())
    assert report["title"] == "Transfer of MAE pretrained on drawn scenes"
    assert [measure["name"] for measure in report["measures"]] == ["knn", "linear", "segmentation"]
    assert not report["failed"]
    for measure in report["measures"]:
        assert [cell["checkpoint"] for cell in measure["cells"]] == ["MAE", "random"]
    mae, random = report["checkpoints"]
    assert "(mmpretrain, student)" in mae["ledger_text"]
    assert random["weights"].startswith("random 0 of ")
    log = (finished / "runs" / "MAE" / "segmentation" / "seed-0" / "train.log").read_text()
    assert "tensors from" in log and "(mmpretrain, student)" in log
    assert report["pictures"][0]["kind"] == "pretraining"


def test_the_loaded_encoder_is_the_pretrained_one(finished):
    """PlainViT with the checkpoint's weights gives the features of mmpretrain's own class."""
    checkpoint = next((finished / "runs" / "pretrain").glob("epoch_*.pth"))
    theirs = MODELS.build(Config.fromfile(HERE / "pretrain.py").model)
    theirs.load_state_dict(torch.load(checkpoint, weights_only=False)["state_dict"])
    ours = load_backbone(checkpoint, "tokens")
    images = torch.randn(2, 3, 48, 48)
    theirs.backbone.out_type = "raw"
    with torch.no_grad():
        expected = theirs.eval().extract_feat(images)[0]
        (found,) = ours(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_sharding_gathers_the_blocks_of_every_row(monkeypatch):
    assert {"EncoderBlock", "DecoderBlock", "LayerScaleBlockClassAttn"} == block_names()
    monkeypatch.setitem(METHODS, "mae", MAE)
    model = MODELS.build(Config.fromfile(HERE / "pretrain.py").model)
    blocks = [part for part in model.modules() if type(part).__name__ in block_names()]
    assert len(blocks) == 4 + 1  # the encoder's and the decoder's
