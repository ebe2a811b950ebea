"""Build a model by its name or config."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from .. import registration  # noqa: F401
from ..cli.config import ConfigError, load_config
from .catalogue import configs_by_name


def build(config: str | Path | Config, options: dict[str, Any] | None = None) -> Any:
    """Build a model by its name, or that of a config; weights stay random.

    Args:
        config: a name of ``list_models``, a config file, the name of a shipped one
            ('pretrain/….py'), or a config.
        options: dotted keys and values over a config that is read here.

    Raises:
        ConfigError: there is no such config, a key looks misspelt, it describes no model, or
            options are given for a config that was read elsewhere.
    """
    if not isinstance(config, Config):
        config = load_config(configs_by_name().get(str(config), str(config)), options)
    elif options:
        raise ConfigError(
            f"options={options} are for a config that is read here; merge them into this one by "
            "config.merge_from_dict(options)"
        )
    if "model" not in config:
        raise ConfigError(
            f"the config describes no model (it has {', '.join(sorted(config))}); give one with "
            "model=dict(...)"
        )
    init_default_scope(config.get("default_scope", "mmpretrain"))
    return MODELS.build(config.model)
