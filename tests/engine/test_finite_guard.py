"""Steps that are not finite: skipped whole, counted, and looked into by --debug-step."""

import copy
import logging
import math

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from mmengine.runner import Runner as StockRunner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import DataLoader

from maskssl.checkpoints.reading import read_checkpoint
from maskssl.engine.finite_steps.debug_step import DebugStepHook
from maskssl.engine.finite_steps.guard import GuardedOptimWrapper, Verdict, guarded
from maskssl.engine.finite_steps.hook import FiniteStepHook, NonFiniteError
from maskssl.engine.hooks.momentum import MomentumUpdateHook
from maskssl.engine.optimizers.autocast import AutocastOptimWrapper
from maskssl.engine.runner.runner import MaskSSLRunner
from maskssl.errors import MaskSSLError
from maskssl.masking import block_mask

ARCH = dict(embed_dims=16, num_layers=2, num_heads=2)
BOOTMAE = dict(
    type="BootMAE",
    backbone=dict(type="PlainViT", arch=ARCH, img_size=16, patch_size=4, drop_path_rate=0.5),
    neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=8, num_layers=1)),
    head=dict(type="BootMAEHead"),
    target_generator=dict(
        type="MomentumEncoder",
        schedule=dict(type="bootmae", start=0.5, end=0.9, ramp_epochs=2, dynamic=False),
    ),
)


@ROOT_MODELS.register_module()
class DropoutNet(BaseModel):
    """A loss that depends on dropout, BatchNorm's statistics, and the input's scale."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = nn.BatchNorm1d(4)
        self.linear = nn.Linear(4, 4)

    def forward(self, inputs, data_samples=None, mode="loss"):
        out = self.linear(nn.functional.dropout(self.norm(inputs), 0.5))
        # the root's slope at 0 is infinite: a finite loss with a gradient that is not
        masked = out * (inputs.sum() != 0)
        return dict(loss_square=(out**2).mean(), loss_root=masked.abs().sum(1).sqrt().mean())


class Watch(Hook):
    """States after every batch, behind all other hooks."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.models: list[dict] = []
        self.moments: list[dict] = []
        self.should_update: list[bool] = []
        self.gradients_left = 0

    def before_train(self, runner) -> None:
        self.models.append(copy.deepcopy(runner.model.state_dict()))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.before_train(runner)
        self.moments.append(copy.deepcopy(runner.optim_wrapper.state_dict()["state"]))
        self.should_update.append(runner.optim_wrapper.should_update())
        self.gradients_left += any(p.grad is not None for p in runner.model.parameters())


class Break(Hook):
    """An infinite loss weight in some iterations, counted from 0, as a broken schedule has."""

    def __init__(self, *iterations: int) -> None:
        self.iterations = iterations

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        broken = runner.iter in self.iterations
        runner.model.head.current_feature_weight = math.inf if broken else 1.0


def pretraining_samples(count: int) -> list[dict]:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(count):
        sample = DataSample()
        sample.set_field(block_mask((4, 4), generator=generator).numpy(), "mask")
        image = torch.randn(3, 16, 16, generator=generator)
        samples.append(dict(inputs=image, data_samples=sample))
    return samples


def vectors(count: int, bad: tuple[int, ...] = (), value: float = 0.0) -> list[dict]:
    """Two samples a batch; bad batches hold one value."""
    numbers = torch.randn(2 * count, 4, generator=torch.Generator().manual_seed(0))
    for batch in bad:
        numbers[2 * batch : 2 * batch + 2] = value
    return [dict(inputs=row) for row in numbers]


@pytest.fixture
def train(tmp_path):
    scopes = dict(DefaultScope._instance_dict)
    runs = []

    def run(
        model,
        samples,
        hooks,
        every=1,
        wrapper=OptimWrapper,
        clip=None,
        epochs=1,
        kind=MaskSSLRunner,
        **options,
    ):
        cfg = Config(
            dict(
                model=model,
                optim_wrapper=dict(type=wrapper.__name__, accumulative_counts=every),
                default_scope="mmpretrain",
            )
        )
        torch.manual_seed(3)
        built = MODELS.build(copy.deepcopy(model))
        trained = [p for p in built.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-2)
        watch = Watch()
        runner = kind(
            built,
            work_dir=str(tmp_path / "run"),
            train_dataloader=DataLoader(samples, batch_size=2, collate_fn=default_collate),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=wrapper(
                optimizer=optimizer, accumulative_counts=every, clip_grad=copy.deepcopy(clip)
            ),
            custom_hooks=[*hooks, watch],
            experiment_name=f"{tmp_path.name}-{len(runs)}",
            log_level="ERROR",
            cfg=cfg,
            randomness=dict(seed=3),
            **{"default_hooks": dict(checkpoint=None), "default_scope": "mmpretrain", **options},
        )
        runs.append(runner)
        runner.optim_wrapper.message_hub = runner.message_hub  # it was built before the runner
        watch.runner = runner
        watch.stopped = watch.ended = None
        watch.said = said = []
        handler = logging.Handler(logging.WARNING)
        handler.emit = lambda record: said.append(record.getMessage())
        runner.logger.addHandler(handler)
        runner.logger.setLevel("WARNING")
        try:
            runner.train()
        except NonFiniteError as error:
            watch.stopped = str(error)
        except SystemExit as end:
            watch.ended = end.code
        return watch

    yield run
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(scopes)


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def logged(watch, key: str):
    return watch.runner.message_hub.get_scalar(key)


@pytest.mark.parametrize("wrapper", [OptimWrapper, AutocastOptimWrapper])
@pytest.mark.parametrize(
    ("every", "broken", "moves"),
    # which of six batches move the weights; the last ones of a run make a step too
    [(1, (2,), [1, 1, 0, 1, 1, 1]), (2, (2,), [0, 1, 0, 0, 0, 1]), (4, (5,), [0, 0, 0, 1, 0, 0])],
)
@pytest.mark.parametrize("kind", [MaskSSLRunner, StockRunner])
def test_a_broken_step_changes_nothing_and_the_run_goes_on(
    every, broken, moves, wrapper, kind, train
):
    hooks = [MomentumUpdateHook(), FiniteStepHook(), Break(*broken)]
    watch = train(BOOTMAE, pretraining_samples(12), hooks, every=every, wrapper=wrapper, kind=kind)

    for part in ("backbone.", "target_generator.encoder."):  # the teacher as the student
        states = [{k: v for k, v in s.items() if k.startswith(part)} for s in watch.models]
        assert states[0]
        moved = [not same(a, b) for a, b in zip(states, states[1:], strict=False)]
        assert moved == list(map(bool, moves)), part
    assert watch.should_update == list(map(bool, moves))
    assert [not same(a, b) for a, b in zip([{}, *watch.moments], watch.moments, strict=False)] == (
        list(map(bool, moves))
    )
    assert all(v.isfinite().all() for v in watch.models[-1].values())
    assert watch.stopped is None
    assert logged(watch, "train/skipped_steps").current() == 1
    if every == 1:
        assert watch.gradients_left == 0


def test_without_hook_and_guard_the_same_run_is_lost(train):
    hooks = [MomentumUpdateHook(), Break(2)]
    watch = train(BOOTMAE, pretraining_samples(12), hooks, kind=StockRunner)
    assert not all(v.isfinite().all() for v in watch.models[-1].values())


@pytest.mark.parametrize("clip", [None, dict(max_norm=0.1), dict(max_norm=0.1, norm_type=1)])
def test_a_finite_run_is_the_one_without_the_hook(clip, train):
    hooks = [MomentumUpdateHook()]
    plain = train(BOOTMAE, pretraining_samples(12), hooks, clip=clip, kind=StockRunner)
    hooks = [*hooks, FiniteStepHook()]
    watched = train(BOOTMAE, pretraining_samples(12), hooks, clip=clip, kind=StockRunner)
    assert len(watched.models) == 7
    assert all(same(a, b) for a, b in zip(plain.models, watched.models, strict=True))
    norms = logged(watched, "train/grad_norm").data[0]
    assert len(norms) == 6 and (norms > 0).all()
    if clip:  # mmengine logs it then, and only then
        np.testing.assert_array_equal(norms, logged(plain, "train/grad_norm").data[0])
    else:
        assert "train/grad_norm" not in plain.runner.message_hub.log_scalars
    assert logged(watched, "train/skipped_steps").current() == 0


def wrapped(*parameters, **options) -> GuardedOptimWrapper:
    return guarded(OptimWrapper(torch.optim.SGD(parameters, lr=0.1), **options))


@pytest.mark.parametrize("clip", [None, dict(max_norm=1e-3)])
def test_the_norm_is_that_of_all_gradients_before_clipping(clip):
    model = nn.Linear(3, 2)
    wrapper = wrapped(*model.parameters(), clip_grad=clip)
    loss = (model(torch.ones(4, 3)) ** 2).sum()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(
        loss, list(model.parameters()), retain_graph=True
    )]).norm()  # fmt: skip
    wrapper.update_params(loss)
    assert wrapper.verdict == Verdict(True, pytest.approx(float(expected), rel=1e-6), 0)
    assert wrapper.logs_norm == bool(clip)


def test_a_loss_that_is_not_finite_is_enough():
    """The gradient of max(x, 0) + constant does not see the constant."""
    weight = nn.Parameter(torch.tensor(1.0))
    wrapper = wrapped(weight)
    wrapper.update_params(weight + torch.tensor(math.inf))
    assert weight == 1.0 and weight.grad is None
    assert wrapper.verdict == Verdict(False, 1.0, 1)
    assert not wrapper.should_update()
    wrapper.update_params(weight * 2)
    assert weight.item() == pytest.approx(0.8)
    assert wrapper.verdict == Verdict(True, 2.0, 0) and wrapper.should_update()
    wrapper.backward(weight * math.nan)
    assert wrapper.verdict is None
    wrapper.step()  # without update_params, which zeroes by itself
    assert weight.grad is None


def test_a_finite_loss_behind_a_bad_one_does_not_save_the_step():
    weight = nn.Parameter(torch.tensor(1.0))
    wrapper = wrapped(weight, accumulative_counts=2)
    wrapper.update_params(weight + torch.tensor(math.inf))
    wrapper.update_params(weight * 2)
    assert weight == 1.0 and not wrapper.verdict.finite


def test_a_guard_answers_as_what_it_guards():
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW([dict(params=[p]) for p in model.parameters()], lr=0.1)
    inner = OptimWrapper(optimizer, accumulative_counts=3)
    guard = guarded(inner)
    assert guarded(guard) is guard
    assert guard.optimizer is optimizer and guard.inner_count == inner.inner_count == 0
    assert guard.param_groups[-1] is inner.base_param_settings  # schedulers change it
    assert guard.get_lr() == inner.get_lr()
    guard.initialize_count_status(model, 4, 9)
    assert (guard.inner_count, guard.should_sync(), guard.should_update()) == (4, False, False)
    guard.update_params(model(torch.ones(3)).sum())
    assert inner.inner_count == 5
    state = guard.state_dict()
    state["base_param_settings"]["lr"] = 0.7
    guard.load_state_dict(state)
    assert inner.base_param_settings["lr"] == 0.7
    assert same(copy.deepcopy(guard).state_dict(), inner.state_dict())


def test_wrappers_that_step_in_their_own_way_are_left_alone_and_it_is_said(caplog, monkeypatch):
    from maskssl.engine.finite_steps import guard

    said = []
    monkeypatch.setattr(guard, "print_log", lambda text, **_: said.append(text))
    several = OptimWrapperDict(one=OptimWrapper(torch.optim.SGD([nn.Parameter(torch.ones(1))])))
    assert guarded(several) is several
    assert said[0].startswith("steps of OptimWrapperDict are not guarded")


class Scaling(OptimWrapper):
    """What mmengine's AmpOptimWrapper does, which runs on a GPU alone."""

    def __init__(self, *args, scale: float, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=scale)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward(**kwargs)
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer, **kwargs)
        self.loss_scaler.update()


def test_too_large_a_loss_scale_is_lowered_and_makes_no_row():
    weight = nn.Parameter(torch.tensor(1.0))
    inner = Scaling(torch.optim.SGD([weight], lr=0.1), scale=2.0**127)
    wrapper = guarded(inner)
    verdicts = []
    for _ in range(4):
        wrapper.update_params(weight * 8)  # 8 * 2**127 is infinite in fp32
        verdicts.append(wrapper.verdict)
    assert [v.finite for v in verdicts] == [False, False, False, True]
    assert [v.overflow for v in verdicts] == [True, True, True, False]
    assert [v.scale for v in verdicts] == [2.0**127, 2.0**126, 2.0**125, 2.0**124]
    assert verdicts[-1].grad_norm == pytest.approx(8.0)
    assert weight.item() == pytest.approx(0.2)

    wrapper.update_params(weight * math.nan)
    assert not wrapper.verdict.finite and not wrapper.verdict.overflow
    assert inner.loss_scaler.get_scale() == 2.0**124  # it is not to blame
    inner.loss_scaler.update(1.0)
    wrapper.update_params(
        (weight - weight.detach()).sqrt()
    )  # an infinite gradient that no scale mends
    assert not wrapper.verdict.finite and not wrapper.verdict.overflow


def test_statistics_of_batch_norm_are_those_of_before(train):
    samples = vectors(4, bad=(1,), value=math.nan)
    watch = train(dict(type="DropoutNet"), samples, [FiniteStepHook()], default_scope="mmengine")
    assert not same(watch.models[0], watch.models[1])
    assert same(watch.models[1], watch.models[2])
    assert watch.models[-1]["norm.num_batches_tracked"] == 3
    assert watch.models[-1]["norm.running_mean"].isfinite().all()


def test_counting_in_a_row_starts_anew_after_a_good_step(train):
    hooks = [MomentumUpdateHook(), FiniteStepHook(max_in_a_row=2), Break(0, 2, 4)]
    watch = train(BOOTMAE, pretraining_samples(12), hooks)
    assert watch.stopped is None
    assert logged(watch, "train/skipped_steps").data[0].tolist() == [1, 1, 2, 2, 3, 3]
    assert watch.runner.message_hub.get_info("skipped_steps_in_a_row") == 0


def test_a_resumed_run_counts_on(train, tmp_path):
    """Two skipped before the checkpoint and one after make three in a row."""
    saving = dict(checkpoint=dict(type="CheckpointHook", interval=1, by_epoch=True))
    broken = Break(4, 5, 6)
    first = train(
        BOOTMAE,
        pretraining_samples(12),
        [MomentumUpdateHook(), FiniteStepHook(max_in_a_row=3), broken],
        default_hooks=saving,
    )
    assert first.stopped is None
    second = train(
        BOOTMAE,
        pretraining_samples(12),
        [MomentumUpdateHook(), FiniteStepHook(max_in_a_row=3), broken],
        epochs=2,
        resume=True,
        load_from=str(tmp_path / "run" / "epoch_1.pth"),
    )
    assert second.stopped.startswith("3 steps in a row")
    assert logged(second, "train/skipped_steps").current() == 3


def debug(train, tmp_path, model, samples, hooks, path, step=None, **options) -> str:
    """The report of --debug-step, after which no weight has moved."""
    watch = train(
        model,
        samples,
        [FiniteStepHook(max_in_a_row=3), DebugStepHook(step), *hooks],
        resume=True,
        load_from=str(path),
        **options,
    )
    assert watch.ended == 0 and watch.stopped is None
    if step is None:
        weights = dict(watch.runner.model.named_parameters())
        assert all(torch.equal(watch.models[0][name], weight) for name, weight in weights.items())
    assert not watch.runner.optim_wrapper.should_update()
    (report,) = [text for text in watch.said if "rank 0\n" in text]
    return report


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("wrapper", [OptimWrapper, AutocastOptimWrapper])
def test_too_many_stop_the_run_and_any_step_of_the_row_is_looked_into(
    every, wrapper, train, tmp_path
):
    broken = [MomentumUpdateHook(), Break(*range(every, 50))]
    losses = []

    class Losses(Hook):
        priority = "HIGHEST"  # the last step ends the run behind it

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            losses.append({name: float(value) for name, value in outputs.items()})

    watch = train(
        BOOTMAE,
        pretraining_samples(16),
        [*broken, FiniteStepHook(max_in_a_row=3), Losses()],
        every=every,
        wrapper=wrapper,
    )
    step = 4 * every
    path = tmp_path / "run" / "non_finite" / f"iter_{3 * every}.pth"
    assert f"3 steps in a row had a loss or gradient that is not finite, step {step}" in (
        watch.stopped
    )
    assert f"--resume {path} --debug-step" in watch.stopped
    assert sorted(p.name for p in path.parent.glob("*.pth")) == [path.name]

    # the state before the last step of the row is that before its first
    saved = read_checkpoint(path)
    assert (saved["meta"]["iter"], saved["meta"]["epoch"]) == (3 * every, 0)
    assert same(dict(saved["state_dict"]), dict(watch.models[every]))

    options = dict(every=every, wrapper=wrapper)
    for given, first in ((None, every), (step, 3 * every), (3 * every, 2 * every)):
        report = debug(
            train, tmp_path, BOOTMAE, pretraining_samples(16), broken, path, given, **options
        )
        assert report.startswith(f"step {first + every}, rank 0")
        for number in range(every):
            for name, value in losses[first + number].items():
                finite = "" if math.isfinite(value) else " NOT FINITE"
                assert f"forward {number + 1}: {name} {value!r}{finite}\n" in report
        assert "weights not finite before the step: 0\n" in report
        assert "gradients not finite: 0" not in report
    assert sorted(p.name for p in path.parent.glob("*.pth")) == [path.name]

    early = [FiniteStepHook(), DebugStepHook(every), *broken]
    with pytest.raises(MaskSSLError, match=rf"--debug-step {every}: the checkpoint stands behind"):
        train(BOOTMAE, pretraining_samples(16), early, resume=True, load_from=str(path), **options)


def stopped_run(train, samples, hooks=(), bad=3):
    hooks = [FiniteStepHook(max_in_a_row=bad), *hooks]
    return train(dict(type="DropoutNet"), samples, hooks, default_scope="mmengine")


def report_of(train, tmp_path, samples, path="non_finite/iter_2.pth", **options):
    path = tmp_path / "run" / path
    model = dict(type="DropoutNet")
    return debug(train, tmp_path, model, samples, [], path, default_scope="mmengine", **options)


def test_a_gradient_alone_is_found_in_the_backward(train, tmp_path):
    samples = vectors(5, bad=(1, 2), value=0.0)
    assert stopped_run(train, samples, bad=2).stopped.startswith("2 steps in a row")
    report = report_of(train, tmp_path, samples)
    assert report.startswith("step 2, rank 0") and "NOT FINITE" not in report
    assert "first module with an output that is not finite: none" in report
    assert "returned nan values" in report and "loss_root" in report


def test_a_bad_input_is_told_from_a_bad_layer(train, tmp_path):
    samples = vectors(3, bad=(1, 2), value=math.nan)
    stopped_run(train, samples, bad=2)
    report = report_of(train, tmp_path, samples)
    assert "first module with an output that is not finite: data_preprocessor" in report
    names = ["norm.weight", "norm.bias", "linear.weight", "linear.bias"]
    assert "gradients not finite: 4\n  " + "\n  ".join(names) in report


def test_a_later_step_is_trained_up_to(train, tmp_path):
    samples = vectors(6, bad=(4,), value=math.nan)
    saving = dict(checkpoint=dict(type="CheckpointHook", interval=2, by_epoch=False))
    train(dict(type="DropoutNet"), samples, [FiniteStepHook()], default_scope="mmengine",
          default_hooks=saving)  # fmt: skip
    report = report_of(train, tmp_path, samples, "iter_2.pth", step=5)
    assert report.startswith("step 5, rank 0")
    assert "first module with an output that is not finite: data_preprocessor" in report


def test_weights_that_are_not_finite_are_told(train):
    class Damage(Hook):
        def before_train(self, runner):
            runner.model.linear.bias.data[0] = math.nan

    watch = stopped_run(train, vectors(2), [Damage()], bad=2)
    assert "1 weights are not finite, linear.bias first" in watch.stopped


def test_a_state_that_cannot_be_saved_does_not_hide_why_the_run_stops(train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "non_finite").write_text("in the way")
    watch = stopped_run(train, vectors(2, (0, 1), math.nan), bad=2)
    assert watch.stopped.startswith("2 steps in a row")
    assert any("the state before this step could not be saved" in text for text in watch.said)
    assert "--resume --debug-step 2" in watch.stopped


def test_ranks_decide_together_and_the_broken_one_writes(tmp_path, run_warm):
    done = run_warm(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("tests/engine/broken_rank.py", tmp_path),
        env=dict(OMP_NUM_THREADS="1", PYTHONPATH="."),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    told = [(tmp_path / f"told_{rank}.txt").read_text() for rank in (0, 1)]
    assert all("2 steps in a row" in text and "step 3 was the last" in text for text in told)
    path = tmp_path / "non_finite" / "iter_2.pth"
    assert all(f"--resume {path} --debug-step" in text for text in told)
    assert read_checkpoint(path)["meta"]["iter"] == 2
    report = (tmp_path / "report.txt").read_text()  # the first process tells of both
    one, other = report.partition("step 2, rank 0\n")[2].split("step 2, rank 1\n")
    assert "forward 1: loss " in one and "NOT FINITE" not in one
    assert "loss inf NOT FINITE" in other
    weights = [torch.load(tmp_path / f"weights_{rank}.pt") for rank in (0, 1)]
    assert same(dict(weights[0]), dict(weights[1]))
    assert all((tmp_path / f"shards_{rank}.txt").exists() for rank in (0, 1))  # FSDP2 as well


def test_bad_arguments_are_refused():
    with pytest.raises(MaskSSLError, match="max_in_a_row=1: give 2 or more"):
        FiniteStepHook(max_in_a_row=1)
