"""What is asked of pretrainings and of ``maskssl transfer``, and how sets come to their folder."""

import tarfile
from dataclasses import replace

import pytest
import torch

from maskssl.__main__ import main
from maskssl.errors import MaskSSLError
from maskssl.evidence.byol_study import STUDY
from maskssl.evidence.parts import EVERY
from maskssl.evidence.plan import Plan
from maskssl.evidence.pretraining import facts_of
from maskssl.evidence.sets import SETS, bring, hold_out, sets_of
from maskssl.evidence.settings import BOOTMAE, OWN, SETTINGS, SMALL
from maskssl.transfer.encoders import open_encoder

FOUR = ("knn", "linear", "attentive", "logistic")


@pytest.fixture
def plan(tmp_path) -> Plan:
    """Everything on sets of which only the pictures' names are there."""
    for real in SETS.values():
        for number in range(50):
            if real.held_out:
                continue  # pictures of another set
            picture = tmp_path / "data" / real.folder / real.pictures / f"{number}.jpg"
            picture.parent.mkdir(parents=True, exist_ok=True)
            picture.touch()
    return Plan(
        part="frozen",
        out=tmp_path / "out",
        data_root=tmp_path / "data",
        archives=None,
        results=tmp_path / "results",
        settings=tuple(SETTINGS),
        sets=sets_of("frozen"),
    )


def trained(plan: Plan, **changes) -> Plan:
    return replace(plan, part="trained", sets=sets_of("trained"), **changes)


def test_what_is_measured_where(plan):
    assert {name: SETS[name].stages["frozen"] for name in plan.sets} == {
        "tiny_imagenet": FOUR,
        "clothing": FOUR,
        "cifar10": FOUR,
        "camvid": ("patch-linear",),
        "nuclei": ("patch-linear",),
    }
    assert {name: SETS[name].stages["trained"] for name in sets_of("trained")} == {
        "clothing": ("finetune",),
        "camvid": ("segmentation",),
        "nuclei": ("segmentation",),
        "nuclei-objects": ("detection",),
    }


def test_frozen_features_of_all_settings_are_measured_side_by_side(plan):
    assert [one.name for one in plan.pretrainings] == list(SETTINGS)
    asked = plan.transfer("cifar10", plan.pretrainings)
    assert list(asked.named) == ["random", *SETTINGS]
    assert asked.named["random"] == f"random:{plan.start}"
    assert (asked.data, asked.masks, asked.img_size) == (plan.data_root / "cifar10", None, None)
    assert asked.seeds == (0, 1, 2) and asked.preset == "evidence" and not asked.variations
    dense = plan.transfer("nuclei", plan.pretrainings)
    assert (dense.data, dense.masks) == (None, str(plan.data_root / "nuclei"))
    assert dense.coco is None and dense.img_size == 192


def test_vit_small_is_measured_as_frozen_features_of_its_own_blocks(plan):
    small = replace(plan, part="vit-small", settings=tuple(SMALL), sets=sets_of("vit-small"))
    assert small.sets == plan.sets
    asked = small.transfer("cifar10", small.pretrainings)
    assert list(asked.named) == ["random", "bootmae-small", "extrema-small"]
    assert asked.stages == FOUR and asked.blocks == (11, 12)
    assert plan.transfer("cifar10", plan.pretrainings).blocks == (3, 4)
    small.write_start()
    start = open_encoder(str(small.start), "start", torch.device("cpu")).backbone
    assert (start.embed_dims, start.num_layers, start.img_size) == (384, 12, (64, 64))


def test_dense_rows_are_trained_from_the_sets_own_pictures_too(plan):
    asked = trained(plan)
    names = [one.name for one in asked.pretrainings]
    assert names == [*(n for n, one in SETTINGS.items() if one.trained), *OWN]
    nuclei = asked.transfer("nuclei-objects", asked.pretrainings)
    assert list(nuclei.named) == [
        *("random", "bootmae", "extrema-infonce", "mae"),
        *("bootmae-nuclei", "extrema-infonce-nuclei", "mae-nuclei"),
    ]
    assert (nuclei.coco, nuclei.masks) == (str(plan.data_root / "nuclei"), None)
    maps = asked.transfer("nuclei", asked.pretrainings)
    assert (maps.coco, maps.masks) == (None, nuclei.coco) and maps.named == nuclei.named
    assert nuclei.img_size is None and nuclei.budget.trained_runs == 3
    clothing = asked.transfer("clothing", asked.pretrainings)
    assert list(clothing.named) == ["random", "bootmae", "extrema-infonce", "mae"]
    longer = {"train_cfg.max_epochs": 90}
    assert clothing.variations["bootmae"] == {"finetune": longer}
    best = {"optim_wrapper.paramwise_cfg.layer_decay_rate": 0.75}
    assert clothing.variations["random"] == {"finetune": longer | best}
    alone = replace(asked, sets=("clothing", "camvid"), settings=("bootmae",))
    assert [one.name for one in alone.pretrainings] == ["bootmae", "bootmae-camvid"]


def test_all_weights_train_by_the_sets_options_and_random_ones_by_their_best_too(plan):
    found = trained(plan).transfer("camvid", [BOOTMAE]).variations
    assert set(found) == {"random", "bootmae"}
    ours, random = (found[name]["segmentation"] for name in ("bootmae", "random"))
    assert ours["model.backbone.img_size"] == random["model.backbone.img_size"] == 128
    best = {key: value for key, value in random.items() if key not in ours}
    assert best == {
        "optim_wrapper.optimizer.lr": 0.09,
        "optim_wrapper.paramwise_cfg.layer_decay_rate": 0.75,
    }


@pytest.mark.parametrize("name", [*SETTINGS, *OWN, *SMALL])
def test_a_pretraining_sees_as_many_pictures_as_its_setting_says(plan, name):
    setting = EVERY[name]
    cfg = plan.config(setting)
    assert cfg.train_cfg.max_epochs == setting.seen // 50
    dataset = cfg.train_dataloader.dataset
    assert dataset.data_root == str(plan.data_root / setting.pictures)
    assert dataset.data_prefix == SETS[setting.pictures].pictures
    assert dataset.pipeline[1].crop_ratio_range == setting.crop
    kept = cfg.default_hooks.checkpoint
    assert kept.interval == cfg.train_cfg.max_epochs // 8 and kept.max_keep_ckpts == 1
    if "ramp_epochs" in cfg.model.get("target_generator", {}).get("schedule", {}):
        assert cfg.model.target_generator.schedule.ramp_epochs == cfg.train_cfg.max_epochs
    few = replace(plan, smoke=True).config(setting)
    assert few.train_cfg.max_epochs == 3 and few.train_dataloader.dataset.indices == 50


def test_a_set_is_unpacked_once(tmp_path):
    (tmp_path / "content" / "camvid").mkdir(parents=True)
    (tmp_path / "content" / "camvid" / "picture.jpg").write_text("first")
    archives = tmp_path / "archives"
    archives.mkdir()
    with tarfile.open(archives / "camvid.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "content" / "camvid", "camvid")
    folder = bring("camvid", tmp_path / "data", archives)
    assert folder == tmp_path / "data" / "camvid"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["camvid"]
    assert (folder / "picture.jpg").read_text() == "first"
    (folder / "picture.jpg").write_text("mine")
    assert bring("camvid", tmp_path / "data", archives) == folder
    assert (folder / "picture.jpg").read_text() == "mine"


@pytest.mark.parametrize("archives", [None, "archives"])
def test_a_set_that_is_not_there_is_told_with_its_place(tmp_path, archives):
    where = tmp_path / archives if archives else None
    with pytest.raises(MaskSSLError, match=r"no folder .*camvid.*--archives") as told:
        bring("camvid", tmp_path / "data", where)
    assert ("camvid.tar.gz" in str(told.value)) is bool(archives)


@pytest.mark.parametrize(
    ("option", "said"),
    [("--sets", "clothing, camvid, nuclei, nuclei-objects"), ("--settings", "bootmae, ")],
)
def test_a_name_that_is_not_there_is_told(tmp_path, option, said):
    with pytest.raises(SystemExit) as end:
        main(["evidence", "trained", "--data-root", str(tmp_path), option, "cifar100"])
    assert f"{option} cifar100: they are {said}" in str(end.value.code)


def held_out(plan: Plan) -> Plan:
    """The study's plan, on a set of two classes of 126 pictures."""
    root = plan.data_root / "tiny_imagenet" / "train"
    for one in root.iterdir():
        one.unlink()
    for number in range(252):
        picture = root / "ab"[number % 2] / f"{number:03}.jpg"
        picture.parent.mkdir(exist_ok=True)
        picture.write_text(str(number))
    return replace(plan, part="study", settings=tuple(STUDY), sets=sets_of("study"))


def test_the_study_is_judged_on_training_pictures_that_it_did_not_see(plan):
    asked = held_out(plan)
    (name,) = asked.sets
    assert SETS[name].stages["study"] == ("knn", "linear")
    transfer = asked.transfer(name, asked.pretrainings)
    assert list(transfer.named) == ["random", *STUDY]
    folder = asked.data(name)
    assert transfer.data == folder
    few = replace(asked, smoke=True).data(name)  # a smoke run leaves its few pictures to itself
    assert len(list((few / "val").rglob("*.jpg"))) == 4
    pictures = {
        split: {path.read_text() for path in (folder / split).rglob("*.jpg")}
        for split in ("train", "val")
    }
    assert [len(one) for one in pictures.values()] == [150, 100]
    assert not pictures["train"] & pictures["val"]
    cfg = asked.config(STUDY["byol"])
    assert cfg.train_dataloader.dataset.data_root == str(folder)
    assert cfg.train_dataloader.dataset.data_prefix == "train"
    assert cfg.train_cfg.max_epochs == 15_000 // 150


def test_classes_with_too_few_pictures_to_hold_some_out_are_told(tmp_path):
    for number in range(4):
        picture = tmp_path / "train" / "cat" / f"{number}.jpg"
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
    with pytest.raises(MaskSSLError, match="cat has 4 pictures, 5 are needed"):
        hold_out(tmp_path / "train", 2, tmp_path / "held")
    assert not (tmp_path / "held").exists()


def test_weights_stay_fresh_where_their_pictures_moved_but_not_with_another_setting(plan):
    before = {name: facts_of(plan, SETTINGS[name]) for name in ("extrema", "bootmae")}
    moved = replace(plan, data_root=plan.data_root.rename(plan.data_root.with_name("moved")))
    assert {name: facts_of(moved, SETTINGS[name]) for name in before} == before
    slower = replace(BOOTMAE, options={**BOOTMAE.options, "optim_wrapper.optimizer.lr": 1e-4})
    assert facts_of(moved, slower)["config"] != before["bootmae"]["config"]
