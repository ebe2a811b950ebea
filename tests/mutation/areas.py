"""What is changed, and which tests are to notice it."""

from pathlib import Path

SOURCES = (
    "maskssl/masking.py",
    "maskssl/schedules.py",
    "maskssl/models",
    "maskssl/datasets/transforms",
    "maskssl/engine/optimizers",
    "maskssl/checkpoints",
    "maskssl/evaluation",
)
# Tests that start other processes cannot see a mistake that is planted in this one.
TESTS = (
    "tests/test_masking.py",
    "tests/test_schedules.py",
    "tests/test_encoded_crops.py",
    "tests/models",
    "tests/datasets/test_augment_on_device.py",
    "tests/datasets/test_load_resized_crop.py",
    "tests/datasets/test_mae_crop.py",
    "tests/datasets/test_map_labels.py",
    "tests/datasets/test_timm_augment.py",
    "tests/datasets/test_transforms.py",
    "tests/datasets/test_views.py",
    "tests/cli/test_data_channels.py",
    "tests/engine/test_autocast.py",
    "tests/engine/test_finite_guard.py",
    "tests/engine/test_former_groups.py",
    "tests/engine/test_lars.py",
    "tests/engine/test_layer_decay.py",
    "tests/engine/test_runtime_figures.py",
    "tests/inference/test_backbone.py",
    "tests/inference/test_conversion.py",
    "tests/checkpoints",
    "tests/evaluation",
)

# parts of their names: a compiler would run for every mutant
LEFT_OUT = ("plain_step", "compile_as_they_are", "moves_are_seen")


def source_files(root: Path) -> list[str]:
    """Files below SOURCES, relative to the checkout."""
    found = []
    for name in SOURCES:
        path = root / name
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    return [str(path.relative_to(root)) for path in found]
