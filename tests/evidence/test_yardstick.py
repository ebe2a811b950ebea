"""Ours beside other code: both are trained, told apart and measured by the same probes."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from maskssl.__main__ import main
from maskssl.cli.config import load_config
from maskssl.errors import MaskSSLError
from maskssl.evidence import yardstick
from maskssl.evidence.plan import Plan
from maskssl.evidence.yardstick import BOOTMAE, SHAPE, our_config, run_yardstick
from maskssl.progress import ProgressLine
from maskssl.quickstart.pretraining import write_untrained
from maskssl.transfer.encoders import open_encoder
from tests.transfer.logs import write_log
from tests.transfer.scenes import write_pictures

OTHER = f"{__name__}:other_training"


def other_training(pictures: Path, seconds: float, seed: int, folder: Path) -> tuple[Path, int]:
    """Other code, which does not train."""
    assert seconds == 0.6 and (pictures / "flat").is_dir()
    weights = folder / "theirs.pth"
    write_untrained(load_config(BOOTMAE.config, BOOTMAE.options), 100 + seed, weights)
    return weights, 123


def lazy(folder: Path, **given) -> tuple[Path, int]:
    return folder / "theirs.pth", 0


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Plan:
    folder = tmp_path_factory.mktemp("yardstick")
    for split, count, seed in (("train", 24, 0), ("val", 6, 1)):
        write_pictures(folder / "data" / "cifar10", split, count, seed)
    return Plan(
        part="yardstick",
        out=folder / "out",
        data_root=folder / "data",
        archives=None,
        results=folder / "results",
        settings=(),
        sets=(),
        smoke=True,
    )


@pytest.fixture(scope="module")
def queue():
    """Jobs in this process, one after the other."""
    ran: list[str] = []

    def run(jobs, lanes, line, finished) -> None:
        assert len(lanes.environments) == 2 and lanes.threads == 1  # a pair, on whatever CPU
        assert lanes.environment["OMP_NUM_THREADS"] == "1"
        for job in jobs:
            ran.append(job.name)
            getattr(yardstick, job.target.split(":")[1])(*job.arguments)
            job.log.touch()
            finished(job.name, 1.0)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yardstick, "run_jobs", run)
        patch.setattr(yardstick, "SEEDS", (0, 1))
        yield ran


@pytest.fixture(scope="module")
def table(plan, queue) -> str:
    return run_yardstick(plan, OTHER, 0.01, ProgressLine(io.StringIO()))


def test_both_are_trained_in_turn_under_every_seed_and_measured_alike(plan, queue, table):
    assert queue == ["ours-0", "theirs-0", "ours-1", "theirs-1"]
    found = json.loads((plan.results / "evidence-yardstick.json").read_text())
    names = {*queue, "random"}
    assert list(found["figures"]) == ["knn", "linear"]
    for figures in found["figures"].values():
        assert set(figures) == names and all(0 <= figure <= 1 for figure in figures.values())
    assert found["told"]["theirs-1"]["images"] == 123
    assert found["told"]["ours-1"]["images"] == 64  # one pass, of whole batches
    assert (plan.results / "evidence-yardstick.md").read_text() == table
    assert f"--against {OTHER} --minutes 0.01" in table
    assert "the same minutes, side by side in one thread each, and measures" in table
    random = found["figures"]["knn"]["random"]
    assert f"| random weights |  |  | {100 * random:.1f} |" in table


def test_the_same_call_again_trains_nothing(plan, queue, table):
    queue.clear()
    assert run_yardstick(plan, OTHER, 0.01, ProgressLine(io.StringIO())) == table
    assert not queue


def test_other_minutes_are_other_weights(plan, table):
    with pytest.raises(MaskSSLError, match="stale result of 'ours-0'.*seconds=0.6"):
        run_yardstick(plan, OTHER, 0.02, ProgressLine(io.StringIO()))


def test_the_difference_is_of_the_same_seed(table):
    from maskssl.evidence.tables import yardstick_markdown

    told = dict(seconds=60, images=1000)
    names = [f"{code}-{seed}" for seed in range(3) for code in ("ours", "theirs")]
    figures = dict(zip(names, (0.5, 0.4, 0.6, 0.4, 0.7, 0.4), strict=True))
    found = dict(
        lanes="side by side", command="c", date="d", machine="m", versions="v",
        told=dict.fromkeys(names, told),
        figures=dict(knn=figures | dict(random=0.3)),
    )  # fmt: skip
    lines = yardstick_markdown(found).splitlines()
    assert "| random weights |  |  | 30.0 |" in lines
    assert "| ours-2 | 1.0 | 1,000 | 70.0 |" in lines
    assert "| theirs, mean ± sd |  |  | **40.0 ± 0.0** |" in lines
    assert "| ours − theirs, mean ± sd |  |  | **+20.0 ± 10.0** |" in lines


def test_ours_has_the_shape_that_is_told_and_runs_in_fp32(plan):
    cfg = our_config(replace(plan, smoke=False))
    assert cfg.optim_wrapper.type == "OptimWrapper"
    assert cfg.train_dataloader.num_workers == 2
    run = plan.out / "pretrained" / "ours-0" / "run"
    backbone = open_encoder(str(run), "ours", torch.device("cpu")).backbone
    assert (backbone.embed_dims, backbone.num_layers) == (192, 6) == tuple(SHAPE.values())[:2]
    assert (backbone.patch_size, backbone.img_size) == (4, (32, 32))


def test_other_code_that_writes_nothing_is_told(plan, queue, tmp_path):
    lost = replace(plan, out=tmp_path)
    with pytest.raises(MaskSSLError, match=r"lazy returned .*theirs\.pth for its weights, no file"):
        run_yardstick(lost, f"{__name__}:lazy", 0.01, ProgressLine(io.StringIO()))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["yardstick"], "--against MODULE:FUNCTION belongs to yardstick, and it needs one"),
        (["frozen", "--against", OTHER], "--against MODULE:FUNCTION belongs to yardstick"),
        (["yardstick", "--against", "nowhere:f"], "--against nowhere:f: No module named"),
        (["yardstick", "--against", OTHER, "--sets", "x"], "x: they are none of this part"),
    ],
)
def test_words_that_do_not_fit_are_told(tmp_path, words, said):
    with pytest.raises(SystemExit) as end:
        main(["evidence", *words, "--data-root", str(tmp_path)])
    assert said in str(end.value.code)


def test_ours_makes_as_many_passes_as_the_seconds_allow_at_its_warm_pace(tmp_path, monkeypatch):
    write_pictures(tmp_path / "data", "train", 16, 0)  # 48 pictures
    dataset = dict(data_root=str(tmp_path / "data"), data_prefix="train")
    cfg = Config(
        dict(
            train_dataloader=dict(batch_size=4, dataset=dataset),
            train_cfg=dict(max_epochs=1),
            default_hooks=dict(checkpoint=dict(interval=1), logger=dict(interval=1)),
            model=dict(target_generator=dict(schedule=dict(ramp_epochs=1))),
        )
    )

    def train(file):
        if file.parent.name == "pace":  # 12 steps: the first half slow
            lines = [dict(iter=6, step=6, time=9.0), dict(iter=12, step=12, time=0.5)]
            write_log(file.parent, "1", lines)

    monkeypatch.setattr(yardstick, "train", train)
    (tmp_path / "out").mkdir()
    yardstick.train_ours(tmp_path / "out", cfg.pretty_text, 30.0, 0, {})
    told = json.loads((tmp_path / "out" / "told.json").read_text())
    assert told["images"] == 5 * 48  # 30 s in passes of 12 steps of 0.5 s
    own = Config.fromfile(tmp_path / "out" / "run" / "config.py")
    assert own.train_cfg.max_epochs == own.model.target_generator.schedule.ramp_epochs == 5


def deep(folder: Path, **given) -> tuple[Path, int]:
    (folder / "run" / "best").mkdir(parents=True)
    (folder / "run" / "best" / "theirs.pth").touch()
    return folder / "run" / "best" / "theirs.pth", 7


def test_weights_may_lie_in_a_folder_of_their_own(tmp_path):
    yardstick.train_theirs(tmp_path, f"{__name__}:deep", tmp_path, 1.0, 0)
    told = json.loads((tmp_path / "told.json").read_text())
    assert (tmp_path / told["weights"]).is_file() and told["images"] == 7
