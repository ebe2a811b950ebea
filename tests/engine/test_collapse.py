"""A collapse of ExtreMA's features is said, and nothing else is."""

from types import SimpleNamespace

import pytest
import torch

from maskssl.engine.hooks.collapse import CollapseHook
from maskssl.errors import MaskSSLError
from tests.models.test_extrema import build, images, kept


def look(hook, outputs, step=49):
    lines = []
    logger = SimpleNamespace(warning=lines.append)
    hook.after_train_iter(SimpleNamespace(iter=step, logger=logger), step, None, outputs)
    return lines


def spreads(model):
    losses = model.loss(images(), ids_keep=kept(model))
    return {name: value.detach() for name, value in losses.items()}


def test_a_model_that_learns_is_left_alone():
    assert look(CollapseHook(), spreads(build().train())) == []


def test_a_collapsed_teacher_is_named():
    model = build().train()
    last = model.target_generator.projector.layers[-1]
    last.weight.data.zero_()
    last.bias.data.fill_(1.0)  # every image gets the same feature
    (line,) = look(CollapseHook(), spreads(model))
    assert "step 50: spread_teacher is 0.000" in line
    assert "Lower the lr" in line


def test_a_collapsed_student_is_named():
    model = build().train()
    model.neck.layers[-1].weight.data.zero_()
    model.neck.layers[-1].bias.data.fill_(1.0)
    (line,) = look(CollapseHook(), spreads(model))
    assert "spread_student is 0.000" in line


def test_it_looks_every_interval_only():
    collapsed = dict(spread_student=torch.tensor(0.0), spread_teacher=torch.tensor(0.0))
    hook = CollapseHook(interval=10)
    assert [bool(look(hook, collapsed, step)) for step in (7, 8, 9, 10, 19)] == [
        False, False, True, False, True,
    ]  # fmt: skip
    assert len(look(hook, collapsed, 9)) == 2


def test_a_model_without_spread_is_refused():
    with pytest.raises(MaskSSLError, match="remove it from custom_hooks"):
        look(CollapseHook(), dict(loss=torch.tensor(1.0)))
