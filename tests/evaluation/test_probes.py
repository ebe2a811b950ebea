"""Probes against plain ones: NumPy's kNN, Newton's optimum, single heads, attention by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from maskssl.errors import MaskSSLError
from maskssl.evaluation.attentive import AttentiveProbe, AttentiveSetting, train_attentive
from maskssl.evaluation.knn import swept_votes, unit_length
from maskssl.evaluation.linear_sweep import HeadSetting, train_heads
from maskssl.evaluation.logistic import TOLERANCE, fit_logistic
from maskssl.evaluation.rows import PatchRows, Rows, ranks_of
from maskssl.transfer.budgets import BUDGETS
from maskssl.transfer.class_measures import attentive_settings
from tests.evaluation.probe_rows import clusters, rows_of


def accuracy(scorer, rows: Rows) -> float:
    features, labels = rows.batch(torch.arange(len(rows)))
    return float((scorer(features).argmax(dim=1) == labels).float().mean())


# Rows


def test_rows_are_those_that_were_chosen_in_any_order(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(20, dtype=np.float16).reshape(10, 2))
    array = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = Rows(array, torch.arange(10), torch.tensor([7, 2, 9]), torch.device("cpu"))
    features, labels = rows.batch(torch.tensor([2, 0]))
    assert labels.tolist() == [9, 7]
    assert features.dtype == torch.float32 and features.tolist() == [[18, 19], [14, 15]]
    assert torch.cat([batch for batch, _ in rows.batches(2)])[:, 0].tolist() == [14, 4, 18]
    mean, std = rows.moments()
    assert mean.tolist() == [12, 13]
    torch.testing.assert_close(std, torch.full((2,), math.sqrt((4 + 64 + 36) / 3)).double())


def test_ranks_by_hand():
    scores = torch.tensor([[3.0, 1, 2], [1, 1, 0], [1, 1, 0], [math.nan, 5, 0]])
    assert ranks_of(scores, torch.tensor([2, 0, 1, 1])).tolist() == [1, 0, 1, 2]


# kNN


def test_swept_votes_are_numpys():
    train, test = clusters(60, 8, 4, 1, 2.0), clusters(17, 8, 4, 2, 2.0)
    settings = [(1, 0.07), (5, 0.07), (20, 0.07), (20, 0.5)]
    features, _ = test.batch(torch.arange(17))
    bank, labels = train.batch(torch.arange(60))
    found = swept_votes(features, unit_length(bank), labels, 4, settings)
    x, y = features.double().numpy(), bank.double().numpy()
    cosine = (x / np.linalg.norm(x, axis=1)[:, None]) @ (y / np.linalg.norm(y, axis=1)[:, None]).T
    for (k, temperature), scores in zip(settings, found, strict=True):
        for row, own in zip(cosine, scores.numpy(), strict=True):
            nearest = np.argsort(-row)[:k]
            votes = np.exp(row[nearest] / temperature)
            expected = np.bincount(labels.numpy()[nearest], votes, minlength=4)
            np.testing.assert_allclose(own / own.sum(), expected / expected.sum(), atol=1e-5)


def test_neighbours_of_several_classes_share_their_votes():
    """Patches hold shares of classes: a vote is divided by them."""
    train, test = clusters(60, 8, 4, 1, 2.0), clusters(17, 8, 4, 2, 2.0)
    (features, _), (bank, _) = test.batch(torch.arange(17)), train.batch(torch.arange(60))
    shares = torch.rand(60, 4, generator=torch.Generator().manual_seed(0))
    settings = [(3, 0.07), (20, 0.5)]
    unit = unit_length(bank)
    found = swept_votes(features, unit, shares, 4, settings)
    assert len(found) == 2
    cosine = unit_length(features).double() @ unit.double().T
    for (k, temperature), scores in zip(settings, found, strict=True):
        near = cosine.topk(k, dim=1)
        votes = ((near.values - near.values[:, :1]) / temperature).exp()
        expected = torch.einsum("bk,bkc->bc", votes, shares[near.indices].double())
        torch.testing.assert_close(scores.double(), expected, rtol=1e-4, atol=1e-5)


# Linear probes


SWEEP = [
    HeadSetting(feature, standardised, lr, decay)
    for feature in ("a", "b")
    for standardised in (False, True)
    for lr in (0.03, 0.3)
    for decay in (0.0, 0.1)
]


@pytest.fixture(scope="module")
def two_features():
    return {"a": clusters(90, 6, 3, 1), "b": clusters(90, 6, 3, 2, 3.0)}


def alone(rows: Rows, setting: HeadSetting, epochs: int, batch_size: int) -> nn.Linear:
    """The same probe by torch's own optimizer, scheduler and autograd."""
    x, labels = rows.batch(torch.arange(len(rows)))
    if setting.standardised:
        x = (x - x.mean(dim=0)) / x.std(dim=0, unbiased=False)
    head = nn.Linear(x.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    groups = [
        dict(params=[head.weight], weight_decay=setting.weight_decay),
        dict(params=[head.bias], weight_decay=0.0),
    ]
    optimizer = torch.optim.SGD(groups, lr=setting.lr * batch_size / 256, momentum=0.9)
    steps = epochs * math.ceil(len(x) / batch_size)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(7)
    for _ in range(epochs):
        for ids in torch.randperm(len(x), generator=generator).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(head(x[ids]), labels[ids]).backward()
            optimizer.step()
            scheduler.step()
    return head


def test_heads_that_are_trained_together_are_those_trained_alone(two_features):
    """By torch.optim.SGD and by a sweep of one; 90 images in batches of 40 leave a short one."""
    heads = train_heads(two_features, SWEEP, 3, epochs=5, batch_size=40, seed=7)
    for setting, head in zip(SWEEP, heads, strict=True):
        rows = two_features[setting.feature]
        x, _ = rows.batch(torch.arange(len(rows)))
        (single,) = train_heads(two_features, [setting], 3, epochs=5, batch_size=40, seed=7)
        torch.testing.assert_close(head.weight, single.weight, rtol=1e-4, atol=1e-5)
        plain = alone(rows, setting, 5, 40)
        z = (x - x.mean(dim=0)) / x.std(dim=0, unbiased=False) if setting.standardised else x
        torch.testing.assert_close(head(x), plain(z).detach(), rtol=1e-3, atol=1e-3)
    assert len({round(float(head.weight.abs().sum()), 4) for head in heads}) == len(SWEEP)


def test_the_seed_draws_the_order(two_features):
    one, same, other = (
        train_heads(two_features, SWEEP[:1], 3, 2, 40, seed)[0].weight for seed in (0, 0, 1)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


# Logistic regression


def newton(rows: Rows, num_classes: int, penalty: float) -> torch.Tensor:
    """Scores of the training images at the optimum, by full Newton steps on all parameters."""
    x, labels = rows.batch(torch.arange(len(rows)))
    z = (x.double() - x.double().mean(dim=0)) / x.double().std(dim=0, unbiased=False)
    z = torch.cat([z, torch.ones(len(z), 1, dtype=torch.float64)], dim=1)

    def loss(flat: torch.Tensor) -> torch.Tensor:
        point = flat.view(z.shape[1], num_classes)
        fit = F.cross_entropy(z @ point, labels, reduction="sum")
        return penalty * fit + point[:-1].square().sum() / 2 + 1e-12 * point[-1].square().sum()

    flat = torch.zeros(z.shape[1] * num_classes, dtype=torch.float64)
    for _ in range(30):
        gradient = torch.func.grad(loss)(flat)
        flat = flat - torch.linalg.lstsq(torch.func.hessian(loss)(flat), gradient).solution
    assert torch.func.grad(loss)(flat).abs().max() < 1e-8
    return z @ flat.view(-1, num_classes)


@pytest.mark.parametrize("penalty", [0.01, 1.0, 100.0])
def test_logistic_regression_is_at_newtons_optimum(penalty):
    rows = clusters(80, 5, 3, 1, 3.0)
    fit = fit_logistic(rows, 3, penalty)
    assert fit.converged and fit.gradient <= TOLERANCE
    x, _ = rows.batch(torch.arange(len(rows)))
    found, expected = fit.head(x).softmax(dim=1), newton(rows, 3, penalty).softmax(dim=1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)
    assert found.dtype == torch.float64


def test_a_start_at_the_optimum_of_another_c_leads_to_the_same():
    rows = clusters(80, 5, 3, 1, 3.0)
    cold = fit_logistic(rows, 3, 1.0)
    warm = fit_logistic(rows, 3, 1.0, start=fit_logistic(rows, 3, 0.1))
    torch.testing.assert_close(warm.weight, cold.weight, rtol=0, atol=1e-3)


# Attentive probe


def test_the_attentive_probe_is_attention_by_hand():
    probe, tokens = AttentiveProbe(12, 3, 5), torch.randn(4, 7, 12)
    nn.init.normal_(probe.attention.in_proj_bias)
    weight, bias = probe.attention.in_proj_weight, probe.attention.in_proj_bias
    query, key, value = (
        F.linear(source, weight[12 * i : 12 * i + 12], bias[12 * i : 12 * i + 12])
        for i, source in enumerate((probe.query.expand(4, 1, 12), tokens, tokens))
    )
    pooled = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        shares = (query[..., part] @ key[..., part].transpose(1, 2) / 2).softmax(dim=2)
        pooled.append(shares @ value[..., part])
    out = probe.attention.out_proj(torch.cat(pooled, dim=2))[:, 0]
    torch.testing.assert_close(probe(tokens), probe.head(probe.norm(out)))


def test_the_attentive_probe_finds_the_one_token_that_tells():
    """One of six tokens, at any place, is a class's; the mean of the tokens tells nothing."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    tokens = torch.randn(120, 6, 12, generator=generator)
    tokens[..., :4] = 0
    place = torch.randint(0, 6, (120,), generator=generator)
    tokens[torch.arange(120), place, 3] = 6.0  # marks the token
    tokens[torch.arange(120), place, :3] = 3.0 * F.one_hot(labels, 3)
    tokens[torch.arange(120), (place + 1) % 6, :3] = 3.0 * F.one_hot((labels + 1) % 3, 3).float()
    tokens[torch.arange(120), (place + 2) % 6, :3] = 3.0 * F.one_hot((labels + 2) % 3, 3).float()
    rows = rows_of(tokens, labels)
    probe = train_attentive(rows, 3, AttentiveSetting(0.05, 0.0, 40, 40, 3), seed=0)
    assert accuracy(probe, rows) > 0.95
    pooled = rows_of(tokens.mean(dim=1), labels)
    (linear,) = train_heads({"m": pooled}, [HeadSetting("m", True, 0.1, 0.0)], 3, 40, 40, 0)
    assert accuracy(linear, pooled) < 0.6
    again = train_attentive(rows, 3, AttentiveSetting(0.05, 0.0, 2, 40, 3), seed=0)
    same = train_attentive(rows, 3, AttentiveSetting(0.05, 0.0, 2, 40, 3), seed=0)
    assert torch.equal(again.query, same.query)


def test_the_attentive_probe_standardises_the_tokens():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(120) % 3
    tokens = torch.randn(120, 6, 12, generator=generator)
    tokens[..., :3] += 2.0 * F.one_hot(labels, 3)[:, None]
    moved = tokens * torch.linspace(0.5, 2.0, 12) + 100.0
    setting = AttentiveSetting(0.02, 0.0, 20, 40, 3)
    found = []
    for one in (tokens, moved):
        rows = rows_of(one, labels)
        probe = train_attentive(rows, 3, setting, seed=0)
        found.append(probe(rows.batch(torch.arange(120))[0]))
        assert accuracy(probe, rows) > 0.9
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-2)


def test_the_attentive_probe_s_learning_rate_falls_by_a_cosine():
    """From lr x batch / 256, one value a step: 2 epochs of 3 batches."""
    seen: list[float] = []
    rows = rows_of(torch.randn(10, 2, 6), torch.arange(10) % 2)
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, *_: seen.append(optimizer.param_groups[0]["lr"])
    )
    try:
        train_attentive(rows, 2, AttentiveSetting(0.64, 0.0, 2, 4, 3), seed=0)
    finally:
        hook.remove()
    assert seen == pytest.approx([0.01 * (1 + math.cos(math.pi * i / 6)) / 2 for i in range(6)])


@pytest.mark.parametrize(("count", "passes"), [(3000, 25), (100, 300), (25_000, 20)])
def test_few_images_are_passed_over_until_there_are_steps_enough(count, passes):
    features = SimpleNamespace(num_heads=3)
    settings = attentive_settings(features, BUDGETS["quick"], count)
    assert [setting["epochs"] for setting in settings] == [passes] * 2


# Chance


def test_shuffled_labels_give_chance():
    train, test = clusters(300, 8, 4, 1), clusters(400, 8, 4, 2)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(3))
    shuffled = Rows(train.array, train.labels[order], train.ids, train.device)
    bank, labels = shuffled.batch(torch.arange(300))
    setting = HeadSetting("x", True, 0.1, 0.0)
    scorers = {
        "knn": lambda x: swept_votes(x, unit_length(bank), labels, 4, [(20, 0.07)])[0],
        "linear": train_heads({"x": shuffled}, [setting], 4, 20, 50, 0)[0],
        "logistic": fit_logistic(shuffled, 4, 0.1).head,
    }
    for name, scorer in scorers.items():
        assert abs(accuracy(scorer, test) - 0.25) < 0.12, name
    (honest,) = train_heads({"x": train}, [setting], 4, 20, 50, 0)
    assert accuracy(honest, test) > 0.8


def test_a_bank_that_is_too_small_is_refused():
    with pytest.raises(MaskSSLError, match="k=20 neighbours"):
        swept_votes(torch.ones(1, 2), torch.ones(5, 2), torch.zeros(5).long(), 2, [(20, 0.07)])


def test_the_attentive_probe_is_trained_as_plain_torch_would():
    rows = rows_of(3 + torch.randn(10, 3, 6), torch.arange(10) % 2)
    state = torch.get_rng_state()
    probe = train_attentive(rows, 2, AttentiveSetting(3.2, 0.3, 2, 4, 3), seed=4)
    assert torch.equal(torch.get_rng_state(), state) and not probe.training
    torch.manual_seed(4)
    plain = AttentiveProbe(6, 3, 2, *rows.moments())
    optimizer = torch.optim.AdamW(plain.parameters(), weight_decay=0.3)
    generator, step = torch.Generator().manual_seed(4), 0
    for _ in range(2):
        for places in torch.randperm(10, generator=generator).split(4):
            for group in optimizer.param_groups:
                group["lr"] = 3.2 * 4 / 256 * (1 + math.cos(math.pi * step / 6)) / 2
            tokens, labels = rows.batch(places)
            optimizer.zero_grad()
            F.cross_entropy(plain(tokens), labels).backward()
            optimizer.step()
            step += 1
    torch.testing.assert_close(probe.state_dict(), plain.state_dict(), rtol=1e-4, atol=1e-5)


def test_patches_weigh_by_the_share_of_them_that_is_labelled():
    """Cross-entropy of each pixel that is labelled, by torch's own optimizer; some have none."""
    tokens, shares = torch.randn(6, 4, 5), torch.rand(6, 4, 3)
    shares *= torch.tensor([1.0, 0.4, 0.0, 0.8])[:, None] / shares.sum(dim=2, keepdim=True)
    rows = PatchRows(
        tokens.numpy(), torch.zeros(6).long(), torch.arange(6), torch.device("cpu"), shares.numpy()
    )
    setting = HeadSetting("x", False, 30.0, 0.1)
    (head,) = train_heads({"x": rows}, [setting], 3, epochs=2, batch_size=4, seed=7)
    plain = nn.Linear(5, 3)
    nn.init.zeros_(plain.weight)
    nn.init.zeros_(plain.bias)
    groups = [
        dict(params=[plain.weight], weight_decay=0.1), dict(params=[plain.bias], weight_decay=0.0)
    ]  # fmt: skip
    optimizer = torch.optim.SGD(groups, lr=30.0 * 4 / 256, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    generator = torch.Generator().manual_seed(7)
    for _ in range(2):
        for ids in torch.randperm(6, generator=generator).split(4):
            x, y = tokens[ids].flatten(0, 1), shares[ids].flatten(0, 1)
            optimizer.zero_grad()
            (-(y * plain(x).log_softmax(dim=1)).sum() / y.sum()).backward()
            optimizer.step()
            scheduler.step()
    x = tokens.flatten(0, 1)
    torch.testing.assert_close(head(x), plain(x).detach(), rtol=1e-3, atol=1e-4)
