"""--cfg-options: paths arrive as they are, everything else as mmengine reads it."""

import argparse

import pytest
from mmengine.config import DictAction

from maskssl.cli.config_options import ConfigOptions


def parsed(action: type[argparse.Action], *options: str) -> dict:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=action, default={})
    return parser.parse_args(["--cfg-options", *options]).cfg_options


@pytest.mark.parametrize(
    "path",
    ["My Photos, 2023 (ä)", "2023", "1e5", "True", "'quoted'", "a=b", "[x]", "x{0..9}.tar", ""],
)
@pytest.mark.parametrize(
    "key",
    ["train_dataloader.dataset.data_root", "x.data_prefix.img_path", "val_evaluator.ann_file"],
)
def test_paths_are_handed_over_as_they_are(key, path):
    assert parsed(ConfigOptions, f"{key}={path}") == {key: path}


def test_other_values_are_read_as_mmengine_does():
    options = ["lr=1e-4", "n=3", "x=[1,(2,a)]", "flag=False", "none=None", "ratio=1,2"]
    assert parsed(ConfigOptions, *options) == parsed(DictAction, *options)
    assert parsed(ConfigOptions, "model.backbone.init_cfg.checkpoint=None") == {
        "model.backbone.init_cfg.checkpoint": None
    }


def test_what_a_shell_split_is_refused(capsys):
    with pytest.raises(SystemExit):
        parsed(ConfigOptions, "data_root=My", "Photos")
    assert "Photos: give KEY=VALUE, in quotes if it has spaces" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("dict(num_layers=2,layer_scale_init=0.1)", dict(num_layers=2, layer_scale_init=0.1)),
        ("dict(max_norm=1.0)", dict(max_norm=1.0)),
        ("dict(a=[1, dict(b=(-2, None))])", dict(a=[1, dict(b=(-2, None))])),
        ("{'type': 'LN', 1: True}", {"type": "LN", 1: True}),
        ("dict()", {}),
    ],
)
def test_dicts_are_read_as_in_a_config(value, read):
    assert parsed(ConfigOptions, f"model.x={value}", "n=3") == {"model.x": read, "n": 3}


@pytest.mark.parametrize(
    "value", ["dict(a=1", "dict(a=print(1))", "dict(**x)", "{a: 1}", "dict((1, 2))", "[1,(2]"]
)
def test_what_is_no_value_is_refused(value, capsys):
    with pytest.raises(SystemExit):
        parsed(ConfigOptions, f"model.x={value}")
    assert f"--cfg-options model.x={value}: " in capsys.readouterr().err
