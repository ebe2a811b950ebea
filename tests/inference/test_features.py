"""Features of images, whatever they come as."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import maskssl
from maskssl.errors import MaskSSLError
from maskssl.models.backbones.plain_vit import PlainViT

ARCH = dict(embed_dims=48, num_layers=2, num_heads=3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8, pos_embed_layout="mae")
    path = tmp_path_factory.mktemp("weights") / "vit.pth"
    torch.save(vit.state_dict(), path)
    return path


@pytest.fixture
def extractor(checkpoint):
    return maskssl.FeatureExtractor(checkpoint, batch_size=2, device="cpu", num_heads=3)


@pytest.fixture
def folder(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("b/x.png", "a.png", "b/y.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pixels = generator.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def test_one_vector_per_image_in_order(extractor, folder):
    features = extractor(folder, progress=False)
    assert features.shape == (3, 48) and features.dtype == torch.float32
    files = [folder / name for name in ("a.png", "b/x.png", "b/y.png")]
    for given in (files, [str(file) for file in files], [Image.open(file) for file in files],
                  [np.asarray(Image.open(file)) for file in files],
                  np.stack([np.asarray(Image.open(file)) for file in files])):  # fmt: skip
        torch.testing.assert_close(extractor(given, progress=False), features)
    torch.testing.assert_close(extractor(files[1], progress=False), features[1:2])


def test_images_are_resized_cropped_and_normalised(extractor):
    """Uniform grey stays grey at every size: (x - mean) / std of ImageNet."""
    image = Image.new("RGB", (90, 60), (100, 150, 200))
    prepared = extractor.prepare(image)
    assert prepared.shape == (3, 32, 32)
    expected = torch.tensor([(100 - 123.675) / 58.395, (150 - 116.28) / 57.12,
                             (200 - 103.53) / 57.375])  # fmt: skip
    torch.testing.assert_close(prepared.mean(dim=(1, 2)), expected)
    # the middle of 32 * 256 / 224 = 37 pixels of the short side is kept, in RGB
    pixels = np.zeros((37, 37, 3), dtype=np.uint8)
    pixels[:2], pixels[-3:] = 255, 255  # rows that the crop leaves out
    pixels[2:-3, :, 0] = 10
    red = extractor.prepare(pixels)[0] * 58.395 + 123.675
    torch.testing.assert_close(red, torch.full((32, 32), 10.0))


def test_a_small_image_is_seen_whole(extractor):
    """One of the encoder's size stays as it is, pixel by pixel; a smaller one is only enlarged."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in (extractor.backbone.mean, extractor.backbone.std)
    )
    prepared = extractor.prepare(pixels) * std + mean
    torch.testing.assert_close(prepared, torch.from_numpy(pixels).permute(2, 0, 1).float())
    small = Image.fromarray(pixels).resize((16, 20))
    enlarged = small.resize((32, 40), Image.Resampling.BICUBIC).crop((0, 4, 32, 36))
    torch.testing.assert_close(extractor.prepare(small), extractor.prepare(enlarged))


def test_a_grey_image_has_three_channels(extractor):
    grey = np.full((40, 40), 77, dtype=np.uint8)
    rgb = np.stack([grey] * 3, axis=2)
    torch.testing.assert_close(extractor(grey, False), extractor(rgb, False))


@pytest.mark.parametrize("shape", [(40, 40), (40, 40, 3)])
def test_a_picture_of_more_than_8_bits_is_refused_and_named(extractor, shape, tmp_path):
    path = tmp_path / "deep.png"
    assert cv2.imwrite(str(path), np.full(shape, 4095, np.uint16))
    with pytest.raises(MaskSSLError, match=r"deep\.png has 16 bits a channel.*scale it to 8"):
        extractor(path, progress=False)


@pytest.mark.parametrize(("mode", "bits"), [("I;16", 16), ("I", 32), ("F", 32)])
def test_an_opened_picture_of_more_than_8_bits_is_refused(extractor, mode, bits):
    with pytest.raises(MaskSSLError, match=f"has {bits} bits a channel"):
        extractor(Image.new(mode, (40, 40)), progress=False)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_a_picture_of_up_to_8_bits_is_taken(extractor, mode, tmp_path):
    path = tmp_path / "a.tif"
    Image.new(mode, (40, 40)).save(path)
    assert extractor([path, Image.open(path)], progress=False).shape == (2, 48)


def test_a_backbone_of_other_channels_is_refused():
    vit = PlainViT(arch=ARCH, img_size=32, patch_size=8, in_channels=4)
    with pytest.raises(MaskSSLError, match="takes 4 channels, and pictures are read in 3"):
        maskssl.FeatureExtractor(vit)


def test_batches_change_nothing(checkpoint, folder):
    one, three = (
        maskssl.FeatureExtractor(checkpoint, "tokens", batch_size=n, device="cpu", num_heads=3)
        for n in (1, 3)
    )
    assert one(folder, False).shape == (3, 17, 48)
    torch.testing.assert_close(one(folder, False), three(folder, False), rtol=1e-4, atol=1e-5)


def test_slips(extractor, checkpoint, folder, tmp_path):
    with pytest.raises(MaskSSLError, match="no image and no folder at .*none"):
        extractor(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MaskSSLError, match="no images in"):
        extractor(tmp_path / "empty")
    with pytest.raises(MaskSSLError, match=r"notes\.txt cannot be read as an image"):
        extractor(folder / "notes.txt", progress=False)
    with pytest.raises(MaskSSLError, match=r"float64 \(4, 4, 3\) is no image; give uint8"):
        extractor(np.zeros((4, 4, 3)), progress=False)
    with pytest.raises(MaskSSLError, match="batch_size=0"):
        maskssl.FeatureExtractor(checkpoint, batch_size=0, num_heads=3)


def test_what_is_cut_is_the_middle(extractor):
    height, width = extractor.backbone.img_size
    pixels = np.zeros((height, 2 * width, 3), np.uint8)
    pixels[:, : width // 2] = pixels[:, -width // 2 :] = 255
    backbone = extractor.backbone
    mean, std = (np.array(values)[:, None, None] for values in (backbone.mean, backbone.std))
    seen = extractor.prepare(pixels).numpy() * std + mean
    assert np.abs(seen[:, :, 2:-2]).max() < 1


def pixels_of(extractor, *args, **options) -> np.ndarray:
    """What an encoder is given, as RGB of 0 to 255 (H, W, 3)."""
    mean, std = (
        torch.tensor(v).view(3, 1, 1) for v in (extractor.backbone.mean, extractor.backbone.std)
    )
    return (extractor.prepare(*args, **options) * std + mean).permute(1, 2, 0).numpy()


def test_an_oblong_encoder_sees_oblong_pictures(checkpoint):
    wide = maskssl.FeatureExtractor(checkpoint, img_size=(16, 32), device="cpu", num_heads=3)
    drawn = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    np.testing.assert_allclose(pixels_of(wide, drawn[:16]), drawn[:16], atol=1e-3)
    np.testing.assert_allclose(pixels_of(wide, drawn), drawn[24:40], atol=1e-3)  # the middle
    tall = maskssl.FeatureExtractor(checkpoint, img_size=(32, 16), device="cpu", num_heads=3)
    np.testing.assert_allclose(pixels_of(tall, drawn[:32]), drawn[:32, 8:24], atol=1e-3)
    for one, size in ((wide, (32, 16)), (tall, (16, 32))):
        whole = Image.fromarray(drawn).resize(size, Image.Resampling.BICUBIC)
        np.testing.assert_allclose(pixels_of(one, drawn, crop=False), np.asarray(whole), atol=1e-3)


def test_of_several_outputs_the_last_is_the_feature(checkpoint):
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    last, both = (
        maskssl.FeatureExtractor(checkpoint, device="cpu", num_heads=3, out_indices=indices)
        for indices in ([1], [0, 1])
    )
    torch.testing.assert_close(both(picture, False), last(picture, False))


def test_an_encoder_in_training_drops_no_paths_here(checkpoint):
    backbone = maskssl.load_backbone(checkpoint, "avg", num_heads=3, drop_path_rate=0.9).train()
    extractor = maskssl.FeatureExtractor(backbone, device="cpu")
    assert not backbone.training
    picture = np.zeros((32, 32, 3), np.uint8)
    torch.testing.assert_close(extractor(picture, False), extractor(picture, False))


def test_an_opened_png_of_16_bits_in_colours_is_refused(extractor, tmp_path):
    """Pillow opens it in 8, and its mode says nothing."""
    path = tmp_path / "deep.png"
    assert cv2.imwrite(str(path), np.full((40, 40, 3), 4095, np.uint16))
    with Image.open(path) as opened, pytest.raises(MaskSSLError, match="has 16 bits a channel"):
        extractor(opened, progress=False)


@pytest.mark.parametrize(
    ("given", "kind"), [(torch.zeros(3, 32, 32), "Tensor"), (None, "NoneType"), (b"\x89PNG", "by")]
)
def test_what_is_no_picture_is_named(given, kind, extractor):
    with pytest.raises(MaskSSLError, match=f"a {kind}.* is no image; give paths, folders"):
        extractor(given, progress=False)
