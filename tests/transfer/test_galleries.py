"""Figures class by class by hand; pictures of the report, and that none is drawn too early."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from maskssl.__main__ import main
from maskssl.errors import MaskSSLError
from maskssl.evaluation.metrics import TRUTH
from maskssl.progress import ProgressLine
from maskssl.transfer.encoders import open_encoder
from maskssl.transfer.feature_store import POOLED, Extraction, features_of
from maskssl.transfer.galleries import cost_of
from maskssl.transfer.image_set import labelled_sets
from maskssl.transfer.measure import BOXES, MAPS
from maskssl.transfer.measure import CLASSES as CATEGORIES
from maskssl.transfer.per_class import (
    Guesses,
    add_class_figures,
    class_accuracies,
    class_ious,
    class_precisions,
    confusion,
    guesses_of,
    most_frequent,
)
from maskssl.transfer.plots import costs, result_plots
from tests.transfer.scenes import CLASSES, save_encoder, write_pictures
from tests.transfer.test_views import save_pretraining

KINDS = ("attention", "components", "map", "neighbours", "mistakes")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_pictures(folder, "train", 10, 0)
    write_pictures(folder, "test", 8, 1)
    return folder


@pytest.fixture(scope="module")
def report(data, tmp_path_factory) -> tuple[dict, Path]:
    """Of a pretraining that predicts pixels, an encoder alone, and random weights."""
    out = tmp_path_factory.mktemp("out")
    own = save_pretraining(out / "own.pth")
    other = save_encoder(out / "other.pth", seed=3)
    words = ["transfer", str(own), str(other), "--data", str(data), "--out", str(out)]
    main([*words, "--stages", "knn", "lowshot-5", "--seeds", "0", "1"])
    return json.loads((out / "report" / "report.json").read_text()), out / "report"


# Numbers


def test_figures_of_classes_by_hand():
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    ranks = np.array([[0, 1, 0, 0, 2, 1], [0, 0, 0, 1, 1, 1]])
    assert class_accuracies(ranks, labels, 3) == pytest.approx([0.75, 0.5, 0.0])
    areas = np.zeros((1, 2, 2, 3), int)  # two images
    areas[0, :, 0, 0], areas[0, :, 1, 0] = (1, 3), (4, 4)
    areas[0, 0, 1, 1] = 5
    assert class_ious(areas) == [0.5, 0.0, None]
    entries = np.zeros((2, 4, 3, 2))
    entries[..., 0] = [0, 1, -1]
    entries[..., 1] = TRUTH

    def share_of_each(fit: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Stands for AP: ten for the first category, one for the second."""
        assert fit.shape == (4, 3, 2) and (counts == 1).all()
        return np.array([10.0 * (fit[..., 0] == 0).any() + (fit[..., 0] == 1).any()])

    assert class_precisions(entries, 3, share_of_each) == [10, 1, None]  # none in the truth
    assert (entries[..., 0] == [0, 1, -1]).all()


def test_every_row_has_the_class_figures_of_its_own_metric():
    """Two classes; areas of two images, and one image with one object found and one not."""
    areas = np.array([[[3, 0], [6, 0]], [[0, 0], [0, 4]]])[None, None]  # (settings, S, N, 2, K)
    found, first, second = np.ones(12), np.ones(12), np.ones(12)
    found[:2], first[:2], second[:2] = (0, 0.9), (0, TRUTH), (1, TRUTH)
    entries = np.stack([found, first, second])[None, None, None]  # (settings, S, N, E, …)
    ranks = np.array([[[0, 0, 1, 0]]])
    outcomes = {("a", "top"): ranks, ("a", "maps"): areas, ("a", "boxes"): entries}
    sets = {kind: (None, SimpleNamespace(classes=("x", "y"))) for kind in (MAPS, BOXES)}
    sets[CATEGORIES] = (
        None,
        SimpleNamespace(classes=("x", "y"), labels=torch.tensor([0, 0, 1, 1])),
    )
    kinds = (("top", "top-1", CATEGORIES), ("maps", "mIoU", MAPS), ("boxes", "box AP", BOXES))
    measures = [
        dict(name=name, metric=metric, labels=labels, cells=[dict(checkpoint="a")])
        for name, metric, labels in kinds
    ]
    add_class_figures(dict(measures=measures), outcomes, sets)
    shown = [measure["cells"][0]["per_class"] for measure in measures]
    assert [list(figures) for figures in shown] == [["x", "y"]] * 3
    expected = [1.0, 0.5], [0.5, 0.0], [1.0, 0.0]
    for figures, own in zip(shown, expected, strict=True):
        assert list(figures.values()) == pytest.approx(own)


def test_what_is_taken_for_what():
    truth, said = torch.tensor([0, 0, 0, 1, 1, 2]), torch.tensor([0, 1, 1, 1, 1, 0])
    found = confusion(truth, said)
    assert sorted(found) == [[0, 0, 1], [0, 1, 2], [1, 1, 2], [2, 0, 1]]
    assert [count for *_, count in found] == [2, 2, 1, 1]
    one, other = [[0, 0, 9], [0, 1, 3]], [[0, 1, 1], [2, 0, 1]]
    both = dict(one=one, other=other)
    assert most_frequent(both, 30) == both
    assert most_frequent(both, 31) == dict(one=[[0, 1, 3]], other=other)  # the mistakes alone
    many = [[true, said, 50 - said] for true in (0,) for said in range(1, 41)]
    rare = [[0, 40, 8], [0, 1, 1], [0, 39, 1]]
    kept = most_frequent(dict(many=many, rare=rare), 41)
    assert kept["rare"] == rare[:2] + rare[2:]
    assert len(kept["many"]) == 32  # thirty of its own, and what the other mistakes
    assert [0, 40, 10] in kept["many"] and [0, 39, 11] in kept["many"]
    guesses = Guesses(said, torch.tensor([1, 0.4, 0.9, 1, 1, 0.6]), "2.mean", "")
    assert guesses.worst(truth, 2) == [2, 5] and guesses.worst(truth, 9) == [2, 5, 1]


def test_votes_are_those_of_a_few_lines_of_numpy(data, tmp_path):
    encoder = open_encoder(str(save_encoder(tmp_path / "a.pth")), "a", torch.device("cpu"))
    how = Extraction(tmp_path, (POOLED,), 16, 0, torch.device("cpu"))
    train, test = (
        features_of(encoder, images, how, ProgressLine(io.StringIO()))
        for images in labelled_sets(data)
    )
    guesses = guesses_of(train, test, dict(feature="1.cls", k=5, temperature=0.2))
    bank, asked = (
        part.rows("1.cls", part.everything).batch(part.everything)[0].numpy()
        for part in (train, test)
    )
    bank, asked = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (bank, asked))
    similarity = asked @ bank.T
    near = np.argsort(-similarity, axis=1)[:, :20]  # not 5: their share says little
    votes = np.zeros((len(asked), 3))
    for row, places in enumerate(near):
        for place in places:
            votes[row, int(train.labels[place])] += np.exp(similarity[row, place] / 0.2)
    votes /= votes.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(guesses.said, votes.argmax(axis=1))
    np.testing.assert_allclose(guesses.confidence, votes.max(axis=1), rtol=1e-4)
    assert guesses.how == "20 nearest training images by the cls of block 1"
    assert guesses_of(train, test).feature == "2.mean"


def test_cost_counts_weights_and_operations(tmp_path):
    """By hand: a projection of n x m takes 2 n m operations a token; 16 patches and cls."""
    encoder = open_encoder(str(save_encoder(tmp_path / "a.pth")), "a", torch.device("cpu"))
    cost = cost_of(encoder)
    width, tokens = 24, 17
    block = 2 * tokens * width * (3 * width + width + 2 * 4 * width) + 4 * tokens * tokens * width
    stem = 2 * 16 * width * 3 * 4 * 4
    assert cost["gflops"] * 1e9 == pytest.approx(2 * block + stem)
    assert cost["parameters"] == sum(p.numel() for p in encoder.backbone.parameters())


# The report


def test_every_checkpoint_has_its_pictures(report):
    found, folder = report
    shown: dict[str, list[str]] = {}
    for picture in found["pictures"]:
        shown.setdefault(picture["checkpoint"], []).append(picture["kind"])
        with Image.open(folder / picture["file"]) as image:
            assert min(image.size) > 100
        assert picture["alt"].startswith(f"{picture['checkpoint']}: ") and picture["caption"]
        assert f"]({picture['file']})" in (folder / "report.md").read_text()
    assert shown.keys() == {"own", "other", "random"}
    for name, kinds in shown.items():
        assert set(kinds) == {*KINDS, *(["reconstruction"] if name == "own" else [])}, name


def test_scores_of_classes_come_to_the_scores(report):
    """All classes have eight test images each."""
    found, _ = report
    for measure in found["measures"]:
        for cell in measure["cells"]:
            shares = cell["per_class"]
            assert list(shares) == list(CLASSES)
            assert np.mean(list(shares.values())) == pytest.approx(cell["figure"])
    for rows in found["confusion"].values():
        assert sum(count for *_, count in rows) == 24
        for label in range(3):
            assert sum(count for true, _, count in rows if true == label) == 8
    assert len(costs(found)) == 6
    for name, title, seconds, figure in costs(found):
        (measure,) = [m for m in found["measures"] if m["title"] == title]
        jobs = {
            job: s for job, s in found["seconds"].items() if f" {name} {measure['stage']}" in job
        }
        assert seconds == pytest.approx(sum(jobs.values())) and len(jobs) == 2
        assert figure == next(c["figure"] for c in measure["cells"] if c["checkpoint"] == name)


def test_curves_of_stages_that_have_some_are_drawn(report):
    found, _ = report
    plots = result_plots(found)
    assert sum("class by class" in caption for caption in plots) == 2
    assert sum(caption.startswith("Confusion of ") for caption in plots) == 3
    assert sum(caption.startswith("Cost beside accuracy") for caption in plots) == 1
    assert not any("while it learns" in caption for caption in plots)
    (cell, *_) = found["measures"][0]["cells"]
    curves = dict(cell, curves=dict(loss=[[1, 2.0], [2, 1.0]]))
    measure = dict(found["measures"][0], cells=[curves])
    (drawn,) = [
        svg
        for caption, svg in result_plots(dict(found, measures=[measure])).items()
        if caption == "kNN: loss while it learns"
    ]
    assert ">loss<" in drawn and "currentColor" in drawn


class Page(HTMLParser):
    """What a browser would fetch, and what it could not show."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.pictures: list[dict[str, str | None]] = []
        self.open: list[str] = []
        self.viewport = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        named = [found[key] or "" for key in ("src", "href", "xlink:href") if key in found]
        self.fetched += [name for name in named if not name.startswith(("data:", "#"))]
        if tag in ("link", "script", "iframe", "object"):
            self.fetched.append(tag)
        if tag == "img":
            self.pictures.append(found)
        if found.get("name") == "viewport":
            self.viewport = found["content"] or ""


def test_the_page_holds_all_it_shows(report):
    """No file or address is named, every picture decodes and has words for who does not see it."""
    found, folder = report
    text = (folder / "index.html").read_text()
    page = Page(text)
    assert page.fetched == [] and "width=device-width" in page.viewport
    assert not re.search(r"@import|url\((?!#)", text)
    assert [picture["alt"] for picture in page.pictures] == [p["alt"] for p in found["pictures"]]
    for shown, told in zip(page.pictures, found["pictures"], strict=True):
        head, _, content = (shown["src"] or "").partition(";base64,")
        assert head == "data:image/jpeg"
        assert base64.b64decode(content) == (folder / told["file"]).read_bytes()
        Image.open(io.BytesIO(base64.b64decode(content))).load()
    for checkpoint in found["checkpoints"]:
        assert f"<summary>Pictures of {checkpoint['name']}</summary>" in text
        first_line = checkpoint["ledger_text"].splitlines()[0]
        assert first_line in text  # what was loaded
    table = text[text.index("Most frequent mistakes") :]
    true, said, _ = max(
        (row for row in found["confusion"]["own"] if row[0] != row[1]), key=lambda row: row[2]
    )
    assert CLASSES[true] in table and CLASSES[said] in table


def test_pictures_that_fail_leave_the_scores(data, tmp_path, monkeypatch):
    """They stand among what failed; other checkpoints' are drawn."""

    def broken(encoder, files):
        if encoder.name == "a":
            raise MaskSSLError("no picture of it")
        return Image.new("RGB", (9, 9))

    monkeypatch.setattr("maskssl.transfer.galleries.attention_sheet", broken)
    path = save_encoder(tmp_path / "a.pth")
    words = ["transfer", str(path), "--data", str(data), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as end:
        main([*words, "--stages", "knn", "--seeds", "0"])
    assert end.value.code == 1
    found = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert found["failed"] == {"a pictures": "no picture of it"}
    assert {picture["checkpoint"] for picture in found["pictures"]} == {"random"}
    assert [cell["checkpoint"] for cell in found["measures"][0]["cells"]] == ["a", "random"]


def test_no_picture_is_drawn_before_the_test_images_are_scored(data, tmp_path):
    """They hold no images until then; the report says what failed and shows none."""
    write_pictures(tmp_path / "blind", "train", 4, 0)
    write_pictures(tmp_path / "blind", "test", 4, 1)
    for file in (tmp_path / "blind" / "test").rglob("*.png"):
        file.write_bytes(b"?" * 100)
    path = save_encoder(tmp_path / "a.pth")
    words = ["transfer", str(path), "--data", str(tmp_path / "blind"), "--no-floor"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--stages", "knn", "--seeds", "0", "--out", str(tmp_path / "out")])
    assert end.value.code == 1
    found = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert "cannot be read as an image" in found["failed"]["a knn"]
    assert "pictures" not in found and not (tmp_path / "out" / "report" / "pictures").exists()
