"""The table of settings: each builds, and an ablation differs in what it says."""

import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, MODELS
from mmpretrain.structures import DataSample
from PIL import Image

from maskssl.cli.config import load_config
from maskssl.evidence.byol_study import PICTURES, SEEN, STUDY
from maskssl.evidence.parts import EVERY, settings_of
from maskssl.evidence.settings import (
    BOOTMAE,
    EXTREMA,
    HEAD_NORMS,
    KEY_NORM,
    LENGTHS,
    OWN,
    PIPELINE,
    PUBLISHED,
    RANDOM,
    SETTINGS,
    SMALL,
    settings_on,
)
from maskssl.evidence.tables import title_order


def config(name: str):
    setting = EVERY[name]
    return load_config(setting.config, setting.options)


def build(name: str, weights_of: torch.nn.Module | None = None) -> torch.nn.Module:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        model = MODELS.build(config(name).model)
    if weights_of:
        model.load_state_dict(weights_of.state_dict(), strict=False)
    return model.train()


def images(seed: int = 1) -> torch.Tensor:
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


def ordering() -> torch.Tensor:
    return torch.rand(4, 64, generator=torch.Generator().manual_seed(2)).argsort(1)


@pytest.mark.parametrize("name", [*SETTINGS, *STUDY, *SMALL])
def test_every_setting_builds_and_learns_from_what_its_pictures_become(name, tmp_path):
    cfg, model = config(name), build(name)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 255, (64, 64, 3), dtype=torch.uint8, generator=generator)
    Image.fromarray(pixels.numpy()).save(tmp_path / "picture.png")
    cfg.train_dataloader.dataset.update(data_root=str(tmp_path), data_prefix="")
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
        samples = [dataset[0] for _ in range(4)]
        batch = torch.utils.data.default_collate([sample["inputs"] for sample in samples])
        data = dict(inputs=batch, data_samples=[sample["data_samples"] for sample in samples])
        losses = model(**model.data_preprocessor(data, True), mode="loss")
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    trained = [p for p in model.parameters() if p.requires_grad and p.grad is not None]
    assert sum(float(p.grad.abs().sum()) for p in trained) > 0


def test_all_encoders_have_bootmaes_shape():
    shapes = {name: tuple(p.shape for p in build(name).backbone.blocks.parameters())
              for name in SETTINGS if name != "mae"}  # fmt: skip
    assert len(set(shapes.values())) == 1
    ours, theirs = build("bootmae").backbone, build("mae").backbone
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
    assert ours.embed_dims == theirs.embed_dims == 96 and len(theirs.layers) == 4


def test_without_the_feature_target_the_pixel_loss_is_the_same_and_alone():
    full = build("bootmae")
    pixels = build("bootmae-pixels", full)
    ours, theirs = (model.eval().loss(images(), ids_shuffle=ordering()) for model in (pixels, full))
    assert set(ours) == {"loss_pixel"} and "loss_feature" in theirs
    torch.testing.assert_close(ours["loss_pixel"], theirs["loss_pixel"])


def test_uniform_weights_are_one_in_every_masked_patch():
    full = build("bootmae").eval()
    uniform = build("bootmae-uniform", full).eval()
    split = full.draw_split(images(), None, ordering())
    error = torch.ones(4, split.ids_masked.shape[1], 5)
    means = [model.head._weighted_mean(error, split, (8, 8)) for model in (uniform, full)]
    assert means[0] == pytest.approx(1.0)
    assert means[1] > 1.2
    ours, theirs = (model.loss(images(), ids_shuffle=ordering()) for model in (uniform, full))
    assert ours["loss_feature"] < theirs["loss_feature"]


@pytest.mark.parametrize(
    ("name", "masks", "visible"),
    [("extrema", 5, 12), ("extrema-90x8", 8, 6), ("extrema-infonce", 5, 12)],
)
def test_masks_of_extrema(name, masks, visible):
    assert build(name).draw_masks(3).shape == (3, masks, visible)


def test_losses_of_extrema():
    losses = {name: set(build(name).loss(images())) for name in ("extrema", "extrema-infonce")}
    assert "loss_byol" in losses["extrema"] and "loss_infonce" in losses["extrema-infonce"]
    assert build("extrema-infonce").head.temperature == 0.2


def test_colours_make_two_views_and_without_them_there_is_one(tmp_path):
    picture = tmp_path / "picture.png"
    Image.new("RGB", (64, 64), (200, 90, 30)).save(picture)
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        found = {
            name: Compose(config(name).train_dataloader.dataset.pipeline)(
                dict(img_path=str(picture))
            )["inputs"]
            for name in ("extrema", "extrema-no-colour")
        }
    first, second = found["extrema"]
    assert first.shape == (3, 64, 64) and not torch.equal(first, second)
    (own,) = found["extrema-no-colour"] if isinstance(found["extrema-no-colour"], list) else (
        found["extrema-no-colour"],
    )  # fmt: skip
    assert own.flatten(1).unique(dim=1).flatten().tolist() == [30, 90, 200]  # as it is stored, BGR


def test_a_setting_changes_nothing_but_what_it_says():
    for name, of, keys in (
        ("bootmae-pixels", BOOTMAE, {"model.head.feature_weight"}),
        ("bootmae-uniform", BOOTMAE, {"model.head.weight_mask"}),
        ("extrema-no-colour", EXTREMA, {"train_dataloader.dataset.pipeline"}),
        ("extrema-90x8", EXTREMA, {"model.mask_ratio", "model.num_masks"}),
        ("extrema-published", EXTREMA, {*HEAD_NORMS, *KEY_NORM}),
        ("extrema-infonce", PUBLISHED, {"model.head.loss", "model.head.temperature"}),
    ):
        ours, theirs = SETTINGS[name].options, of.options
        assert {key for key in ours | theirs if ours.get(key) != theirs.get(key)} == keys, name
        assert (SETTINGS[name].config, SETTINGS[name].seen) == (of.config, of.seen)
        assert SETTINGS[name].against == (RANDOM, of.name)


def test_four_rows_are_trained_and_three_pretrained_on_a_dense_set_too():
    trained = [name for name, setting in SETTINGS.items() if setting.trained]
    assert trained == ["bootmae", "extrema-infonce", "mae"]
    own = settings_on("nuclei")
    assert list(own) == [f"{name}-nuclei" for name in trained]
    for name in trained:
        setting = own[f"{name}-nuclei"]
        assert (setting.pictures, setting.seen) == ("nuclei", SETTINGS[name].seen // 2)
        assert setting.title == f"{SETTINGS[name].title}, on nuclei"
        assert setting.crop == (0.05, 0.5) and setting.options == SETTINGS[name].options
    assert len(OWN) == 6 and len(set(title_order())) == 1 + 9 + 2 + 6 + len(STUDY) + len(SMALL)


def test_both_losses_at_two_lengths_and_nothing_else_changed():
    assert list(settings_of("length")) == list(LENGTHS)
    for loss in ("extrema", "extrema-infonce"):
        short, long = LENGTHS[loss], LENGTHS[f"{loss}-long"]
        assert short is SETTINGS[loss] and long.against == (RANDOM, loss)
        assert (long.seen, long.seconds, long.trained) == (200_000, 2400.0, False)
        assert (long.options, long.pictures, long.crop) == (
            short.options,
            short.pictures,
            short.crop,
        )


def test_reading_a_setting_twice_gives_the_same():
    assert config("mae").pretty_text == config("mae").pretty_text


def test_masks_of_mae_hide_three_quarters():
    model = build("mae")
    tokens, _, _ = model.backbone(images(), mask=True)
    assert tokens.shape[1] == 1 + 16
    with DefaultScope.overwrite_default_scope("mmpretrain"):
        assert set(model.loss(images(), [DataSample()] * 4)) == {"loss"}


def test_the_study_changes_one_thing_at_a_time_and_tells_it_from_the_published_form():
    assert list(settings_of("study")) == list(STUDY) and len(STUDY) >= 12
    assert STUDY["byol"].options == PUBLISHED.options
    for setting in STUDY.values():
        assert (setting.config, setting.seen) == (PUBLISHED.config, SEEN)
        assert setting.pictures == PICTURES and setting.against == (RANDOM, "byol")
    changed = {
        name: {key for key, value in setting.options.items() if PUBLISHED.options.get(key) != value}
        for name, setting in STUDY.items()
    }
    assert changed["byol-1-mask"] == {"model.num_masks"}
    assert changed["byol-batch-128"] == {"train_dataloader.batch_size"}
    assert changed["byol-target-norm"] == {"model.neck.last_norm_cfg"}
    assert changed["byol-strong-colours"] == {PIPELINE}


def test_norms_over_the_batch_keep_keys_of_different_pictures_apart():
    batch = torch.zeros(4, 3, 64, 64) + torch.linspace(-0.01, 0.01, 4)[:, None, None, None]
    plain = build("byol").loss(batch)["spread_teacher"]
    normed = build("byol-target-norm").loss(batch)["spread_teacher"]
    assert plain < 0.1 and normed > 0.9


def test_own_crops_are_of_different_places_and_shared_ones_of_the_same(tmp_path):
    place = torch.arange(64, dtype=torch.uint8).repeat(64, 1) * 3  # brightness tells the column
    picture = tmp_path / "picture.png"
    Image.fromarray(place[..., None].repeat(1, 1, 3).numpy()).save(picture)
    found = {}
    for name in ("byol-strong-colours", "byol-own-crops"):
        pipeline = config(name).train_dataloader.dataset.pipeline
        (views,) = (step for step in pipeline if step["type"] == "MultiView")
        views["transforms"][0] = [
            step for step in views["transforms"][0] if "torchvision" not in step["type"]
        ]
        with DefaultScope.overwrite_default_scope("mmpretrain"):
            found[name] = Compose(pipeline)(dict(img_path=str(picture)))["inputs"]
    assert torch.equal(*found["byol-strong-colours"])
    first, second = found["byol-own-crops"]
    assert first.shape == second.shape == (3, 64, 64) and not torch.equal(first, second)
