"""The models that ship as configs: their names, and building one."""

import fnmatch
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from .. import config_files
from ..cli.config import load_config


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that ship, as ``mmpretrain.get_model`` and ``build`` take them.

    Args:
        pattern: with wildcards, e.g. 'extrema*linear*'.
    """
    return sorted(fnmatch.filter(_configs_by_name(), pattern))


def build(config: str | Path | Config, options: dict[str, Any] | None = None) -> Any:
    """Build a model by its name, or that of a config; weights stay random.

    Args:
        config: a name of ``list_models``, a config file, the name of a shipped one
            ('pretrain/….py'), or a config.
        options: dotted keys and values over a config that is read here.

    Raises:
        ConfigError: there is no such config, or a key looks misspelt.
    """
    from .. import registration  # noqa: F401

    if not isinstance(config, Config):
        config = load_config(_configs_by_name().get(str(config), str(config)), options)
    init_default_scope(config.get("default_scope", "mmpretrain"))
    return MODELS.build(config.model)


def _configs_by_name() -> dict[str, str]:
    index = yaml.safe_load(_index().read_text())
    found = {}
    for file in index["Import"]:
        for model in yaml.safe_load((_index().parent / file).read_text())["Models"]:
            found[model["Name"]] = model["Config"]
    return found


def _index() -> Path:
    (any_config, *_) = config_files().items()
    name, path = any_config
    return path.parents[name.count("/")] / "model-index.yml"
