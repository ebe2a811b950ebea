"""Images are mmpretrain's; samples stay where they are."""

import torch
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample

NORM = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True)


def batch():
    generator = torch.Generator().manual_seed(0)
    view = torch.randint(256, (2, 3, 4, 4), generator=generator, dtype=torch.uint8)
    samples = [DataSample(), DataSample()]
    for sample in samples:
        sample.set_field(torch.ones(2, 2, dtype=torch.bool), "mask")
    return dict(inputs=[view, view.flip(-1)], data_samples=samples)


def test_images_are_those_of_mmpretrain():
    ours, theirs = (
        MODELS.build(dict(NORM, type=f"{name}DataPreprocessor"))(batch(), True)["inputs"]
        for name in ("Pretrain", "SelfSup")
    )
    assert len(ours) == 2
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_images_are_moved_and_samples_are_not():
    """To the device without memory, which no sample could come back from."""
    given = batch()
    found = MODELS.build(dict(NORM, type="PretrainDataPreprocessor")).to("meta")(given, True)
    assert [view.device.type for view in found["inputs"]] == ["meta", "meta"]
    assert all(a is b for a, b in zip(found["data_samples"], given["data_samples"], strict=True))
    assert found["data_samples"][0].mask.device.type == "cpu"
