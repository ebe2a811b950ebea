"""Masks and COCO files of the user, from the folder to a trained model and its picture."""

import io
import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskssl.progress import ProgressLine
from maskssl.quickstart.images import describe_images
from maskssl.quickstart.plan import Plan
from maskssl.quickstart.pretraining import write_start
from maskssl.quickstart.scenes.scene import dense_scene
from maskssl.quickstart.scenes.writer import coco_annotations
from maskssl.transfer import experiment
from maskssl.transfer.reporting import write_report

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


def test_stages_train_on_them_and_draw_them(own, tmp_path, monkeypatch):
    """All but the pretraining, whose weights before the first step serve."""
    images = describe_images(own)
    assert images.labelled.keys() == {"maps", "boxes"}
    plan = Plan("bootmae", tmp_path / "out", tmp_path / "scenes", images, smoke=True)
    for kind, arranged in images.labelled.items():
        arranged.write(plan.data(kind))
    write_start(plan)
    asked = replace(
        plan.transfer(),
        checkpoints=(f"random=random:{plan.start}",),
        stages=("segmentation", "detection"),
    )

    def here(jobs, lanes, line, finished, failed):
        for job in jobs:
            module, function = job.target.split(":")
            getattr(import_module(module), function)(*job.arguments)
        return {job.name: 1.0 for job in jobs}

    monkeypatch.setattr(experiment, "run_jobs", here)
    quiet = ProgressLine(io.StringIO())
    report = write_report(asked, experiment.run_experiment(asked, quiet), quiet)
    assert not report["failed"]
    names = [measure["name"] for measure in report["measures"]]
    assert names == ["segmentation", "detection-box", "detection-mask"]
    assert report["data"]["maps, test"]["images"] == report["data"]["boxes, test"]["images"] == 2
    assert report["data"]["maps, test"]["classes"] == 3
    for kind in ("segmentation", "detection"):
        (drawn,) = [one for one in report["pictures"] if one["kind"] == kind]
        with Image.open(plan.out / "report" / drawn["file"]) as sheet:
            assert sheet.width > 6 * 192  # two test pictures in a line
