"""Lists of images on disk: the same samples as mmpretrain's, shared, and never out of date."""

import copy
import multiprocessing
import os
import pickle
import re
import runpy
import shutil
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DATASETS
from mmpretrain.datasets import CustomDataset
from PIL import Image

from maskssl.datasets.index.image_index import ImageIndex, ImageIndexError
from maskssl.datasets.index.indexed_images import IndexedImages
from maskssl.datasets.index.list_files import CsvFile
from maskssl.datasets.index.sources import ImageFolder, ListFile, source_at
from maskssl.datasets.index.store import index_places, open_index
from maskssl.errors import MaskSSLError

LINES = ["a/x 1.jpg 0", "b/ä.JPEG 1", "b/n01_5.png 2", "c/y.jpg 0"]
# names whose order tells plain sorting from sorting folder by folder
FILES = ["a/2.jpg", "a/10.jpg", "a/sub/3.png", "a-b/1.jpg", "ab.c/z.JPEG", "ab.c/a.jpg"]


@pytest.fixture
def listed(tmp_path) -> Path:
    path = tmp_path / "train.txt"
    path.write_text("\n".join(LINES) + "\n")
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in FILES:
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"")
    return tmp_path / "images"


def samples(dataset) -> list[dict]:
    return [dataset.get_data_info(number) for number in range(len(dataset))]


@pytest.fixture
def said(monkeypatch) -> list[str]:
    """What index_store logs."""
    messages: list[str] = []
    monkeypatch.setattr(
        "maskssl.datasets.index.store.print_log",
        lambda message, logger=None, level=None: messages.append(message),
    )
    return messages


# the same samples as mmpretrain's


def test_a_list_file_gives_the_samples_of_custom_dataset(listed, tmp_path):
    options = dict(data_root=str(tmp_path), data_prefix="img", ann_file="train.txt")
    mine, theirs = IndexedImages(**options), CustomDataset(**options)
    assert samples(mine) == samples(theirs)
    assert mine.get_data_info(0)["img_path"] == str(tmp_path / "img" / "a/x 1.jpg")
    assert type(mine.get_data_info(0)["gt_label"]) is int
    assert mine.get_data_info(-1) == theirs.get_data_info(-1)
    assert mine.get_cat_ids(2) == theirs.get_cat_ids(2) == [2]
    np.testing.assert_array_equal(mine.get_gt_labels(), theirs.get_gt_labels())
    for number in (4, -5):
        with pytest.raises(IndexError, match=f"image {number} of a data set of 4"):
            mine.get_data_info(number)


@pytest.mark.parametrize("with_label", [True, False])
def test_a_folder_gives_the_images_of_custom_dataset(with_label, folder):
    options = dict(data_prefix=str(folder), with_label=with_label)
    mine, theirs = IndexedImages(**options), CustomDataset(**options)
    by_path = {sample.pop("img_path"): sample.get("gt_label") for sample in samples(theirs)}
    assert {s["img_path"]: s.get("gt_label") for s in samples(mine)} == by_path
    assert [s["img_path"] for s in samples(mine)] == sorted(by_path)  # classes or not
    assert len(mine) == len(FILES)
    assert mine.metainfo == theirs.metainfo
    assert mine.metainfo.get("classes") == (("a", "a-b", "ab.c") if with_label else None)


def test_without_labels_order_is_custom_datasets(folder):
    options = dict(data_prefix=str(folder), with_label=False)
    assert samples(IndexedImages(**options)) == samples(CustomDataset(**options))


@pytest.mark.parametrize("indices", [3, -2, [3, 0, 0], 0])
def test_indices_choose_as_in_custom_dataset(indices, listed):
    options = dict(ann_file=str(listed))
    chosen = samples(CustomDataset(**options, indices=indices, serialize_data=False))
    assert samples(IndexedImages(**options, indices=indices)) == chosen
    whole = IndexedImages(**options)
    assert samples(whole.get_subset(indices)) == chosen
    assert len(whole) == 4
    whole.get_subset_(indices)
    assert samples(whole) == chosen
    labels = [sample["gt_label"] for sample in chosen]
    assert whole.get_gt_labels().tolist() == labels


def test_a_subset_of_a_subset_counts_in_the_first(listed):
    dataset = IndexedImages(ann_file=str(listed), indices=-3).get_subset([2, 0])
    assert [s["img_path"] for s in samples(dataset)] == ["c/y.jpg", "b/ä.JPEG"]
    assert [s["sample_idx"] for s in samples(dataset.get_subset(-1))] == [0]
    assert dataset.get_subset(-1).get_data_info(0)["img_path"] == "b/ä.JPEG"


@pytest.mark.parametrize("indices", [5, -5, [0, 4], [-5]])
def test_indices_beyond_the_images_are_refused(indices, listed):
    with pytest.raises(ImageIndexError, match="4 images"):
        IndexedImages(ann_file=str(listed), indices=indices)


def test_images_go_through_the_pipeline_in_any_scope(tmp_path):
    pixels = np.full((4, 6, 3), 7, np.uint8)
    (tmp_path / "images/c").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "images/c/x.png")
    config = dict(
        type="IndexedImages",
        data_prefix=str(tmp_path / "images"),
        pipeline=[dict(type="LoadImage"), dict(type="PackInputs")],
        lazy_init=True,
    )
    dataset = DATASETS.build(config)
    assert not dataset._fully_initialized and not (tmp_path / "images.index").exists()
    dataset.full_init()
    packed = dataset[0]
    assert packed["inputs"].shape == (3, 4, 6)
    assert packed["data_samples"].gt_label.tolist() == [0]
    assert "Index: \t" + str(tmp_path / "images.index") in repr(dataset)


# what a line may say


@pytest.mark.parametrize(
    ("line", "path", "label"),
    [
        ("a b/c 3.jpg", "a b/c 3.jpg", -1),
        ("a b/c 3.jpg 12", "a b/c 3.jpg", 12),
        ("  x.PNG\t0 \r", "x.PNG", 0),
        ("/else/where.jpg 2147483647", "/else/where.jpg", 2147483647),
        ("x.jpg 00002147483647", "x.jpg", 2147483647),
        ("../up.jpg", "../up.jpg", -1),
        ("x.jpg 3.jpg", "x.jpg 3.jpg", -1),
    ],
)
def test_a_line_is_a_path_or_a_path_and_a_label(line, path, label, tmp_path):
    (tmp_path / "list.txt").write_bytes(b"0.jpg\n" + line.encode() + b"\n\n\n")
    index = open_index(ListFile(str(tmp_path / "list.txt")))
    assert len(index) == 2
    assert index.image_path(1) == path
    assert index.labels[1] == label


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x.jpg cat", "line 2: 'cat' is no label; write an integer from 0"),
        ("x.jpg -1", "line 2: '-1' is no label"),
        ("x.jpg 2147483648", "line 2: '2147483648' is no label"),
        ("x.jpg " + "9" * 5000, "line 2: '99999999999999999999' is no label"),
        ("my photo 3", "line 2: 'my photo 3' is neither a path nor a path and a label"),
        ("12", "line 2: '12' is neither"),
        ("", "line 2, is empty; remove it"),
    ],
)
def test_a_line_that_can_mean_anything_else_is_refused_with_its_number(line, message, tmp_path):
    (tmp_path / "list.txt").write_text(f"0.jpg 0\n{line}\n1.jpg 1\n")
    with pytest.raises(ImageIndexError, match=re.escape(message)):
        IndexedImages(ann_file=str(tmp_path / "list.txt"))
    assert os.listdir(tmp_path) == ["list.txt"]  # no half index, no lock


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("2147483648", "line 3: '2147483648' is no label; write an integer from 0 to 2147483647"),
        ("9" * 5000, "line 3: '99999999999999999999' is no label"),
    ],
    ids=["32 bits", "5000 digits"],
)
def test_a_label_that_an_index_cannot_hold_is_refused_in_csv_too(label, message, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(f"path,label\n0.jpg,2147483647\n1.jpg,{label}\n")
    with pytest.raises(ImageIndexError, match=re.escape(message)):
        open_index(CsvFile(str(path)))
    path.write_text("path,label\n0.jpg,2147483647\n1.jpg,000\n")
    assert open_index(CsvFile(str(path))).labels.tolist() == [2147483647, 0]


def test_names_that_are_no_utf8_come_back_as_they_were(tmp_path):
    name = b"x\xe9.jpg"
    (tmp_path / "list.txt").write_bytes(name)
    assert os.fsencode(open_index(ListFile(str(tmp_path / "list.txt"))).image_path(0)) == name


# what is refused, with its remedy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(), "give data_root, data_prefix or ann_file"),
        (dict(ann_file="none.txt"), "list file none.txt cannot be read (No such file"),
        (dict(ann_file="empty.txt"), "empty.txt lists no image"),
        (
            dict(data_prefix="empty"),
            "empty lists no image. 1 hidden entries are skipped, e.g. .hidden.jpg. 2 files end",
        ),
        (dict(data_prefix="empty"), "Tar shards are named by a pattern"),
        (dict(data_prefix="none.tar"), "no tar shard is at none.tar"),
        (dict(ann_file="some.txt"), "2 of 3 images of some.txt have no label, the first is b.jpg"),
        (dict(ann_file="labels.txt", classes=["a", "b"]), "y.jpg of labels.txt has the label 2"),
        (dict(data_prefix="named", classes=["a"]), "has 2 class folders, and 1 classes"),
        (dict(data_prefix="named", classes=["b", "a"]), "the class 'b' is given as label 0, and"),
        (dict(data_prefix="named", classes=["b", "c"]), "and in named it has the label 1, which"),
        (dict(data_prefix="classes"), "1 of 3 images of classes have no label, the first is top"),
        (dict(data_prefix="loop"), "loop/a/up/ links to a folder above it; remove"),
        (dict(data_prefix="x.tar", ann_file="labels.txt"), "drop ann_file=labels.txt"),
        (dict(ann_file="labels.txt", index_file="some.txt"), "some.txt is no index of images"),
        (dict(ann_file="labels.txt", index_file="some.txt/i"), "cannot be made (File exists)"),
    ],
)
def test_what_cannot_be_listed_is_refused(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("\n\n")
    Path("some.txt").write_text("a.jpg 1\nb.jpg\nc.jpg\n")
    Path("labels.txt").write_text("x.jpg 1\ny.jpg 2\n")
    for name in ("empty/a.txt", "empty/.hidden.jpg", "empty/b.tar"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    for name in ("named/a/1.jpg", "named/b/1.jpg", "loop/a/1.jpg", "classes/a/1.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()
    for name in ("classes/a/2.jpg", "classes/top.jpg"):
        Path(name).touch()
    Path("loop/a/up").symlink_to(tmp_path / "loop/a")
    with pytest.raises(MaskSSLError, match=re.escape(message)):
        IndexedImages(**options)
    assert Path("some.txt").read_text().startswith("a.jpg")


def test_labels_are_not_needed_without_with_label(tmp_path):
    (tmp_path / "some.txt").write_text("a.jpg 1\nb.jpg\n")
    dataset = IndexedImages(ann_file=str(tmp_path / "some.txt"), with_label=False)
    assert samples(dataset)[0] == dict(img_path="a.jpg", sample_idx=0)
    with pytest.raises(ImageIndexError, match="with_label=False"):
        dataset.get_gt_labels()


def test_what_a_folder_skips_is_counted_and_said(folder, said):
    (folder / "a" / "notes.txt").touch()
    (folder / "a" / ".thumb.jpg").touch()
    (folder / "broken.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "void").mkdir()
    index = open_index(ImageFolder(str(folder)))
    assert len(index) == len(FILES)
    assert index.header["classes"] == ["a", "a-b", "ab.c", "void"]
    notes = [message for message in said if message.startswith(f"{folder}: ")]
    assert notes[0] == f"{folder}: 1 of the folders hold no image, e.g. void."
    assert notes[1].endswith(": 1 hidden entries are skipped, e.g. a/.thumb.jpg.")
    assert re.search(r"1 files end with none of .*notes\.txt", notes[2])
    assert notes[3].endswith(": 1 links lead to no file, and are skipped, e.g. broken.jpg.")


# an index is built once, and anew when its source changes


def test_a_ready_index_is_used_as_it_is(listed, said):
    first = open_index(ListFile(str(listed)))
    said.clear()
    again = open_index(ListFile(str(listed)))
    assert again.header["build"] == first.header["build"]
    assert said == []
    assert open_index(ListFile(str(listed)), rebuild=True).header["build"] != first.header["build"]


def add_line(listed: Path, folder: Path) -> None:
    with open(listed, "a") as file:
        file.write("new.jpg 1\n")


def replace_line(listed: Path, folder: Path) -> None:
    listed.write_text("\n".join(reversed(LINES)) + "\n")  # as long as before
    os.utime(listed, ns=(0, 1))


def add_image(listed: Path, folder: Path) -> None:
    (folder / "a/sub/new.jpg").touch()
    os.utime(folder / "a/sub", ns=(0, 1))  # clocks of file systems are coarse


def remove_class(listed: Path, folder: Path) -> None:
    shutil.rmtree(folder / "a-b")


@pytest.mark.parametrize(
    ("change", "of_folder", "message"),
    [
        (add_line, False, "the file was written since"),
        (replace_line, False, "the file was written since"),
        (add_image, True, "entries of .*/a/sub/ were added or removed since"),
        (remove_class, True, "were added or removed since|/a-b/ cannot be read"),
    ],
)
def test_a_stale_index_is_built_anew_and_that_is_said(
    change: Callable[[Path, Path], None], of_folder, message, listed, folder, said
):
    path = str(folder if of_folder else listed)
    before = open_index(source_at(path))
    said.clear()
    change(listed, folder)
    after = open_index(source_at(path))
    assert after.header["build"] != before.header["build"]
    assert re.search(rf"does not fit {path}: .*({message}).*; it is built anew", said[0])
    assert [after.image_path(i) for i in range(len(after))] != [
        before.image_path(i) for i in range(len(before))
    ]


def test_other_endings_and_damage_make_it_stale(listed, said):
    open_index(ListFile(str(listed), (".jpg", ".jpeg", ".png")))
    open_index(ListFile(str(listed), (".jpg", ".jpeg", ".png", ".gif")))
    assert any("it was built for other endings" in message for message in said)
    path = Path(f"{listed}.index")
    whole = path.read_bytes()
    # in the last array, between two, and within the head of one
    for cut in (len(whole) - 1, whole.rindex(b"\x93NUMPY"), whole.rindex(b"\x93NUMPY") + 4):
        path.write_bytes(whole[:cut])
        said.clear()
        assert len(open_index(ListFile(str(listed), (".jpg", ".jpeg", ".png", ".gif")))) == 4
        assert "train.txt.index is cut short; it is built anew" in said[0]


def test_the_mark_that_windows_puts_before_utf8_is_no_part_of_a_path(listed):
    listed.write_bytes(b"\xef\xbb\xbf" + listed.read_bytes())
    index = open_index(source_at(str(listed)))
    assert index.image_path(0) == "a/x 1.jpg"


def test_paths_below_an_address_are_joined_to_it(listed):
    for root in ("s3://bucket/images", "https://host/images"):
        dataset = IndexedImages(data_root="", ann_file=str(listed), data_prefix=root)
        assert dataset.get_data_info(0)["img_path"] == f"{root}/a/x 1.jpg"


def test_a_source_that_changes_while_it_is_read_gives_no_index(listed):
    source = ListFile(str(listed))

    def write_meanwhile(share: float, images: int) -> None:
        with open(listed, "a") as file:
            file.write("late.jpg 1\n")

    with pytest.raises(ImageIndexError, match="changed while it was indexed"):
        open_index(source, progress=write_meanwhile)
    assert os.listdir(listed.parent) == ["train.txt"]


def test_index_goes_to_the_cache_where_the_source_cannot_be_written(listed, monkeypatch, said):
    monkeypatch.setenv("XDG_CACHE_HOME", str(listed.parent / "cache"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    beside, cached = index_places(ListFile(str(listed)))
    index = open_index(ListFile(str(listed)))
    assert index.path == str(cached) and cached.is_relative_to(listed.parent / "cache/maskssl")
    assert not beside.exists()
    assert f"{listed.parent} cannot be written, so the index goes to {cached}" in said
    assert open_index(ListFile(str(listed))).header["build"] == index.header["build"]


def test_a_full_disk_leaves_no_half_index(listed, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ImageIndexError, match="No space left on device.*index_file"):
        open_index(ListFile(str(listed)))
    assert os.listdir(listed.parent) == ["train.txt"]


def build_slowly(path: str, pipe: Connection) -> None:
    index = open_index(ListFile(path))
    pipe.send(index.header["build"])


def test_of_processes_that_start_together_one_builds(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("".join(f"n{i:08d}/n{i:08d}_{i}.JPEG {i % 7}\n" for i in range(100_000)))
    context = multiprocessing.get_context("fork")
    pipes = [context.Pipe() for _ in range(4)]
    ranks = [context.Process(target=build_slowly, args=(str(path), pipe[1])) for pipe in pipes]
    for rank in ranks:
        rank.start()
    for _, there in pipes:
        there.close()  # so that a rank that dies is an EOFError here
    builds = {pipe[0].recv() for pipe in pipes}
    for rank in ranks:
        rank.join()
    assert len(builds) == 1
    assert sorted(os.listdir(tmp_path)) == ["list.txt", "list.txt.index"]


# memory is shared


def anonymous_bytes() -> int:
    """Memory of this process that no file backs, so that no other process can share."""
    fields = Path("/proc/self/smaps_rollup").read_text().split()
    return int(fields[fields.index("Anonymous:") + 1]) * 1024


def touch_all(dataset: IndexedImages, pipe: Connection) -> None:
    before = anonymous_bytes()
    total = sum(len(dataset.index.image_path(i)) for i in range(0, len(dataset), 20))
    total += int(dataset.index.labels.sum()) + int(dataset.index._offsets.sum() > 0)
    pipe.send((total, anonymous_bytes() - before))


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> IndexedImages:
    path = tmp_path_factory.mktemp("large") / "list.txt"
    path.write_text("".join(f"{'n' * 150}/{i:08d}.JPEG 1\n" for i in range(200_000)))
    dataset = IndexedImages(ann_file=str(path))
    assert os.path.getsize(dataset.index.path) > 30e6
    return dataset


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_share_the_index(method, large):
    context = multiprocessing.get_context(method)
    here, there = context.Pipe()
    worker = context.Process(target=touch_all, args=(large, there))
    worker.start()
    there.close()
    total, grown = here.recv()
    worker.join()
    assert total == 10_000 * 164 + 200_000 + 1
    assert grown < 3e6, "of an index of 35 MB"


def test_neither_pickle_nor_copy_nor_subset_holds_the_list(large):
    before = anonymous_bytes()
    assert len(pickle.dumps(large)) < 5_000
    copies = [copy.deepcopy(large), large.get_subset(-5)]
    assert anonymous_bytes() - before < 3e6
    assert copies[1].get_data_info(0)["img_path"] == large.get_data_info(-5)["img_path"]
    assert copies[0].get_data_info(7) == large.get_data_info(7)


def test_a_worker_refuses_an_index_that_was_replaced(listed):
    index = open_index(ListFile(str(listed)))
    assert len(copy.copy(index)) == 4  # which takes the way of pickle
    open_index(ListFile(str(listed)), rebuild=True)
    with pytest.raises(ImageIndexError, match="was built anew while this run reads it"):
        copy.copy(index)


def test_a_replaced_index_stays_readable_for_those_who_have_it(listed):
    index = open_index(ListFile(str(listed)))
    listed.write_text("other.jpg 1\n")
    open_index(ListFile(str(listed)))
    assert index.image_path(3) == "c/y.jpg"
    with pytest.raises(IndexError, match="entry 4 of an index of 4"):
        index.image_path(4)


# progress, and the tool


@pytest.mark.parametrize("of_folder", [True, False])
def test_progress_rises_to_the_end(of_folder, listed, folder):
    seen: list[tuple[float, int]] = []
    path = str(folder if of_folder else listed)
    open_index(source_at(path), progress=lambda share, images: seen.append((share, images)))
    assert seen == sorted(seen)
    assert seen[-1][0] == (pytest.approx(2 / 3) if of_folder else 1.0)


@pytest.fixture
def tool(repository, monkeypatch) -> Callable[..., None]:
    def run(name: str, *arguments: object) -> None:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(repository / "tools" / name), run_name="__main__")

    return run


def test_tool_builds_and_says_what(listed, tool, capsys):
    tool("index_images.py", listed)
    said = capsys.readouterr().out.splitlines()[-1]
    size = os.path.getsize(f"{listed}.index")
    assert re.fullmatch(rf"{listed}.index: 4 images, [\d.]+ s, {size:,} bytes; labels 0 to 2", said)
    assert len(ImageIndex(f"{listed}.index")) == 4


def test_tool_names_what_is_wrong(tmp_path, tool):
    with pytest.raises(SystemExit, match=r"ImageIndexError: the list file .*none\.txt cannot"):
        tool("index_images.py", tmp_path / "none.txt")


def test_a_folder_that_is_asked_for_other_endings_is_listed_anew(tmp_path):
    for name in ("a.jpg", "b.png"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).touch()
    found = [
        [index.image_path(entry) for entry in range(len(index))]
        for ending in (".jpg", ".png")
        for index in [open_index(ImageFolder(str(tmp_path / "set"), (ending,)))]
    ]
    assert found == [["a.jpg"], ["b.png"]]


def test_an_index_of_another_kind_is_built_anew_and_that_is_said(listed, folder, said):
    """One index_file in the configs of two data sets, each of which it fits in turn."""
    place = listed.with_name("shared.index")
    rows = listed.with_name("rows.csv")
    rows.write_text("path,label\nx.jpg,0\n")
    sources = [source_at(str(path)) for path in (listed, folder, rows, listed)]
    kinds = ["list file", "folder", "CSV file", "list file"]
    found = [open_index(source, place) for source in sources]
    assert [index.header["kind"] for index in found] == kinds
    assert [len(index) for index in found] == [4, len(FILES), 1, 4]
    for before, kind in zip(kinds, kinds[1:], strict=False):
        assert any(f"it lists a {before}, not a {kind}; it is built anew" in one for one in said)


def test_a_list_and_a_csv_of_one_file_are_told_apart(tmp_path):
    """Size and time are the same, and say nothing of how the lines are read."""
    path = tmp_path / "a.csv"
    path.write_text("path,label\n1.jpg,0\n")
    csv, place = CsvFile(str(path)), tmp_path / "a.index"
    open_index(csv, place)
    with pytest.raises(ImageIndexError, match="line 1: 'path,label' is neither a path nor"):
        open_index(ListFile(str(path)), place)


# CSV as other programs write it


@pytest.mark.parametrize("header", ["path,label", '"path","label"', "label,path"])
def test_the_mark_that_windows_puts_before_utf8_is_no_part_of_a_column(header, tmp_path):
    row = "3,ä 1.jpg" if header.startswith("label") else "ä 1.jpg,3"
    (tmp_path / "a.csv").write_text(f"{header}\r\n{row}\r\n", "utf-8-sig")
    index = open_index(CsvFile(str(tmp_path / "a.csv")))
    assert (index.image_path(0), index.labels.tolist()) == ("ä 1.jpg", [3])


def test_csv_in_cp1252_keeps_the_bytes_of_its_names(tmp_path):
    """Files may lie there under just these bytes; labels are told apart all the same."""
    (tmp_path / "a.csv").write_bytes("path,label\nä.jpg,Bär\nö.jpg,Bür\n".encode("cp1252"))
    index = open_index(CsvFile(str(tmp_path / "a.csv")))
    assert [os.fsencode(index.image_path(n)) for n in range(2)] == [b"\xe4.jpg", b"\xf6.jpg"]
    assert index.labels.tolist() == [0, 1]
    assert [os.fsencode(name) for name in index.header["classes"]] == [b"B\xe4r", b"B\xfcr"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n,0\n", "line 2: '' ends with none of"),
        ("path,label\n\na.jpg,0\nb.jpg,\n", "without a label, the first in line 4; fill them in"),
        ("path,label\na.jpg,0\nb.jpg\n", "without a label, the first in line 3"),
        ("path,label\n,\n", "without a label, the first in line 2"),
        (",\na.jpg,0\n", r"begins with the columns \(none\); name one of them path"),
        ('path,label\n"a.jpg,0\n' + "b.jpg,0\n" * 20_000, "field larger .* correct the quotes"),
        ('"path,label\n' + "b.jpg,0\n" * 20_000, "field larger .* correct the quotes"),
        ('path\n"a.jpg\n' + "c" * 9999, r"line 3: 'a.jpg\\nc*' ends with none of"),
    ],
)
def test_fields_of_a_csv_that_are_empty_or_never_closed_are_named(text, message, tmp_path):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ImageIndexError, match=message) as refusal:
        open_index(CsvFile(str(tmp_path / "a.csv")))
    assert len(str(refusal.value)) < 400


# names of classes that a config gives


def test_given_names_stand_for_folders_in_their_place(tmp_path):
    for name in ("n01", "n02"):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "1.jpg").touch()
    names = tmp_path / "names.txt"
    names.write_text("tench\nshark\n", "utf-8-sig")
    for given in (["tench", "shark"], str(names)):
        dataset = IndexedImages(data_prefix=str(tmp_path / "set"), classes=given)
        assert tuple(dataset.metainfo["classes"]) == ("tench", "shark")
        assert dataset.get_gt_labels().tolist() == [0, 1]


@pytest.mark.parametrize("option", ["classes", "metainfo"])
def test_given_names_in_another_order_than_the_labels_are_refused(option, tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("path,label\n1.jpg,pear\n2.jpg,apple\n3.jpg,fig\n")
    names = ["pear", "apple", "fig"]
    options = {option: names if option == "classes" else dict(classes=names)}
    with pytest.raises(
        ImageIndexError, match=r"'pear' is given as label 0, .* label 2, .* fig, pe"
    ):
        IndexedImages(ann_file=str(rows), **options)
    IndexedImages(ann_file=str(rows), with_label=False, **options)  # labels are not used
