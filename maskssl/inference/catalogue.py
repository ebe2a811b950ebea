"""The models that ship as configs, by name."""

import fnmatch

import yaml

from .. import configs_folder


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that ship, as ``mmpretrain.get_model`` and ``build`` take them.

    Args:
        pattern: with wildcards, e.g. 'extrema*linear*'.
    """
    return sorted(fnmatch.filter(configs_by_name(), pattern))


def configs_by_name() -> dict[str, str]:
    """Name -> its config's, as the metafiles have them."""
    root = configs_folder()
    files = yaml.safe_load((root / "model-index.yml").read_text())["Import"]
    return {
        model["Name"]: model["Config"]
        for file in files
        for model in yaml.safe_load((root / file).read_text())["Models"]
    }
