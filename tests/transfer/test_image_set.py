"""Labelled images stand in the order in which trainings and their tests list them."""

import pytest
from PIL import Image

from maskssl.datasets.index.indexed_images import IndexedImages
from maskssl.errors import MaskSSLError
from maskssl.transfer.image_set import image_set

NAMES = ("rose", "rose hip", "rose-bay", "roses")  # '/' sorts behind ' ' and '-'


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name / "deep").mkdir(parents=True)
        for file in ("b.png", "deep/a.png"):
            Image.new("RGB", (4, 4)).save(tmp_path / name / file)
    return tmp_path


def test_classes_whose_names_go_on_from_one_another(folder):
    images = image_set(folder)
    assert images.classes == NAMES
    assert [file.split("/")[0] for file in images.files] == [
        NAMES[label] for label in images.labels.tolist()
    ]
    listed = IndexedImages(data_root=str(folder), data_prefix="", with_label=True)
    listed.full_init()
    samples = [listed.get_data_info(index) for index in range(len(listed))]
    assert [one["img_path"] for one in samples] == [str(folder / file) for file in images.files]
    assert [one["gt_label"] for one in samples] == images.labels.tolist()
    Image.new("RGB", (4, 4)).save(folder / "beside.png")
    assert image_set(folder).files == images.files


def test_a_class_without_images_is_refused(folder):
    (folder / "thistle").mkdir()
    with pytest.raises(MaskSSLError, match="thistle has no images; add some or remove the class"):
        image_set(folder)
