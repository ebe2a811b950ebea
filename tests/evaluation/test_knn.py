"""k nearest neighbours: hand-made clusters, the formula by brute force, refusals, the loop."""

import math

import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmpretrain.evaluation import Accuracy
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from maskssl.engine.runner import knn_loop
from maskssl.engine.runner.knn_loop import KNNTestLoop
from maskssl.errors import MaskSSLError
from maskssl.evaluation.knn import knn_scores, nearest, unit_length
from maskssl.models.backbones.plain_vit import PlainViT

# Scores


def random(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_clusters_by_hand():
    """Two directions; the length of a feature does not matter."""
    bank = unit_length(torch.tensor([[1.0, 0], [5, 0.1], [0, 1], [0.1, 9], [-1, 0]]))
    labels = torch.tensor([0, 0, 1, 1, 2])
    queries = torch.tensor([[100.0, 1.0], [0.01, 0.02], [-3, 0.1]])
    scores = knn_scores(queries, bank, labels, num_classes=3, k=1)
    assert scores.argmax(dim=1).tolist() == [0, 1, 2]
    torch.testing.assert_close(scores, torch.eye(3))
    assert knn_scores(queries, bank, labels, num_classes=3, k=2)[0].tolist() == [1, 0, 0]


def test_votes_by_hand():
    """Similarities 1, 0.8 and 0.6 vote exp(s / T)."""
    bank = torch.tensor([[1.0, 0], [0.8, 0.6], [0.6, 0.8], [-1, 0]])
    labels = torch.tensor([1, 0, 0, 2])
    scores = knn_scores(torch.tensor([[2.0, 0]]), bank, labels, 3, k=3, temperature=0.5)
    one, zero = math.exp(2.0), math.exp(1.6) + math.exp(1.2)
    expected = torch.tensor([[zero, one, 0]]) / (zero + one)
    torch.testing.assert_close(scores, expected)
    # two further neighbours outvote a nearer one, unless the temperature is low
    assert scores.argmax() == 0
    assert knn_scores(torch.tensor([[2.0, 0]]), bank, labels, 3, k=3).argmax() == 1


@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_scores_are_the_formula_by_brute_force(k, temperature):
    features, bank = random(7, 6, 0), random(40, 6, 1)
    labels = torch.arange(40) % 4
    scores = knn_scores(features, unit_length(bank), labels, 5, k, temperature)
    for query, row in zip(features.double(), scores, strict=True):
        votes = [0.0] * 5
        similarities = [
            (float(query @ other / query.norm() / other.norm()), int(label))
            for other, label in zip(bank.double(), labels, strict=True)
        ]
        for similarity, label in sorted(similarities, reverse=True)[:k]:
            votes[label] += math.exp(similarity / temperature)
        expected = torch.tensor([vote / sum(votes) for vote in votes])
        torch.testing.assert_close(row, expected, rtol=1e-4, atol=1e-6)


def test_a_low_temperature_does_not_overflow():
    features, bank = random(3, 6, 0), random(10, 6, 1)
    scores = knn_scores(features, bank, torch.arange(10), 10, k=10, temperature=1e-3)
    assert scores.isfinite().all()
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(3))


def test_bf16_features_are_compared_in_fp32():
    features, bank = random(5, 64, 0).bfloat16(), unit_length(random(30, 64, 1).bfloat16())
    expected = knn_scores(features.float(), bank, torch.arange(30), 30, 3)
    torch.testing.assert_close(knn_scores(features, bank, torch.arange(30), 30, 3), expected)


@pytest.mark.parametrize("k", [6, 20, 0, -1])
def test_more_neighbours_than_the_bank_holds_are_refused(k):
    with pytest.raises(MaskSSLError, match=rf"k={k} neighbours .*bank of 5 features; lower k"):
        knn_scores(random(2, 4, 0), random(5, 4, 1), torch.zeros(5).long(), 1, k)


@pytest.mark.parametrize("held", [1, 100, 700, 1 << 25])
def test_a_bank_in_pieces_has_the_same_neighbours(held):
    features, bank = unit_length(random(7, 6, 0)), unit_length(random(101, 6, 1))
    similarity, places = nearest(features, bank, 5, held)
    expected, order = (features @ bank.T).sort(dim=1, descending=True)
    assert torch.equal(places, order[:, :5])
    torch.testing.assert_close(similarity, expected[:, :5])


def test_no_more_is_held_than_asked_for(monkeypatch):
    """The last piece of a bank may hold fewer features than there are neighbours to find."""
    held, matmul = [], torch.Tensor.__matmul__

    def counted(one, other):
        found = matmul(one, other)
        held.append(found.numel())
        return found

    monkeypatch.setattr(torch.Tensor, "__matmul__", counted)
    nearest(unit_length(random(4, 6, 0)), unit_length(random(1003, 6, 1)), 10, held=400)
    assert held == [400] * 10 + [12]


# The classifier and its loop


ARCH = dict(embed_dims=16, num_layers=1, num_heads=2)


def build(k: int = 3, **backbone):
    encoder = dict(type="PlainViT", arch=ARCH, img_size=16, patch_size=8, out_type="avg")
    torch.manual_seed(0)
    return MODELS.build(dict(type="KNNClassifier", backbone={**encoder, **backbone}, k=k))


def loader(count: int, seed: int, batch_size: int = 4) -> DataLoader:
    """Images of three classes that differ in their pattern, with some noise."""
    patterns = random(3, 3 * 16 * 16, 50).reshape(3, 3, 16, 16)
    noise = 0.2 * random(count, 3 * 16 * 16, seed).reshape(count, 3, 16, 16)
    samples = [
        dict(inputs=patterns[i % 3] + noise[i], data_samples=DataSample().set_gt_label(i % 3))
        for i in range(count)
    ]
    return DataLoader(samples, batch_size, collate_fn=pseudo_collate)


class Stub:
    """As much of a runner as a test loop asks for."""

    def __init__(self, model) -> None:
        self.model = model
        self.hooks: list[str] = []

    def build_dataloader(self, given):
        return given

    def call_hook(self, name: str, **_) -> None:
        self.hooks.append(name)


def run_loop(model, bank, queries) -> dict[str, float]:
    evaluator = Evaluator([Accuracy(topk=(1,))])
    return KNNTestLoop(Stub(model), queries, evaluator, bank).run()


def test_the_loop_embeds_the_bank_and_scores_the_test_images():
    model, bank, queries = build(), loader(18, 1), loader(7, 2)
    metrics = run_loop(model, bank, queries)
    assert metrics["accuracy/top1"] == 100
    encoder = model.backbone.eval()
    with torch.no_grad():
        found = [encoder(torch.stack(batch["inputs"]))[-1] for batch in bank]
        expected = torch.nn.functional.normalize(torch.cat(found), dim=1)
    torch.testing.assert_close(model.bank, expected)
    assert model.bank_labels.tolist() == [0, 1, 2] * 6


def test_neighbours_vote_at_the_classifiers_temperature():
    encoder = dict(type="PlainViT", arch=ARCH, img_size=16, patch_size=8, out_type="avg")
    model = MODELS.build(dict(type="KNNClassifier", backbone=encoder, k=5, temperature=5.0))
    bank, labels = unit_length(random(9, 16, 0)), torch.arange(9) % 3
    model.fill_bank(bank, labels)
    image = random(3, 16 * 16, 1).reshape(1, 3, 16, 16)
    (sample,) = model(image, [DataSample()], mode="predict")
    expected = knn_scores(model(image), bank, labels, 3, k=5, temperature=5.0)
    torch.testing.assert_close(sample.pred_score, expected[0])


def test_every_class_of_the_bank_has_a_score():
    model = build(k=6)
    run_loop(model, loader(18, 1), loader(3, 2))
    (sample,) = model(loader(1, 3).dataset[0]["inputs"][None], [DataSample()], mode="predict")
    assert sample.pred_score.shape == (3,)
    assert sample.pred_label.item() == sample.pred_score.argmax().item() == 0
    expected = knn_scores(
        model(loader(1, 3).dataset[0]["inputs"][None]), model.bank, model.bank_labels, 3, 6
    )
    torch.testing.assert_close(sample.pred_score, expected[0])


def test_twenty_neighbours_vote_at_temperature_007_by_default():
    model = MODELS.build(
        dict(type="KNNClassifier", backbone=dict(type="PlainViT", arch=ARCH, out_type="avg"))
    )
    assert (model.k, model.temperature) == (20, 0.07)
    features, bank = random(3, 6, 0), random(40, 6, 1)
    labels = torch.arange(40) % 4
    expected = knn_scores(features, bank, labels, 4, k=20, temperature=0.07)
    torch.testing.assert_close(knn_scores(features, bank, labels, 4), expected)


def test_wrong_labels_in_the_bank_are_believed():
    """The score comes from the bank: with its labels rotated every answer is wrong."""
    bank = loader(18, 1)
    for sample in bank.dataset:
        sample["data_samples"].set_gt_label((int(sample["data_samples"].gt_label) + 1) % 3)
    assert run_loop(build(), bank, loader(7, 2))["accuracy/top1"] == 0


def test_the_loop_loads_the_pretrained_weights(tmp_path):
    torch.manual_seed(5)
    arch = dict(embed_dims=16, num_layers=1, num_heads=2)
    encoder = PlainViT(arch=arch, img_size=16, patch_size=8)
    torch.save(encoder.state_dict(), tmp_path / "encoder.pth")
    init = dict(type="Pretrained", checkpoint=str(tmp_path / "encoder.pth"))
    model = build(init_cfg=init)
    run_loop(model, loader(9, 1), loader(3, 2))
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(model.backbone.state_dict()[name], value)


@pytest.mark.parametrize("rows", [1, 2, 100])
@pytest.mark.parametrize(("ranks", "size"), [(4, 9), (2, 6), (3, 4)])
def test_the_shares_of_all_ranks_make_the_bank_in_the_order_of_the_set(
    ranks, size, rows, monkeypatch
):
    """A distributed sampler deals the images out in turn and pads the end from the start."""
    longest = math.ceil(size / ranks)
    dealt = [[(rank + ranks * i) % size for i in range(longest)] for rank in range(ranks)]
    shares = [torch.tensor(ids)[:, None].repeat(1, 2) for ids in dealt]
    sent = []

    def all_gather(piece):
        start = sum(sent)
        sent.append(len(piece))
        assert torch.equal(piece, shares[1][start : start + len(piece)])
        return [share[start : start + len(piece)] for share in shares]

    monkeypatch.setattr(knn_loop, "get_world_size", lambda: ranks)
    monkeypatch.setattr(knn_loop, "all_gather", all_gather)
    joined = knn_loop.gathered(shares[1], size, rows)
    assert joined.tolist() == [[number, number] for number in range(size)]
    assert max(sent) <= rows


def test_a_bank_smaller_than_k_is_refused_in_the_loop():
    with pytest.raises(MaskSSLError, match="k=20 neighbours cannot be taken from a bank of 9"):
        run_loop(build(k=20), loader(9, 1), loader(3, 2))


def test_a_prediction_without_a_bank_is_refused():
    model = build().eval()
    with pytest.raises(MaskSSLError, match=r"the bank is empty.*KNNTestLoop"):
        model(torch.zeros(1, 3, 16, 16), [DataSample()], mode="predict")
    with pytest.raises(MaskSSLError, match="mode='loss': KNNClassifier knows"):
        model(torch.zeros(1, 3, 16, 16), [DataSample()], mode="loss")


def test_features_are_compared_in_fp32_under_autocast_too():
    """As in a test with fp16=True."""
    features, bank = unit_length(random(7, 64, 0)), unit_length(random(90, 64, 1))
    expected, places = nearest(features, bank, 5)
    scores = knn_scores(features, bank, torch.arange(90) % 3, 3, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        similarity, found = nearest(features, bank, 5)
        voted = knn_scores(features, bank, torch.arange(90) % 3, 3, 5)
    torch.testing.assert_close(similarity, expected, rtol=0, atol=1e-6)
    assert torch.equal(found, places)
    torch.testing.assert_close(voted, scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("place", ["bank", "images"])
def test_features_that_are_not_finite_vote_for_nobody(place):
    """NaN would be the nearest of all, and argmax takes NaN for class 0."""
    bank, images = loader(18, 1), loader(3, 2)
    dict(bank=bank, images=images)[place].dataset[1]["inputs"][0, 0, 0] = math.nan
    with pytest.raises(MaskSSLError, match=r"1 of \d+ features of the .* are not finite"):
        run_loop(build(), bank, images)
