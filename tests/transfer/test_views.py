"""The views by their command: from a checkpoint and pictures to one picture."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmpretrain.registry import MODELS
from PIL import Image, ImageColor

from maskssl.__main__ import main
from maskssl.errors import MaskSSLError
from maskssl.inference.pretraining import pixel_model, predicts_pixels
from maskssl.models.pretrained.told import saved_model
from maskssl.transfer import views
from maskssl.transfer.encoders import open_encoder
from maskssl.transfer.views import neighbours_of, pooled_features, shelves
from maskssl.visualization.neighbours import RIGHT, WRONG
from tests.transfer.scenes import ARCH, save_encoder, write_pictures

MODEL = f"""model = dict(
    type="BootMAE",
    backbone=dict(type="PlainViT", arch={ARCH!r}, img_size=16, patch_size=4),
    neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=8)),
    head=dict(type="BootMAEHead"),
    target_generator=dict(type="MomentumEncoder"),
    data_preprocessor=dict(
        type="SelfSupDataPreprocessor", mean=[127.5, 127.5, 127.5], std=[60.0, 60.0, 60.0]
    ),
)
"""


def save_pretraining(path: Path, text: str = MODEL) -> Path:
    """A checkpoint of a small BootMAE with its config."""
    torch.manual_seed(5)
    weights = MODELS.build(saved_model(dict(meta=dict(cfg=MODEL)))).state_dict()
    torch.save(dict(state_dict=weights, meta=dict(cfg=text)), path)
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder, "train", 6, 0)
    write_pictures(folder, "test", 3, 1)
    return folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return save_pretraining(tmp_path_factory.mktemp("checkpoint") / "epoch_1.pth")


SIZES = {  # of the page: cells and the gaps between them
    "attention": (4 * 100 + 4, 18 + 6 * 100),
    "pca": (4 * 132 + 4, 18 + 5 * 132),
    "neighbours": (6 * 116 + 4, 18 + 8 * (116 + 14)),
    "embedding": (770, 550),
    "reconstruction": (3 * 132 + 4, 18 + 8 * 132),
}


@pytest.mark.parametrize("view", SIZES)
def test_every_view_is_one_picture_of_a_folder(view, checkpoint, data, tmp_path, capsys):
    """Of the nine test pictures as many as fit; a second call draws the same."""
    pages = []
    for number in range(2):
        out = tmp_path / f"{number}.png"
        main(["visualize", view, str(checkpoint), str(data), "--out", str(out)])
        assert capsys.readouterr().out.splitlines()[-1] == str(out)
        pages.append(np.asarray(Image.open(out)))
    assert pages[0].shape[1::-1] == SIZES[view] and pages[0].std() > 20
    np.testing.assert_array_equal(*pages)


def test_random_weights_and_other_poolings_are_other_pictures(checkpoint, data, tmp_path):
    drawn = []
    for number, words in enumerate(
        ([str(checkpoint)], [f"random:{checkpoint}"], [str(checkpoint), "--pooling", "cls"])
    ):
        path, *options = words
        out = tmp_path / f"{number}.png"
        main(["visualize", "embedding", path, str(data), *options, "--out", str(out)])
        drawn.append(Image.open(out).tobytes())
    assert len(set(drawn)) == 3


def test_neighbours_are_the_most_similar_others(checkpoint, data, tmp_path):
    """Leaving the picture itself out, by NumPy; a training set is looked in where there is one."""
    encoder = open_encoder(str(checkpoint), "", torch.device("cpu"))
    shelf, bank = shelves([str(data)])
    assert len(shelf.files) == 9 and bank is not None and len(bank.files) == 18
    alone, none = shelves([str(data / "train")])
    assert none is None and list(alone.classes) == ["flat", "lying", "standing"]
    features = pooled_features(encoder, alone.files, "2.mean")
    unit = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    similarity, found = neighbours_of(features, [0, 7, 17], None, 4)
    for row, place in enumerate((0, 7, 17)):
        np.testing.assert_allclose(similarity[row], np.sort(cosine[place])[::-1][:4], atol=1e-5)
        assert set(found[row].tolist()) == set(np.argsort(-cosine[place])[:4].tolist())
    copies = torch.cat([features, features[:3]])  # of the same pictures
    similarity, found = neighbours_of(copies, [0], None, 4)
    assert similarity.shape == (1, 4) and similarity[0, 0] == pytest.approx(1)


def test_pictures_without_classes_are_not_marked(checkpoint, data, tmp_path):
    shelf, bank = shelves([str(data / "train" / "flat"), str(data / "test" / "flat" / "0.png")])
    assert (len(shelf.files), list(shelf.classes), bank) == (7, [], None)
    assert shelf.spread(3) == [0, 2, 4] and shelf.spread(99) == list(range(7))
    out = tmp_path / "page.png"
    folder = str(data / "train" / "flat")
    main(["visualize", "neighbours", str(checkpoint), folder, "--out", str(out)])
    pixels = np.asarray(Image.open(out)).astype(int)
    assert not (pixels == (0xD2, 0x22, 0x22)).all(axis=2).any()
    assert not (pixels == (0x18, 0x84, 0x3A)).all(axis=2).any()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["embedding", "CKPT", "DATA", "--pooling", "registers"], "has 1.mean, 2.mean, 1.cls, "),
        (["embedding", "CKPT", "DATA", "--block", "3"], "has the blocks 1 to 2"),
        (["pca", "CKPT", "EMPTY"], "no images in .*; give files or folders"),
        (["attention", "nowhere.pth", "DATA"], "there is no checkpoint at nowhere.pth"),
        (["reconstruction", "ENCODER", "DATA"], "holds no pretraining that predicts pixels"),
        (["neighbours", "CKPT", "DATA", "--k", "99"], "k=99 neighbours .* bank of 18"),
        (["masks", "nowhere.py", "DATA"], "there is no config at nowhere.py"),
    ],
)
def test_slips_are_told_in_a_sentence(words, said, checkpoint, data, tmp_path):
    (tmp_path / "empty").mkdir()
    places = dict(CKPT=checkpoint, DATA=data, EMPTY=tmp_path / "empty")
    places["ENCODER"] = save_encoder(tmp_path / "encoder.pth")
    with pytest.raises(SystemExit) as end:
        main(["visualize", *(str(places.get(word, word)) for word in words)])
    assert re.search(said, end.value.code), end.value.code


def test_debug_shows_the_traceback_of_a_view_too(data, capsys):
    with pytest.raises(SystemExit):
        main(["visualize", "pca", "nowhere.pth", str(data), "--debug"])
    assert "Traceback" in capsys.readouterr().err


def test_a_file_builds_no_parts_but_those_of_a_pretraining(tmp_path):
    """mmengine would import any dotted name and call it."""
    assert predicts_pixels(str(save_pretraining(tmp_path / "a.pth")))
    assert not predicts_pixels(str(save_encoder(tmp_path / "b.pth")))
    odd = MODEL.replace('"BootMAEHead"', '"os.system", command="touch broken"')
    path = save_pretraining(tmp_path / "c.pth", odd)
    with pytest.raises(MaskSSLError, match=r"names os\.system, which a file is not trusted with"):
        pixel_model(str(path))


def test_the_tool_of_a_config_draws_what_the_view_does(
    checkpoint, data, tmp_path, monkeypatch, repository
):
    config = tmp_path / "config.py"
    transforms = [
        dict(type="LoadImage"),
        dict(type="Resize", scale=(16, 16)),
        dict(type="BlockMask", grid=(4, 4)),
        dict(type="PackInputs", algorithm_keys=["mask"]),
    ]
    loader = f"train_dataloader = dict(dataset=dict(pipeline={transforms}))\n"
    config.write_text(f"{MODEL}{loader}default_scope = 'mmpretrain'\n")
    words = [str(checkpoint), str(data), "--out"]
    tool = str(repository / "tools" / "reconstruct.py")
    monkeypatch.setattr(sys, "argv", [tool, str(config), *words, str(tmp_path / "old.png")])
    runpy.run_path(tool, run_name="__main__")
    main(
        ["visualize", "reconstruction", *words, str(tmp_path / "new.png"), "--config", str(config)]
    )
    old, new = (Image.open(tmp_path / f"{name}.png").tobytes() for name in ("old", "new"))
    assert old == new
    main(["visualize", "masks", str(config), str(data), "--out", str(tmp_path / "masks.png")])
    assert Image.open(tmp_path / "masks.png").width == 3 * 132 + 4


def test_frames_are_green_and_red_around_unchanged_pictures(data, tmp_path):
    encoder = open_encoder(str(save_encoder(tmp_path / "a.pth")), "a", torch.device("cpu"))
    shelf, _ = shelves([str(data / "train")])
    for place, colour in ((1, RIGHT), (17, WRONG)):
        found = torch.ones(1, 1), torch.tensor([[place]])
        sheet = views.neighbour_sheet(encoder, shelf, [0], shelf, found)
        assert sheet.getpixel((4 + 116, 18)) == ImageColor.getrgb(colour)
    _, (pixels,) = views.prepared(encoder, shelf.files[:1])
    np.testing.assert_allclose(pixels, np.asarray(Image.open(shelf.files[0])), atol=1)


def test_the_class_attention_asks_where_it_pools(data, tmp_path, monkeypatch):
    settings = dict(with_cls_token=False, class_attention=dict(num_layers=1), out_type="cls")
    path = save_encoder(tmp_path / "x.pth", **settings)
    encoder = open_encoder(str(path), "x", torch.device("cpu"))
    asked = []

    def maps(backbone, images):
        asked.append(backbone)
        return torch.rand(len(images), 2, 4, 4)

    monkeypatch.setattr(views, "attention_maps", maps)
    views.attention_sheet(encoder, [data / "train" / "flat" / "0.png"])
    assert asked == [encoder.pooled_by_class_attention]
