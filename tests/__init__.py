"""A package, so that a dependency that installs a top-level ``tests`` cannot hide it."""
