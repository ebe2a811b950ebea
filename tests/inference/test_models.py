"""The shipped models by name: ours, and mmpretrain's own functions once registered."""

import mmpretrain
import pytest
import yaml
from mmengine.config import Config

import maskssl
from maskssl.cli.config import ConfigError, load_config

NAMES = maskssl.list_models()


def test_every_paper_recipe_of_pretraining_and_classification_is_listed():
    deprecated = ("_deprecation_",)
    shipped = {
        path.stem
        for name, path in maskssl.config_files().items()
        if name.startswith(("pretrain/", "finetune/"))
        and path.stem.endswith(("_in1k", "_in22k", "_90x8", "_no-colour"))
        and "_knn_" not in path.stem
        and not path.read_text().startswith(deprecated)
    }
    assert set(NAMES) == {stem for stem in shipped if "-p16_" in stem}


def test_metafiles_say_what_the_configs_do():
    root = maskssl.configs_folder()
    for file in yaml.safe_load((root / "model-index.yml").read_text())["Import"]:
        for model in yaml.safe_load((root / file).read_text())["Models"]:
            cfg = load_config(model["Config"])
            assert cfg.train_cfg.max_epochs in (model["Metadata"]["Epochs"], 801), model["Name"]
            assert model["Name"] == model["Config"].split("/")[1].removesuffix(".py")
            for name in model.get("Downstream", ()):
                assert name in NAMES


@pytest.mark.parametrize("pattern", ["bootmae*", "extrema*linear*"])
def test_mmpretrain_lists_them(pattern):
    assert mmpretrain.list_models(pattern) == maskssl.list_models(pattern) != []


def test_mmpretrain_and_we_build_them():
    (name,) = maskssl.list_models("extrema_vit-small*")
    theirs, ours = mmpretrain.get_model(name), maskssl.build(name)
    assert type(theirs) is type(ours) and type(ours).__name__ == "ExtreMA"
    assert {n: p.shape for n, p in theirs.state_dict().items()} == {
        n: p.shape for n, p in ours.state_dict().items()
    }


def test_build_takes_a_name_a_config_and_options():
    (name,) = maskssl.list_models("extrema_vit-small*")
    small = {"model.backbone.arch": dict(_delete_=True, embed_dims=48, num_layers=1, num_heads=3)}
    model = maskssl.build(name, small)
    assert model.backbone.embed_dims == 48
    again = maskssl.build(Config(load_config(f"pretrain/{name}.py", small).to_dict()))
    assert again.backbone.embed_dims == 48
    with pytest.raises(ConfigError, match="no config at extrema_vit-smal"):
        maskssl.build("extrema_vit-smal")


def test_names_are_fetched_lazily_and_others_refused():
    assert {"load_backbone", "FeatureExtractor", "build", "list_models"} <= set(dir(maskssl))
    with pytest.raises(AttributeError, match="no attribute 'load_backbones'"):
        _ = maskssl.load_backbones


def test_options_that_would_be_left_aside_and_configs_without_a_model_are_refused():
    (name,) = maskssl.list_models("extrema_vit-small*")
    cfg = maskssl.config_file(f"pretrain/{name}.py")
    with pytest.raises(ConfigError, match="are for a config that is read here; merge them"):
        maskssl.build(Config.fromfile(cfg), {"model.mask_ratio": 0.5})
    with pytest.raises(ConfigError, match=r"describes no model \(it has a, b\)"):
        maskssl.build(Config(dict(a=1, b=2)))
