"""Masks and COCO files of the user, from the folder to a trained model and its picture."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskssl.transfer.images import describe_images
from maskssl.transfer.plan import Plan, plan_jobs
from maskssl.transfer.scenes.scene import dense_scene
from maskssl.transfer.scenes.writer import coco_annotations
from maskssl.transfer.stage_run import run_stage
from maskssl.transfer.stages import STAGES, stage_figures

BY_NAME = {stage.name: stage for stage in STAGES}
CLASSES = ["ground", "round", "other"]


@pytest.fixture
def own(tmp_path) -> Path:
    """Ten pictures with masks of three classes and one COCO file of two categories."""
    root, objects = tmp_path / "own", []
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(10):
        scene = dense_scene(3, "train", number)
        Image.fromarray(scene.image).save(root / "images" / f"{number}.jpg")
        labels = np.minimum(scene.label_map, 2)
        Image.fromarray(labels).save(root / "masks" / f"{number}.png")
        for entry in coco_annotations(scene):
            kind = min(entry["category_id"], 2)
            objects.append(
                {**entry, "id": len(objects) + 1, "image_id": number, "category_id": kind}
            )
    images = [
        dict(id=number, file_name=f"{number}.jpg", width=64, height=64) for number in range(10)
    ]
    categories = [dict(id=number, name=CLASSES[number]) for number in (1, 2)]
    coco = dict(images=images, annotations=objects, categories=categories)
    (root / "objects.json").write_text(json.dumps(coco))
    (root / "classes.txt").write_text("\n".join(CLASSES))
    return root


@pytest.mark.parametrize("name", ["seg", "det"])
def test_a_stage_trains_on_them_and_draws_them(name, own, tmp_path):
    images = describe_images(own, tmp_path / "lists")
    images.write_lists()
    plan = Plan("bootmae", tmp_path / "out", tmp_path / "scenes", images, smoke=True)
    runs = {job.name: job.arguments[0] for job in plan_jobs(plan)}
    run_stage(runs[f"{name}-random"])
    trained = plan.work_dir(f"{name}-random")
    assert stage_figures(BY_NAME[name], trained).keys() == set(BY_NAME[name].metrics.values())
    plan.sheet(BY_NAME[name]).parent.mkdir(parents=True)
    run_stage(replace(runs[f"{name}-pictures"], checkpoint=trained))
    with Image.open(plan.sheet(BY_NAME[name])) as sheet:
        assert sheet.width > 6 * 192  # two validation pictures in a line
