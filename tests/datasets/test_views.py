"""ExtreMA's two views: one crop and flip, colours of their own."""

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from PIL import Image

from maskssl import config_file
from maskssl.cli.config import load_config

PAPER = "pretrain/extrema_vit-base-p16_8xb256-amp-coslr-300e_in1k.py"


@pytest.fixture
def picture(tmp_path):
    """Grey noise: colours change its tones, and leave which pixel is brighter where."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 215, (24, 32), dtype=np.uint8)
    path = tmp_path / "grey.png"
    Image.fromarray(coarse).convert("RGB").resize((320, 240), Image.Resampling.NEAREST).save(path)
    return str(path)


def views(name, picture, count=12):
    cfg = load_config(config_file(name))
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmpretrain"):
        pipeline = Compose(cfg.train_dataloader.dataset.pipeline)
        return [pipeline(dict(img_path=picture))["inputs"] for _ in range(count)]


def correlation(one, other):
    both = torch.stack([one.float().mean(0).flatten(), other.float().mean(0).flatten()])
    return torch.corrcoef(both)[0, 1].item()


def test_views_share_their_crop_and_flip_and_differ_in_colour(picture):
    pairs = views(PAPER, picture)
    assert all(len(pair) == 2 for pair in pairs)
    assert all(pair[0].shape == (3, 224, 224) for pair in pairs)
    assert min(correlation(*pair) for pair in pairs) > 0.97
    assert sum(not torch.equal(*pair) for pair in pairs) >= 9  # 0.04 stay uncoloured by chance
    # other draws are other crops: what is shared within a pair is not shared by chance
    assert correlation(pairs[0][0], pairs[1][0]) < 0.9


def test_without_colours_there_is_one_image(picture):
    for inputs in views(PAPER.replace(".py", "_no-colour.py"), picture, count=3):
        (image,) = inputs if isinstance(inputs, list) else [inputs]
        assert image.shape == (3, 224, 224)
        # no colours: the grey picture is grey still
        assert torch.equal(image[0], image[1]) and torch.equal(image[1], image[2])
