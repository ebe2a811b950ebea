"""A package, so that a dependency that installs a top-level ``tests`` cannot hide it."""

import pytest

# what a failed comparison shows
pytest.register_assert_rewrite("tests.recipe_model_checks", "tests.recipe_training_checks")
