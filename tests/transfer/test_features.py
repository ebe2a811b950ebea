"""Features of encoders: what they are, and that the store gives them back and no others."""

import io
import json

import numpy as np
import pytest
import torch

import maskssl
from maskssl.checkpoints.hidden_files import hidden
from maskssl.errors import MaskSSLError
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.progress import ProgressLine
from maskssl.transfer import feature_store
from maskssl.transfer.encoders import open_encoder
from maskssl.transfer.feature_store import POOLED, TOKENS, Extraction, features_of
from maskssl.transfer.image_set import image_set, labelled_sets
from tests.checkpoints import test_parts
from tests.transfer.scenes import ARCH, save_encoder, write_pictures

CPU = torch.device("cpu")
IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def test_features_of_every_block_are_the_backbones(tmp_path):
    path = save_encoder(tmp_path / "a.pth")
    encoder = open_encoder(str(path), "a", CPU)
    assert encoder.features == ["1.mean", "2.mean", "1.cls", "2.cls"]
    found, tokens = encoder(IMAGES)
    assert set(found) == set(encoder.features)
    for out_type, pooling in (("avg", "mean"), ("cls", "cls")):
        backbone = maskssl.load_backbone(path, out_type, out_indices=[0, 1])
        for block, expected in enumerate(backbone(IMAGES), start=1):
            torch.testing.assert_close(found[f"{block}.{pooling}"], expected)
    torch.testing.assert_close(tokens.mean(dim=1), found["2.mean"])
    assert tokens.shape == (3, 16, 24)
    assert open_encoder(str(path), "a", CPU, [2]).features == ["2.mean", "2.cls"]


def test_class_attention_gives_the_class_token_where_there_is_one(tmp_path):
    settings = dict(with_cls_token=False, class_attention=dict(num_layers=1), out_type="cls")
    path = save_encoder(tmp_path / "extrema.pth", **settings)
    encoder = open_encoder(str(path), "extrema", CPU)
    assert encoder.features == ["1.mean", "2.mean", "2.cls"]
    found, _ = encoder(IMAGES)
    torch.testing.assert_close(found["2.cls"], maskssl.load_backbone(path, "cls")(IMAGES)[0])
    assert open_encoder(str(path), "extrema", CPU, [1]).features == ["1.mean"]
    fresh = open_encoder(f"random:{path}", "random", CPU)
    assert (fresh(IMAGES)[0]["2.cls"] - found["2.cls"]).abs().max() > 0.1


def test_random_weights_follow_the_seed_alone(tmp_path):
    path = save_encoder(tmp_path / "a.pth")
    one, same, other = (open_encoder(f"random:{path}", "r", CPU, seed=s) for s in (0, 0, 1))
    assert torch.equal(one(IMAGES)[1], same(IMAGES)[1])
    assert not torch.equal(one(IMAGES)[1], other(IMAGES)[1])
    assert len({one.weights, other.weights, open_encoder(str(path), "a", CPU).weights}) == 3


def test_weights_in_parts_are_known_by_their_parts(tmp_path):
    """Two of one shape have the same index."""
    encoders = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        state = {name: value + seed for name, value in test_parts.encoder().items()}
        test_parts.write(folder, state)
        encoders.append(open_encoder(str(folder), "a", CPU))
    index = "model.safetensors.index.json"
    assert (tmp_path / "0" / index).read_text() == (tmp_path / "1" / index).read_text()
    assert encoders[0].weights != encoders[1].weights


@pytest.fixture
def stored(tmp_path):
    """(call that extracts, how often the encoder ran)."""
    write_pictures(tmp_path / "data", "train", 4, 0)
    write_pictures(tmp_path / "data", "test", 1, 0)
    encoder = open_encoder(str(save_encoder(tmp_path / "a.pth")), "a", CPU)

    def extract(kinds=("pooled", "tokens"), batch_size=5, who=encoder):
        train, _ = labelled_sets(tmp_path / "data")
        how = Extraction(tmp_path / "cache", kinds, batch_size, 0, CPU)
        return features_of(who, train, how, ProgressLine(io.StringIO()))

    return extract


def test_stored_features_are_those_of_the_extractor(stored, tmp_path):
    features = stored()
    for name, out_type in (("2.mean", "avg"), ("2.cls", "cls")):
        extractor = maskssl.FeatureExtractor(tmp_path / "a.pth", out_type, device="cpu")
        expected = extractor(tmp_path / "data" / "train", progress=False)
        rows = features.rows(name, features.everything)
        assert isinstance(rows.array, np.memmap) and rows.array.dtype == np.float32
        found, labels = rows.batch(torch.arange(12))
        torch.testing.assert_close(found, expected)
        assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    tokens, _ = features.rows("tokens", features.everything).batch(torch.arange(12))
    pooled, _ = features.rows("2.mean", features.everything).batch(torch.arange(12))
    torch.testing.assert_close(tokens.mean(dim=1), pooled, rtol=0, atol=1e-3)  # fp16


def test_features_are_computed_once_for_the_same_content(stored, tmp_path, monkeypatch):
    ran = []
    fill = feature_store._fill
    monkeypatch.setattr(
        feature_store, "_fill", lambda *args: (ran.append(sorted(args[2])), fill(*args))
    )
    stored(kinds=("pooled",))
    stored(kinds=("pooled",), batch_size=3)
    assert ran == [["pooled"]]
    stored()
    assert ran == [["pooled"], ["tokens"]]
    picture = tmp_path / "data" / "train" / "flat" / "0.png"
    picture.write_bytes((tmp_path / "data" / "train" / "flat" / "1.png").read_bytes())
    stored()
    assert ran[2:] == [["pooled", "tokens"]]
    other = open_encoder(str(save_encoder(tmp_path / "b.pth", seed=2)), "a", CPU)
    stored(who=other)
    assert ran[3:] == [["pooled", "tokens"]]


def test_what_was_broken_off_leaves_nothing_behind(stored, tmp_path):
    picture = tmp_path / "data" / "train" / "standing" / "0.png"
    content = picture.read_bytes()
    picture.write_bytes(b"?")
    with pytest.raises(MaskSSLError, match=r"standing/0\.png cannot be read as an image"):
        stored()
    assert list((tmp_path / "cache").iterdir()) == []
    picture.write_bytes(content)
    assert len(list(stored().folders["pooled"].iterdir())) == 4


def test_calls_that_compute_the_same_at_once_do_not_meet(stored, tmp_path, monkeypatch):
    """The second one is done while the first one is at work, and both give whole features."""
    fill, found = feature_store._fill, []

    def overtaken(*args):
        if not found:
            found.append(None)
            found[0] = stored()
        fill(*args)

    monkeypatch.setattr(feature_store, "_fill", overtaken)
    first, second = stored(), found[0]
    assert first.folders == second.folders
    assert sorted(tmp_path.joinpath("cache").iterdir()) == sorted(first.folders.values())
    batch, _ = first.rows("2.mean", first.everything).batch(torch.arange(12))
    assert batch.abs().sum(dim=1).min() > 0


def test_what_killed_calls_have_left_goes_and_what_is_written_stays(stored, tmp_path):
    with hidden(tmp_path / "cache" / "pooled-a", is_folder=True) as written:
        left = written.with_name(written.name.replace(written.suffixes[-2], ".0123abcd"))
        left.mkdir()
        (left / "2.mean.npy").write_bytes(b"0")
        stored()
        assert written.is_dir() and not left.exists()


def test_a_disk_that_is_too_small_is_told_before(stored, tmp_path, monkeypatch):
    usage = type("Usage", (), dict(free=100))
    monkeypatch.setattr(feature_store.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(MaskSSLError, match="give another --cache, fewer --blocks"):
        stored()


def test_features_that_are_not_finite_are_refused(stored, tmp_path):
    broken = open_encoder(str(save_encoder(tmp_path / "c.pth")), "c", CPU)
    with torch.no_grad():
        broken.backbone.norm.weight.fill_(1e6)  # beyond fp16
    with pytest.raises(MaskSSLError, match="c: the feature tokens .* not finite in float16"):
        stored(who=broken)
    assert stored(("pooled",), who=broken).features


def test_features_are_stored_by_all_that_makes_them(tmp_path):
    path = str(save_encoder(tmp_path / "a.pth"))
    write_pictures(tmp_path / "data", "train", 2, 0)
    images = image_set(tmp_path / "data" / "train")
    encoders = [
        open_encoder(path, "a", CPU, blocks, side)
        for blocks, side in ((None, None), (None, 24), ([1], None))
    ]
    for name in ("mean", "std"):
        encoders.append(open_encoder(path, "a", CPU))
        setattr(encoders[-1].backbone, name, (1.0, 1.0, 1.0))
    keys = [feature_store._key(one, images, kind) for one in encoders for kind in (POOLED, TOKENS)]
    assert len(set(keys)) == len(keys) == 10


def test_registers_are_pooled_alone(tmp_path):
    encoder = open_encoder(str(save_encoder(tmp_path / "r.pth", num_registers=3)), "r", CPU)
    found, _ = encoder(IMAGES)
    with torch.no_grad():
        tokens = encoder.backbone(IMAGES)[-1]
    torch.testing.assert_close(found["2.registers"], tokens[:, 1:4].mean(dim=1))
    torch.testing.assert_close(found["2.mean"], tokens[:, 4:].mean(dim=1))


def test_features_are_computed_anew_once_config_json_says_something_else(tmp_path):
    """The hash of the weights does not know it."""
    write_pictures(tmp_path / "data", "train", 2, 0)
    images = image_set(tmp_path / "data" / "train")
    weights = PlainViT(arch=ARCH, img_size=16, patch_size=4).state_dict()
    torch.save(weights, tmp_path / "pytorch_model.bin")
    keys = []
    for told in (dict(), dict(layer_norm_eps=1e-3), dict(num_attention_heads=4)):
        config = dict(num_attention_heads=2) | told
        (tmp_path / "config.json").write_text(json.dumps(config))
        encoder = open_encoder(str(tmp_path), "a", CPU)
        keys += [feature_store._key(encoder, images, kind) for kind in (POOLED, TOKENS)]
    assert len(set(keys)) == 6
