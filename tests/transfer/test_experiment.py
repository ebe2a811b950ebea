"""The whole job: the firewall before the test images, ties, damage, resuming, replaying."""

import io
import json
import re
import shlex
import statistics
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskssl.__main__ import main
from maskssl.errors import MaskSSLError
from maskssl.occupied import FILE
from maskssl.progress import ProgressLine
from maskssl.transfer import class_measures, experiment, feature_store, opening
from maskssl.transfer.budgets import BUDGETS, Budget
from maskssl.transfer.experiment import run_experiment
from maskssl.transfer.image_set import labelled_sets
from maskssl.transfer.measure import Measure
from maskssl.transfer.pages import write_pages
from maskssl.transfer.plan import Plan
from maskssl.transfer.summary import command_of, facts_of, summarise
from tests.holding import held_elsewhere
from tests.transfer.scenes import save_encoder, write_pictures

STAGES = ("knn", "linear", "logistic", "attentive", "lowshot-1", "lowshot-5")


@pytest.fixture(scope="module", autouse=True)
def small_budget():
    """A grid of seconds, under the name of a preset, as replayed commands ask for it."""
    small = Budget(
        neighbours=(1, 5, 20),
        temperatures=(0.07,),
        linear_lrs=(0.1, 1.0),
        linear_decays=(0.0,),
        linear_epochs=8,
        inverse_penalties=(1e-2, 1e-1),
        attentive_lrs=(0.02, 0.1),
        attentive_decay=0.05,
        attentive_epochs=4,
        attentive_steps=0,
        patch_bank=2000,
        patch_neighbours=(1, 20),
        patch_lrs=(1.0, 30.0),
        patch_epochs=4,
        patch_batch_size=8,
        trained_share=0.1,
        trained_runs=1,
        batch_size=20,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BUDGETS, "quick", small)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder, "train", 20, 0)
    write_pictures(folder, "test", 40, 1)
    return folder


@pytest.fixture(scope="module")
def encoders(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {
        "whole": save_encoder(folder / "whole.pth"),
        "copy": save_encoder(folder / "copy.pth"),
        "damaged": save_encoder(folder / "damaged.pth", damaged=True),
    }


def plan_of(data: Path, out: Path, *checkpoints: Path, **changes) -> Plan:
    plan = Plan(
        tuple(map(str, checkpoints)), data, out, out / "features", STAGES, (0, 1), floor=False
    )
    return replace(plan, **changes)


def run(plan: Plan) -> dict:
    return summarise(plan, run_experiment(plan, ProgressLine(io.StringIO())))


def cells_of(report: dict, stage: str) -> dict[str, dict]:
    (measure,) = [m for m in report["measures"] if m["name"] == stage]
    return {cell["checkpoint"]: cell for cell in measure["cells"]}


@pytest.fixture(scope="module")
def finished(data, encoders, tmp_path_factory) -> tuple[Plan, dict]:
    """Three checkpoints and the floor, with the published protocol beside ours."""
    out = tmp_path_factory.mktemp("finished")
    plan = plan_of(data, out, *encoders.values(), floor=True, published=True)
    return plan, run(plan)


def test_a_folder_that_another_process_measures_into_is_left_to_it(data, encoders, tmp_path):
    plan = plan_of(data, tmp_path, encoders["whole"])
    with held_elsewhere(tmp_path) as other:
        with pytest.raises(MaskSSLError, match=f"{tmp_path} is in use by process {other} "):
            run(plan)
        assert [path.name for path in tmp_path.iterdir()] == [FILE]
        # what only looks disturbs nobody
        run_experiment(replace(plan, only_preflight=True), ProgressLine(io.StringIO()))


def test_everything_is_chosen_before_a_test_image_is_opened(data, encoders, tmp_path, finished):
    """Until then they hold no images at all; with them the same command goes on to the end."""
    files = sorted((data / "test").rglob("*.png"))
    held = {file: file.read_bytes() for file in files}
    plan = plan_of(data, tmp_path, encoders["whole"], published=True)
    try:
        for file, content in held.items():
            file.write_bytes(b"?" * len(content))
        blind = run(plan)
    finally:
        for file, content in held.items():
            file.write_bytes(content)
    assert set(blind["failed"]) == {f"whole {stage}" for stage in STAGES}
    assert all("cannot be read as an image" in reason for reason in blind["failed"].values())
    chosen = {job: s for job, s in blind["seconds"].items() if job.startswith("choose")}
    assert len(chosen) == len(STAGES) == len(blind["seconds"])
    seen = run(plan)
    assert not seen["failed"]
    assert {job: s for job, s in seen["seconds"].items() if job in chosen} == chosen
    for stage in STAGES:
        own, before = cells_of(seen, stage)["whole"], cells_of(finished[1], stage)["whole"]
        assert own["figure"] == before["figure"] and own["setting"] == before["setting"]


def test_an_encoder_sees_an_image_once_for_all_rows(data, encoders, tmp_path, monkeypatch):
    filled, fill = [], feature_store._fill
    monkeypatch.setattr(
        feature_store, "_fill", lambda *args: (filled.append(sorted(args[2])), fill(*args))
    )
    run(plan_of(data, tmp_path, encoders["whole"], stages=("knn", "attentive", "linear")))
    assert filled == [["pooled", "tokens"]] * 2  # of training and of test images


def test_the_report_says_on_how_many_images_settings_are_chosen(finished, monkeypatch):
    plan, report = finished
    assert "of the training images, held out" in report["facts"]["settings"]
    fewer = replace(BUDGETS["quick"], chosen_on=10_000)
    monkeypatch.setitem(BUDGETS, "quick", fewer)
    results = SimpleNamespace(preflight=[], sets={})
    assert "images, of 10,000 at most, held out" in facts_of(plan, results)["settings"]


def test_a_label_of_a_test_image_chooses_nothing(data, encoders, tmp_path, finished):
    """Test images in other folders: other scores, the same settings."""
    moved = tmp_path / "moved"
    write_pictures(moved, "train", 20, 0)
    write_pictures(moved, "test", 40, 1)
    names = ("flat", "lying", "standing")
    for name in names:
        (moved / "test" / name).rename(moved / "test" / f"{name}-old")
    for name, other in zip(names, (*names[1:], names[0]), strict=True):
        (moved / "test" / f"{name}-old").rename(moved / "test" / other)
    report = run(plan_of(moved, tmp_path / "out", encoders["whole"], stages=("knn", "linear")))
    for stage in ("knn", "linear"):
        own, before = cells_of(report, stage)["whole"], cells_of(finished[1], stage)["whole"]
        assert own["setting"] == before["setting"] and own["table"] == before["table"]
        assert own["figure"] < 0.4 < before["figure"]


def test_equal_checkpoints_tie_and_a_damaged_one_falls_behind(finished):
    _, report = finished
    for stage in STAGES:
        cells = cells_of(report, stage)
        assert cells["whole"]["seeds"] == cells["copy"]["seeds"], stage
        assert cells["whole"]["rank"] == cells["copy"]["rank"], stage
        assert cells["damaged"]["figure"] == pytest.approx(1 / 3, abs=0.03), stage
        if stage != "lowshot-1":  # three images tell little
            assert cells["whole"]["figure"] > 0.6, stage
            assert cells["damaged"]["rank"] > max(2, cells["whole"]["rank"]), stage
    (knn,) = [m for m in report["measures"] if m["name"] == "knn"]
    (tie,) = [p for p in knn["pairs"] if {p["first"], p["second"]} == {"whole", "copy"}]
    assert (tie["difference"], tie["p_mcnemar"], tie["told_apart"]) == (0, 1, False)


def test_random_weights_of_the_first_architecture_are_the_floor(finished):
    _, report = finished
    floor = report["checkpoints"][-1]
    assert floor["name"] == "random" and floor["ledger"]["origin"] == "random weights, seed 0"
    assert floor["architecture"] == report["checkpoints"][0]["architecture"]
    assert (
        cells_of(report, "linear")["random"]["seeds"]
        != cells_of(report, "linear")["whole"]["seeds"]
    )


def test_what_a_choice_on_the_test_images_was_worth(finished):
    plan, report = finished
    for stage in STAGES:
        for name, cell in cells_of(report, stage).items():
            ranks = np.load(plan.out / "outcomes" / name / f"{stage}.npy")
            shares = (ranks == 0).mean(axis=(1, 2))
            published = cell["published"]
            assert published["figure"] == pytest.approx(shares[1:].max())
            assert published["worth"] == pytest.approx(shares[1:].max() - shares[0])
            assert published["worth"] >= 0
    cells = [cell for stage in STAGES for cell in cells_of(report, stage).values()]
    assert any(cell["published"]["worth"] > 0 for cell in cells)


def test_cells_are_replayed_by_their_commands(finished, capsys):
    """One of each kind: without seeds, with seeds, and of random weights."""
    plan, report = finished
    for stage, name in (("knn", "whole"), ("linear", "damaged"), ("lowshot-5", "random")):
        cell = cells_of(report, stage)[name]
        program, *arguments = shlex.split(cell["command"])
        assert program == "maskssl"
        main(arguments)
        out = plan.out / "replay" / name / stage / "report" / "report.json"
        again = cells_of(json.loads(out.read_text()), stage)[name]
        for key in ("figure", "seeds", "interval", "setting", "held_out", "table", "published"):
            assert again[key] == cell[key], (stage, key)
    assert "On the test images" in capsys.readouterr().out


def test_a_result_of_other_inputs_is_refused_before_anything_is_computed(
    finished, encoders, tmp_path
):
    plan, _ = finished
    for changes, said in (
        (dict(seeds=(0, 2)), r"'choose whole knn', of seeds=0 1 \(now: 0 2\)"),
        (dict(checkpoints=(f"whole={encoders['damaged']}",)), r"'choose whole knn', of weights="),
        (dict(published=False), r"'score whole knn', of published=True \(now: False\)"),
        (dict(img_size=24), r"'choose whole knn', of img_size="),
    ):
        before = sorted(plan.cache.iterdir())
        with pytest.raises(MaskSSLError, match=f"stale result of {said}"):
            run(replace(plan, **changes))
        assert sorted(plan.cache.iterdir()) == before


def test_a_broken_off_run_goes_on_and_takes_further_stages(data, encoders, tmp_path, monkeypatch):
    plan = plan_of(data, tmp_path, encoders["whole"], stages=("knn", "lowshot-5"))
    score = experiment._score

    def killed(opened, name, stage):
        if stage.name == "lowshot-5":
            raise KeyboardInterrupt
        score(opened, name, stage)

    monkeypatch.setattr(experiment, "_score", killed)
    with pytest.raises(KeyboardInterrupt):
        run(plan)
    monkeypatch.setattr(experiment, "_score", score)
    done = json.loads((tmp_path / "record.json").read_text())
    report = run(replace(plan, stages=("knn", "lowshot-5", "lowshot-1")))
    assert len(report["seconds"]) == 6 == len(done) + 3
    for job, entry in done.items():
        assert report["seconds"][job] == entry["seconds"]


def test_a_checkpoint_that_cannot_be_read_is_shown_and_the_others_go_on(
    data, encoders, tmp_path, capsys
):
    (tmp_path / "broken.pth").write_text("<html>")
    words = ["transfer", str(encoders["whole"]), str(tmp_path / "broken.pth"), "--data", str(data)]
    words += ["--stages", "knn", "lowshot-1%", "--seeds", "0", "--no-floor", "--out"]
    with pytest.raises(SystemExit) as end:
        main([*words, str(tmp_path / "out")])
    assert end.value.code == 1
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert list(report["failed"]) == ["broken"] and "torch.save" in report["failed"]["broken"]
    assert cells_of(report, "knn").keys() == {"whole"}
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert '<p class="bad">broken: ' in page
    assert "**failed**: broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stages", "knn", "nearest"], "--stages nearest: they are knn, linear"),
        (["--blocks", "1", "3"], "--blocks 1 3: .*whole.pth has the blocks 1 to 2"),
        (["--data", "/nowhere"], "the folder /nowhere/ cannot be read"),
    ],
)
def test_slips(words, said, data, encoders, tmp_path):
    given = ["transfer", str(encoders["whole"]), "--data", str(data), "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as end:
        main([*given, *words])
    assert re.search(said, end.value.code)


@pytest.mark.parametrize("given", ["=a.pth", "..=a.pth", ".=a.pth"])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path, given):
    with pytest.raises(MaskSSLError, match="as no folder can be; give NAME=PATH"):
        _ = plan_of(tmp_path, tmp_path, given).named


def test_a_path_alone_may_hold_what_a_name_ends_with(tmp_path, monkeypatch):
    path = tmp_path / "lr=0.1" / "run"
    floor = f"random:{path}"
    found = plan_of(tmp_path, tmp_path, path, floor=True).named
    assert found == {"run": str(path), "random": floor}
    assert plan_of(tmp_path, tmp_path, floor).named == {"random-run": floor}
    path.mkdir(parents=True)
    monkeypatch.chdir(path)  # which its run calls '.'
    assert plan_of(tmp_path, tmp_path, ".").named == {"run": "."}


def test_two_checkpoints_of_one_name_need_names(encoders, tmp_path):
    other = save_encoder(tmp_path / "whole.pth")
    with pytest.raises(MaskSSLError, match="whole, whole; give NAME=PATH"):
        _ = plan_of(tmp_path, tmp_path, encoders["whole"], other).named
    named = plan_of(tmp_path, tmp_path, encoders["whole"]).named
    assert named == {"whole": str(encoders["whole"])}
    plan = plan_of(tmp_path, tmp_path, Path("my weights=a/b.pth"), Path("random:c.pth"))
    assert plan.named == {"my-weights": "a/b.pth", "random-c": "random:c.pth"}


def test_an_earlier_report_is_compared_on_the_same_images(
    finished, data, encoders, tmp_path, capsys
):
    """'damaged' was broken then and is whole now; 'whole' is what it was."""
    plan, report = finished
    earlier = write_pages(report, plan.out / "report").with_name("report.json")
    words = ["transfer", f"damaged={encoders['copy']}", str(encoders["whole"]), "--data", str(data)]
    words += ["--stages", "knn", "linear", "--seeds", "0", "1", "--no-floor", "--out"]
    main([*words, str(tmp_path), "--against", str(earlier)])
    now = json.loads((tmp_path / "report" / "report.json").read_text())
    rows = {(row["measure"], row["checkpoint"]): row for row in now["against"]}
    assert len(rows) == 4
    for stage, title in (("knn", "kNN"), ("linear", "linear probe")):
        same, mended = rows[title, "whole"], rows[title, "damaged"]
        assert (same["difference"], same["p"], same["changed"]) == (0, 1, False)
        assert mended["before"] == cells_of(report, stage)["damaged"]["figure"]
        assert mended["now"] == cells_of(now, stage)["damaged"]["figure"]
        assert mended["difference"] == pytest.approx(mended["now"] - mended["before"])
        assert 0 < mended["interval"][0] < mended["difference"] < mended["interval"][1]
        assert mended["changed"]
    assert "## Against the earlier report" in capsys.readouterr().out
    measures = [measure | dict(test="0") for measure in report["measures"]]
    earlier.write_text(json.dumps(report | dict(measures=measures)))
    for path, said in ((earlier, "other test images"), (tmp_path, "is no report")):
        with pytest.raises(SystemExit) as end:
            main([*words, str(tmp_path), "--against", str(path)])
        assert said in end.value.code


# The data


def test_a_test_split_is_scored_and_val_where_there_is_none(tmp_path):
    write_pictures(tmp_path, "training", 3, 0)
    write_pictures(tmp_path, "val", 2, 1)
    train, test = labelled_sets(tmp_path)
    assert (len(train), len(test), test.root.name) == (9, 6, "val")
    write_pictures(tmp_path, "test", 1, 1)
    assert labelled_sets(tmp_path)[1].root.name == "test"
    assert train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert train.files[3] == "lying/0.png" and train.classes == ("flat", "lying", "standing")


def test_sets_that_cannot_be_used_are_refused(tmp_path):
    write_pictures(tmp_path / "one", "train", 1, 0)
    with pytest.raises(MaskSSLError, match="no training and test folders"):
        labelled_sets(tmp_path / "one")
    write_pictures(tmp_path / "two", "train", 1, 0)
    write_pictures(tmp_path / "two", "test", 1, 0)
    (tmp_path / "two" / "test" / "flat").rename(tmp_path / "two" / "test" / "even")
    with pytest.raises(MaskSSLError, match=r"even, lying, standing \(3\); both need the same"):
        labelled_sets(tmp_path / "two")
    (tmp_path / "two" / "test" / "even").rename(tmp_path / "two" / "test" / "flat")
    (tmp_path / "two" / "train" / "flat" / "0.png").unlink()
    with pytest.raises(MaskSSLError, match="flat has no images"):
        labelled_sets(tmp_path / "two")


def test_the_page_needs_nothing_else(finished, tmp_path):
    _, report = finished
    page = write_pages(report, tmp_path).read_text()
    assert not [w for w in ("<script", "<link", "<img", "@import", "url(#f", "src=") if w in page]
    links = {part.split('"')[0] for part in page.split('="http')[1:]}
    assert all(link.startswith("://www.w3.org/") for link in links)  # names of XML, not fetched
    assert page.count("<svg") == page.count("</svg>") == 4
    assert "prefers-color-scheme:dark" in page and "currentColor" in page
    assert 'name="viewport"' in page
    assert page.count("<table>") == page.count('<div class="wide"><table>') == 7
    loaded = json.loads((tmp_path / "report.json").read_text())
    assert loaded == json.loads(json.dumps(report))
    text = (tmp_path / "report.md").read_text()
    top = 100 * cells_of(report, "linear")["whole"]["figure"]
    assert f"{top:.1f} ±" in text and f"{top:.1f} ±" in page
    for cell in cells_of(report, "knn").values():
        assert cell["command"] in text


def test_the_chosen_setting_is_the_best_on_the_mean_of_the_splits():
    def outcomes(fitted, scored, settings, seed):
        return np.array([[seed] * 10, [0] * 6 + [1] * 4])

    labels = torch.tensor([0] * 20 + [1] * 20)
    work = SimpleNamespace(
        plan=SimpleNamespace(budget=SimpleNamespace(chosen_on=None), seeds=(0, 1)),
        features=lambda *_: SimpleNamespace(labels=labels),
        line=ProgressLine(io.StringIO()),
    )
    one = Measure("a", "a", lambda *_: [dict(n=0), dict(n=1)], outcomes, seeded=False)
    choice = one.choose(work, "x")
    assert [row["held_out"] for row in choice["table"]] == pytest.approx([0.5, 0.6])
    assert choice["chosen"] == dict(n=1)


@pytest.fixture(scope="module")
def few_stages(tmp_path_factory) -> Plan:
    """Two stages under two seeds, not yet measured."""
    folder = tmp_path_factory.mktemp("few")
    write_pictures(folder / "data", "train", 6, 0)
    write_pictures(folder / "data", "test", 4, 1)
    path = save_encoder(folder / "a.pth")
    stages = ("linear", "lowshot-1")
    return Plan((str(path),), folder / "data", folder / "o", folder / "c", stages, (3, 4))


def told(seen: set, function):
    """The function, which tells its last argument."""

    def call(*given):
        seen.add(given[-1])
        return function(*given)

    return call


def test_every_seed_reaches_fits_and_draws_and_changed_inputs_are_refused(few_stages, monkeypatch):
    seeds = {"train_heads": set(), "few_per_class": set()}
    with monkeypatch.context() as patch:
        for name, seen in seeds.items():
            patch.setattr(class_measures, name, told(seen, getattr(class_measures, name)))
        results = run_experiment(few_stages, ProgressLine(io.StringIO()))
    assert list(seeds.values()) == [{3, 4}, {3, 4}]
    report = summarise(few_stages, results)
    for measure in report["measures"]:
        for cell in measure["cells"]:
            assert cell["sd"] == pytest.approx(statistics.stdev(cell["seeds"]))
    assert report["checkpoints"][-1]["ledger"]["origin"] == "random weights, seed 3"
    for changes, key in (
        (dict(preset="standard"), "budget"),
        (dict(recipe="extrema"), "recipe"),
        (dict(blocks=(2,)), "blocks"),
    ):
        with pytest.raises(MaskSSLError, match=f"'choose a linear', of .*{key}="):
            run_experiment(replace(few_stages, **changes), ProgressLine(io.StringIO()))
    with monkeypatch.context() as patch:
        patch.setattr(opening, "digest_of_code", lambda: "other")
        with pytest.raises(MaskSSLError, match="of code="):
            run_experiment(few_stages, ProgressLine(io.StringIO()))
    one, other = (few_stages.data / "test" / "flat" / f"{number}.png" for number in (0, 1))
    kept = one.read_bytes()
    one.write_bytes(kept[:-1] + b"?")  # of the same size
    again = run_experiment(few_stages, ProgressLine(io.StringIO()))
    assert "test images=" in again.failed["a linear"]
    one.write_bytes(kept)
    (few_stages.data / "train" / "flat" / "0.png").write_bytes(other.read_bytes())
    with pytest.raises(MaskSSLError, match="training images="):
        run_experiment(few_stages, ProgressLine(io.StringIO()))


def test_the_command_of_a_report_says_every_option(few_stages):
    asked = replace(few_stages, blocks=(1, 2), img_size=24, recipe="extrema", preset="standard")
    words = command_of(asked, ["a"], asked.stages).split()
    for option, value in (
        ("--blocks", "1"),
        ("--img-size", "24"),
        ("--recipe", "extrema"),
        ("--preset", "standard"),
    ):
        assert words[words.index(option) + 1] == value


def test_options_of_the_command_line_reach_the_plan(few_stages, monkeypatch):
    seen = []

    def stop(plan, line):
        seen.append(plan)
        raise MaskSSLError("enough")

    monkeypatch.setattr("maskssl.transfer.experiment.run_experiment", stop)
    given = ["--recipe", "extrema", "--img-size", "24", "--jobs-per-gpu", "3", "--blocks", "2"]
    with pytest.raises(SystemExit):
        main(["transfer", *few_stages.checkpoints, "--data", str(few_stages.data), *given])
    (plan,) = seen
    assert (plan.recipe, plan.img_size, plan.jobs_per_gpu, plan.blocks) == ("extrema", 24, 3, (2,))
