"""A study from hand-written figures: which setting is best, and what the spread is."""

import io
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskssl.progress import ProgressLine
from maskssl.quickstart import study
from maskssl.quickstart.plan import Plan
from maskssl.quickstart.pretraining import write_start
from maskssl.quickstart.study import (
    AS_CONFIGURED,
    DECAY,
    LR,
    StudyRow,
    checkpoint_of,
    figures_of,
    random_settings,
    repeated_settings,
    rows_of,
    spread_of,
    study_rows,
    variations_of,
    write_study,
)
from maskssl.transfer.encoders import open_encoder
from maskssl.transfer.opening import Results
from maskssl.transfer.recipes import recipe_for, stage_config

PLAN = Plan("bootmae", Path("out"), Path("scenes"))


def test_mean_and_sample_deviation():
    spread = spread_of([1.0, 2.0, 6.0])
    assert (spread.mean, spread.deviation) == (3.0, pytest.approx(7**0.5))
    assert str(spread) == "3.0 ± 2.6"
    assert spread_of([4.0]).deviation == 0.0
    assert str(spread_of([4.0])) == "4.0"  # one seed has no spread


def test_the_best_setting_is_that_of_the_highest_mean_and_gains_go_seed_by_seed():
    randoms = {"a": spread_of([9.0, 1.0]), "b": spread_of([6.0, 7.0])}
    row = StudyRow("x", spread_of([10.0, 20.0]), randoms, {})
    assert row.best == "b"
    assert row.gain.values == (4.0, 13.0)


def test_random_weights_get_three_rates_with_decay_without_and_frozen():
    for name in ("knn", "linear"):
        assert random_settings(PLAN, name) == {AS_CONFIGURED: {}}
    for name in ("finetune", "segmentation", "detection"):
        settings = random_settings(PLAN, name)
        assert len(settings) == 9  # what the config has for them is one
        rates = {options.get("optim_wrapper.optimizer.lr") for options in settings.values()}
        assert len(rates - {None}) == 3
        low, high = min(rates - {None}), max(rates - {None})
        assert high / low == pytest.approx(10)
        frozen = [
            options for options in settings.values() if "model.backbone.frozen_stages" in options
        ]
        assert [options["model.backbone.frozen_stages"] for options in frozen] == [4, 4, 4]
        decays = [
            options.get("optim_wrapper.paramwise_cfg.layer_decay_rate")
            for options in settings.values()
        ]
        assert {0.75, 1.0} <= set(decays)


def test_each_other_setting_is_a_checkpoint_that_goes_through_its_stage_alone():
    variations = variations_of(PLAN)
    assert len(variations) == 3 * 8
    asked = PLAN.transfer(variations)
    assert len(asked.named) == 2 + 3 * 8
    for name, options in variations.items():
        assert asked.named[name] == "random:out/start.pth"
        (stage,) = options
        assert stage in name and not re.search(r"[^\w.-]", name)
        assert [s for s in asked.stages if asked.measures(name, s)] == [stage]
    assert all(asked.measures("BootMAE", stage) for stage in asked.stages)


def test_a_variation_is_trained_as_it_says_and_not_as_random_weights_are(tmp_path):
    plan = Plan("bootmae", tmp_path, tmp_path)
    write_start(plan)
    encoder = open_encoder(f"random:{plan.start}", "random", torch.device("cpu"))
    recipe = recipe_for("bootmae", "seg", encoder.backbone)

    def built(options):
        return stage_config(recipe, encoder, 400, 1.0, False, lambda cfg: None, options)[0]

    best, flat = built(None).optim_wrapper, built({LR: 0.9, DECAY: 1.0}).optim_wrapper
    assert (best.optimizer.lr, best.paramwise_cfg.layer_decay_rate) == (0.09, 0.75)
    assert (flat.optimizer.lr, flat.paramwise_cfg.layer_decay_rate) == (0.9, 1.0)


def hand_written(seed: int) -> dict[tuple[str, str], float]:
    """Frozen serves random weights best, and lower rates more than higher."""
    found = {}
    for stage, row in rows_of(PLAN.stages):
        found["BootMAE", row.name] = 40.0 + seed
        for setting, options in random_settings(PLAN, stage).items():
            figure = 10.0 if setting == AS_CONFIGURED else 8.0 - options[LR]
            figure += 12.0 * setting.endswith("frozen")
            found[checkpoint_of(stage, setting), row.name] = figure + seed
    return found


def test_other_seeds_repeat_the_best_settings_of_the_first_one(tmp_path):
    first = hand_written(0)
    kept = repeated_settings(PLAN, first)
    assert kept["knn"] == [AS_CONFIGURED]
    for name in ("finetune", "segmentation", "detection"):
        assert len(kept[name]) == 3 and all(setting.endswith("frozen") for setting in kept[name])
    names = variations_of(PLAN, kept)
    assert len(names) == 3 * 3
    wanted = {"BootMAE", "random", *names}
    second = {key: value for key, value in hand_written(1).items() if key[0] in wanted}
    rows = {row.name: row for row in study_rows(PLAN, [first, second])}
    assert list(rows) == [f"{row.title}, {row.metric}" for _, row in rows_of(PLAN.stages)]
    seg = rows["UperNet, mIoU"]
    assert seg.pretrained.values == (40.0, 41.0)
    assert seg.best == kept["segmentation"][0]
    assert len(seg.randoms) == 4 and len(seg.first_seed) == 9
    assert seg.gain.deviation == pytest.approx(0.0) and 20.0 < seg.gain.mean < 21.0
    assert rows["kNN, top-1"].best == AS_CONFIGURED
    write_study(list(rows.values()), [0, 1], tmp_path)
    table = (tmp_path / "study.md").read_text()
    best = seg.randoms[seg.best]
    assert f"| {seg.name} | 40.5 ± 0.7 | {best} | {seg.gain} | {seg.best} |" in table
    assert f"| {seg.best} | {best.values[0]:.1f} | {best} |" in table
    assert f"| {AS_CONFIGURED} | 10.0 | 10.5 ± 0.7 |" in table
    written = json.loads((tmp_path / "study.json").read_text())
    assert written["seeds"] == [0, 1]
    assert [row["gain"]["mean"] for row in written["rows"]][3] == seg.gain.mean


def test_figures_are_percents_of_the_chosen_settings_outcomes():
    ranks = np.array([[[0, 0, 3, 1], [0, 0, 0, 1]], [[0, 0, 0, 0], [0, 0, 0, 0]]])
    found = figures_of(Results({}, {}, outcomes={("BootMAE", "knn"): ranks}))
    assert found == {("BootMAE", "knn"): pytest.approx(62.5)}


def test_every_seed_has_its_own_folder_and_random_weights_all_settings(tmp_path, monkeypatch):
    ran, measured = [], []

    def measure(asked, line):
        measured.append(len(asked.checkpoints))
        return SimpleNamespace(failed={})

    monkeypatch.setattr(
        study, "run_quickstart", lambda plan, line: ran.append((plan.seed, plan.out))
    )
    monkeypatch.setattr(study, "run_experiment", measure)
    monkeypatch.setattr(study, "figures_of", lambda results: hand_written(ran[-1][0]))
    plan = Plan("bootmae", tmp_path, tmp_path)
    rows = study.run_study(plan, [0, 1, 2], ProgressLine(io.StringIO()))
    assert ran == [(seed, tmp_path / f"seed-{seed}") for seed in range(3)]
    assert measured == [2 + 24, 2 + 9, 2 + 9]
    assert rows[0].pretrained.values == (40.0, 41.0, 42.0)
