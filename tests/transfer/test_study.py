"""A study from hand-written logs: which setting is best, and what the spread is."""

import json
from dataclasses import replace

import pytest

from maskssl.transfer.plan import Plan
from maskssl.transfer.stages import STAGES
from maskssl.transfer.study import (
    AS_CONFIGURED,
    StudyRow,
    random_settings,
    repeated_settings,
    spread_of,
    study_jobs,
    study_rows,
    write_study,
)
from tests.transfer.test_figures import leave

BY_NAME = {stage.name: stage for stage in STAGES}


def test_mean_and_sample_deviation():
    spread = spread_of([1.0, 2.0, 6.0])
    assert (spread.mean, spread.deviation) == (3.0, pytest.approx(7**0.5))
    assert str(spread) == "3.0 ± 2.6"
    assert spread_of([4.0]).deviation == 0.0


def test_the_best_setting_is_that_of_the_highest_mean_and_gains_go_seed_by_seed():
    randoms = {"a": spread_of([9.0, 1.0]), "b": spread_of([6.0, 7.0])}
    row = StudyRow("x", spread_of([10.0, 20.0]), randoms, {})
    assert row.best == "b"
    assert row.gain.values == (4.0, 13.0)


def test_random_weights_get_three_rates_with_decay_without_and_frozen(tmp_path):
    plan = Plan("bootmae", tmp_path, tmp_path)
    for name in ("knn", "linear"):
        assert random_settings(plan, BY_NAME[name]) == {AS_CONFIGURED: {}}
    for name in ("finetune", "seg", "det"):
        settings = random_settings(plan, BY_NAME[name])
        assert len(settings) == 9  # the config's own is one of them
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


def test_jobs_are_the_quickstarts_and_a_run_for_each_other_setting(tmp_path):
    jobs = study_jobs(Plan("bootmae", tmp_path, tmp_path))
    names = [job.name for job in jobs]
    assert len(names) == len(set(names)) == 1 + 2 * 5 + 2 + 3 * 8
    runs = {job.name: job.arguments[0] for job in jobs}
    for name, run in runs.items():
        if "random" in name:
            assert run.pretrained == "none" and not name.count(" ") and "," not in name


def hand_written(job, seed):
    """A figure for a job: frozen serves random weights best, and lower rates more than higher."""
    if job.name.endswith("pretrained"):
        return 40.0 + seed
    if "lr" not in job.name:
        return 10.0 + seed
    rank = float(job.name.split("lr")[1].rsplit("-", 1)[0])
    return (20.0 if job.name.endswith("frozen") else 8.0) + seed - rank


def leave_results(plan, seed, settings=None):
    for job in study_jobs(plan, settings):
        stage = job.name.split("-")[0]
        if stage != "pretrain" and not job.name.endswith("pictures"):
            leave(plan.work_dir(job.name), stage, hand_written(job, seed) / BY_NAME[stage].factor)


def test_other_seeds_repeat_the_best_settings_of_the_first_one(tmp_path):
    first, second = (
        replace(Plan("bootmae", tmp_path, tmp_path), out=tmp_path / f"seed-{seed}", seed=seed)
        for seed in (0, 1)
    )
    leave_results(first, 0)
    kept = repeated_settings(first)
    assert kept["knn"] == [AS_CONFIGURED]
    for name in ("finetune", "seg", "det"):
        assert len(kept[name]) == 3 and all(setting.endswith("frozen") for setting in kept[name])
    names = {job.name for job in study_jobs(second, kept)}
    assert len(names) == 1 + 2 * 5 + 2 + 3 * 3
    leave_results(second, 1, kept)
    rows = {row.name: row for row in study_rows([first, second])}
    assert list(rows) == [name for stage in STAGES for name in stage.metrics.values()]
    seg = rows["UperNet, mIoU %"]
    assert seg.pretrained.values == (40.0, 41.0)
    assert seg.best == kept["seg"][0] and len(seg.randoms) == 4 and len(seg.first_seed) == 9
    assert seg.gain.deviation == pytest.approx(0.0) and 20.0 < seg.gain.mean < 21.0
    assert rows["kNN, top-1 %"].best == AS_CONFIGURED
    write_study(list(rows.values()), [0, 1], tmp_path)
    table = (tmp_path / "study.md").read_text()
    best = seg.randoms[seg.best]
    assert f"| UperNet, mIoU % | 40.5 ± 0.7 | {best} | {seg.gain} | {seg.best} |" in table
    assert f"| {seg.best} | {best.values[0]:.1f} | {best} |" in table
    assert f"| {AS_CONFIGURED} | 10.0 | 10.5 ± 0.7 |" in table
    written = json.loads((tmp_path / "study.json").read_text())
    assert written["seeds"] == [0, 1]
    assert [row["gain"]["mean"] for row in written["rows"]][3] == seg.gain.mean
