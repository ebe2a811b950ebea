"""What a backbone must be is told by its tensors, and only then by what the file says."""

import pytest
import torch
from mmpretrain.models.backbones import VisionTransformer

from maskssl.checkpoints.errors import CheckpointError
from maskssl.models.backbones.plain_vit import PlainViT
from maskssl.models.pretrained.architecture import KNOWN_HEADS, pixels_of, vit_settings
from maskssl.models.pretrained.loading import PretrainedFile, load_weights
from maskssl.models.pretrained.recognition import EncoderWeights
from maskssl.models.pretrained.source import HALF_PIXELS, IMAGENET_PIXELS, Pixels, Source
from maskssl.models.pretrained.sources import SOURCES
from maskssl.models.pretrained.told import saved_model

FIELD = ("deit-t", "deit-s", "b", "l", "h", "eva-g", "dinov2-g")  # mmpretrain's names
ARCH = dict(embed_dims=16, num_layers=2, num_heads=2)
SOME = Source("some", {}, ())


def build(**options) -> PlainViT:
    torch.manual_seed(0)
    model = PlainViT(**{**dict(arch=ARCH, img_size=32, patch_size=8), **options})
    for parameter in model.parameters():
        if parameter is not model.pos_embed:
            torch.nn.init.normal_(parameter, std=0.1)
    return model.eval()


def weights_of(model: PlainViT) -> EncoderWeights:
    return EncoderWeights(SOME, "student", dict(model.state_dict()))


def shapes(width: int, depth: int, **more: tuple[int, ...]) -> EncoderWeights:
    """The few tensors that are looked at, without memory."""
    names: dict[str, tuple[int, ...]] = {"patch_embed.proj.weight": (width, 3, 16, 16)}
    names |= {f"blocks.{index}.mlp.fc1.weight": (4 * width, width) for index in range(depth)}
    names |= {f"blocks.{index}.mlp.fc2.weight": (width, 4 * width) for index in range(depth)}
    tensors = {name: torch.empty(shape, device="meta") for name, shape in (names | more).items()}
    return EncoderWeights(SOME, "student", tensors)


@pytest.mark.parametrize(
    "options",
    [
        dict(),
        dict(pos_embed_layout="mae"),
        dict(with_cls_token=False, pos_embed_layout="mae"),
        dict(with_cls_token=False, class_attention=dict(num_layers=3), pos_embed_layout="mae"),
        dict(arch=dict(ARCH, num_layers=11, mlp_ratio=2.5)),
        dict(qkv_bias=False, final_norm=False),
        dict(layer_scale_init=1.0, rel_pos_bias=True),
        dict(in_channels=1, img_size=24, patch_size=4),
    ],
    ids=str,
)
def test_a_backbone_is_rebuilt_from_its_tensors(options):
    model = build(**options)
    told = vit_settings(weights_of(model), {}, num_heads=2)
    told["init_cfg"] = None
    rebuilt = PlainViT(**told)
    load_weights(rebuilt, PretrainedFile("memory", weights_of(model), {}, ""))
    channels = options.get("in_channels", 3)
    images = torch.randn(2, channels, *(side * model.patch_size for side in model.grid_size))
    with torch.no_grad():
        torch.testing.assert_close(rebuilt.eval()(images), model(images))
        if model.class_attention is not None:
            tokens = torch.randn(2, 5, 16)
            torch.testing.assert_close(rebuilt.class_token(tokens), model.class_token(tokens))
    assert rebuilt.pos_embed_layout == model.pos_embed_layout
    assert rebuilt.with_final_norm == model.with_final_norm


@pytest.mark.parametrize(
    ("width", "depth", "heads"),
    [(192, 12, 3), (384, 12, 6), (768, 12, 12), (1024, 24, 16), (1280, 32, 16)],
)
def test_heads_of_the_fields_architectures(width, depth, heads):
    arch = vit_settings(shapes(width, depth), {})["arch"]
    assert arch == dict(embed_dims=width, num_layers=depth, num_heads=heads, mlp_ratio=4.0)


@pytest.mark.parametrize(
    ("source", "config", "size", "heads"),
    [
        ("MoCo v3", {}, (384, 12), 12),  # as its authors' vits.py has it
        ("CAE pretraining", {}, (384, 12), 12),
        ("MoCo v3", {}, (768, 12), 12),
        ("DINO", {}, (384, 12), 6),
        ("DINOv3", {}, (1280, 32), 20),
        ("mmpretrain", dict(backbone=dict(arch="mocov3-small")), (384, 12), 12),
        ("mmpretrain", dict(backbone=dict(arch="deit-small")), (384, 12), 6),
        ("mmpretrain", dict(backbone=dict(arch="base")), (768, 12), 12),
    ],
)
def test_authors_with_other_heads(source, config, size, heads):
    weights = shapes(*size)
    weights.source = next(one for one in SOURCES if one.name == source)
    assert vit_settings(weights, config)["arch"]["num_heads"] == heads


def test_of_two_architectures_of_one_size_none_is_guessed():
    weights = shapes(384, 12)
    weights.source = next(one for one in SOURCES if one.name == "mmpretrain")
    with pytest.raises(CheckpointError, match="not the size of one known architecture.*give num_"):
        vit_settings(weights, {})


def test_who_tells_the_heads():
    """Whoever asks, then the file's config, then a table of relative positions."""
    table = {"blocks.0.rel_pos.table": (52, 8)}
    config = dict(backbone=dict(arch=dict(num_heads=24)))

    def heads(*arguments, **tensors):
        return vit_settings(shapes(768, 12, **tensors), *arguments)["arch"]["num_heads"]

    assert heads({}) == heads(dict(backbone=dict(arch="base"))) == heads(dict(backbone=None)) == 12
    assert heads({}, **table) == 8
    assert heads(config, **table) == 24
    assert heads(config, 48, **table) == 48
    with pytest.raises(CheckpointError, match="has 11 blocks of width 768.*give num_heads"):
        vit_settings(shapes(768, 11), {})


@pytest.mark.parametrize("missing", ["patch_embed.proj.weight", "blocks.0.mlp.fc1.weight"])
def test_what_is_no_encoder_is_refused(missing):
    weights = weights_of(build())
    weights.tensors.pop(missing)
    with pytest.raises(CheckpointError, match="this some checkpoint holds no patch embedding or"):
        vit_settings(weights, {}, num_heads=2)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("patch_embed.proj.weight", (768, 3, 2, 16, 16)), ("pos_embed", (1, 14, 14, 768)),
     ("patch_embed.proj.weight", (768, 768))],
)  # fmt: skip
def test_what_is_no_encoder_of_images_is_refused(name, shape):
    """V-JEPA's and VideoMAE's patches are those of several frames."""
    weights = shapes(768, 12, **{name: shape})
    with pytest.raises(CheckpointError, match=rf"{name} of this some .* has shape \({shape[0]}, "):
        vit_settings(weights, {})


@pytest.mark.parametrize(
    ("rows", "config", "size"),
    [
        ((1, 10, 768), {}, 48),  # 3 x 3 patches of 16, and a cls token
        ((1, 13, 768), {}, 224),  # 12 patches are no square
        ((1, 13, 768), dict(backbone=dict(img_size=(48, 64))), (48, 64)),
        ((1, 10, 768), dict(backbone=dict(img_size=64)), 48),
        ((1, 37, 768), {}, 96),  # 6 x 6 or 4 x 9
        ((1, 37, 768), dict(backbone=dict(img_size=(64, 144))), (64, 144)),
        ((1, 37, 768), dict(backbone=dict(img_size=[96, 96])), 96),
        (None, {}, 224),
        (None, dict(backbone=dict(img_size=64)), 64),
    ],
)
def test_the_image_size_is_that_of_a_square_table(rows, config, size):
    more = {"cls_token": (1, 1, 768)}
    more |= {"pos_embed": rows} if rows else {}
    weights = shapes(768, 12, **more)
    if rows:
        weights.tensors["pos_embed"] = torch.randn(rows)
    assert vit_settings(weights, config)["img_size"] == size


@pytest.mark.parametrize(
    ("offsets", "config", "size"),
    [
        (81, {}, 80),  # 5 x 5, or 2 x 14 patches of 16
        (81, dict(backbone=dict(img_size=(32, 224))), (32, 224)),
        (81, dict(backbone=dict(img_size=96)), 80),
        (21, {}, 224),  # 2 x 4 are no square
        (21, dict(backbone=dict(img_size=(32, 64))), (32, 64)),
        (16, {}, 224),  # a square of no grid
    ],
)
def test_so_is_that_of_a_table_of_relative_positions(offsets, config, size):
    weights = shapes(768, 12, **{"blocks.0.rel_pos.table": (offsets + 3, 12)})
    assert vit_settings(weights, config)["img_size"] == size


@pytest.mark.parametrize(
    ("given", "layout"), [(None, "mae"), ("bootmae", "bootmae"), ("mae", "mae"), ("other", "mae")]
)
def test_the_layout_of_a_learnt_table_is_that_of_the_config(given, layout):
    model = build(pos_embed_trainable=True)
    torch.nn.init.normal_(model.pos_embed)
    config = dict(backbone=dict(pos_embed_layout=given)) if given else {}
    assert vit_settings(weights_of(model), config, 2)["pos_embed_layout"] == layout
    stored = weights_of(build(pos_embed_layout="mae"))  # a fixed one shows what it is, in bf16 too
    stored.tensors["pos_embed"] = stored.tensors["pos_embed"].bfloat16()
    assert vit_settings(stored, config, 2)["pos_embed_layout"] == "mae"


def test_pixels_are_the_configs_or_the_sources():
    weights = weights_of(build())
    preprocessor = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    assert pixels_of(weights, dict(data_preprocessor=preprocessor)) == Pixels((1, 2, 3), (4, 5, 6))
    more = dict(preprocessor, to_rgb=True)
    assert pixels_of(weights, dict(data_preprocessor=more)) == Pixels((1, 2, 3), (4, 5, 6))
    for config in ({}, dict(data_preprocessor=None), dict(data_preprocessor=dict(mean=[1.0]))):
        assert pixels_of(weights, config) == IMAGENET_PIXELS


def test_each_source_normalises_as_its_authors():
    """BootMAE and BEiT bring 0..255 to -1..1, the others take ImageNet's mean and deviation."""
    halved = {source.name for source in SOURCES if source.pixels == HALF_PIXELS}  # others of BEiT's
    # names, whose pretraining tells them apart, say ImageNet's in their configs
    assert halved == {"BootMAE release", "BEiT-style ViT"}
    assert {source.pixels for source in SOURCES} == {HALF_PIXELS, IMAGENET_PIXELS}
    assert Pixels((127.5,) * 3, (127.5,) * 3) == HALF_PIXELS
    assert IMAGENET_PIXELS.mean == (123.675, 116.28, 103.53)
    assert IMAGENET_PIXELS.std == (58.395, 57.12, 57.375)


CONFIG = """
work_dir = 'x'
data_preprocessor = dict(mean=[1.0], std=(2.0,))
model = dict(type='A', backbone=dict(arch={'num_heads': 3, 'embed_dims': -1}, init_cfg=None))
model.more = open('somewhere')
print('not run')
"""


def test_the_saved_config_is_read_and_not_run(capsys):
    found = saved_model(dict(meta=dict(cfg=CONFIG)))
    assert found == dict(
        type="A",
        backbone=dict(arch=dict(num_heads=3, embed_dims=-1), init_cfg=None),
        data_preprocessor=dict(mean=[1.0], std=[2.0]),
    )
    assert capsys.readouterr().out == ""


def test_a_models_own_preprocessor_comes_first():
    text = "model = dict(data_preprocessor=dict(a=1))\ndata_preprocessor = dict(a=2)"
    assert saved_model(dict(meta=dict(cfg=text))) == dict(data_preprocessor=dict(a=1))
    text = "model = dict(data_preprocessor=None)\ndata_preprocessor = dict(a=2)"
    assert saved_model(dict(meta=dict(cfg=text))) == dict(data_preprocessor=dict(a=2))


@pytest.mark.parametrize(
    "content", [{}, dict(meta=None), dict(meta={}), dict(meta=dict(cfg=dict(model=1))),
                dict(meta=dict(cfg="x = 1"))]
)  # fmt: skip
def test_a_file_without_config_says_nothing(content):
    assert saved_model(content) == {}


def test_heads_that_no_tensor_tells_are_those_of_the_field():
    known = dict(KNOWN_HEADS)
    assert known.pop((96, 4)) == 3 and known.pop((4096, 40)) == 32  # ours, and DINOv3's 7B
    zoo = [VisionTransformer.arch_zoo[name] for name in FIELD]
    assert known == {(a["embed_dims"], a["num_layers"]): a["num_heads"] for a in zoo}
