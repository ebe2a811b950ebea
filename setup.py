"""Packages to install; everything else stands in pyproject.toml.

configs/ lies at the top of the checkout, where it is read and edited, and becomes
maskssl/configs in the wheel. pyproject.toml can list packages or find them, not both.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["maskssl", "maskssl.*"]), "maskssl.configs"],
    package_dir={"maskssl.configs": "configs"},
    package_data={"maskssl": ["py.typed"], "maskssl.configs": ["**/*.py", "**/*.yml"]},
)
