"""Segmentation maps in other codes than labels."""

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

from maskssl.errors import MaskSSLError


def mapped(codes, values) -> dict:
    results = dict(gt_seg_map=np.array(values, np.uint8), seg_map_path="map.png", kept=1)
    return TRANSFORMS.build(dict(type="MapLabels", codes=codes))(results)


def test_values_become_labels():
    results = mapped({0: 3, 255: 1, 7: 0}, [[0, 255], [7, 0]])
    assert results["gt_seg_map"].tolist() == [[3, 1], [0, 3]]
    assert results["gt_seg_map"].dtype == np.uint8
    assert results["kept"] == 1


def test_colours_are_of_rgb_and_maps_of_bgr():
    red, green, other = (0, 0, 255), (0, 255, 0), (3, 2, 1)  # as mmcv loads them
    codes = {"#ff0000": 5, "#00ff00": 2, "#010203": 9}
    assert mapped(codes, [[red, green, other]])["gt_seg_map"].tolist() == [[5, 2, 9]]


@pytest.mark.parametrize(
    ("codes", "values", "said"),
    [
        ({0: 0}, [[4]], r"map\.png holds 4, for which no label is given; add 4=LABEL"),
        ({"#ff0000": 0}, [[(0, 255, 0)]], "map.png holds #00ff00, for which no label is given"),
        ({"#ff0000": 0}, [[1]], "map.png has one channel, and the codes of the masks are colours"),
        ({0: 0}, [[(0, 255, 0)]], "map.png has colours, and the codes"),
        ({0: 0, "#ff0000": 0}, [[1]], "neither all integers nor all colours"),
    ],
)
def test_a_map_that_the_codes_do_not_fit_is_refused(codes, values, said):
    with pytest.raises(MaskSSLError, match=said):
        mapped(codes, values)
