"""Published figures stand beside ours where recipe, data and protocol are theirs, else never."""

from types import SimpleNamespace

import pytest

from maskssl.transfer.budgets import BUDGETS
from maskssl.transfer.published import IMAGENET, published_beside


class Images:
    """So many, of so many classes."""

    def __init__(self, count: int, classes: int) -> None:
        self.count, self.classes = count, range(classes)

    def __len__(self) -> int:
        return self.count


def beside(preset="paper", recipe="bootmae", source="MAE", row="finetune-frozen", test=50_000):
    classes, train, _ = IMAGENET
    sets = {"classes": (Images(train, classes), Images(test, classes))}
    backbone = dict(embed_dims=768, num_layers=12, ledger=SimpleNamespace(source=source))
    encoder = SimpleNamespace(backbone=SimpleNamespace(**backbone))
    return [one["figure"] for one in published_beside(preset, recipe, sets, encoder, row)]


def test_a_figure_stands_beside_its_own_recipe_on_its_own_data():
    assert beside() == [0.678]
    assert beside(recipe="extrema") == beside(preset="quick") == beside(test=49_999) == []
    assert beside(row="knn", source="DINO, iBOT", recipe="extrema") == [0.761, 0.771]


@pytest.mark.parametrize(("field", "value"), [("neighbours", (20,)), ("temperatures", (0.07,))])
def test_papers_knn_is_dinos(field, value):
    assert getattr(BUDGETS["paper"], field) == value
    assert BUDGETS["paper"].last_block
