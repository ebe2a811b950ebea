"""Steps that are not finite: skipped whole, counted, recorded and replayed."""

import copy
import math

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import DataLoader

from maskssl.engine.finite_steps.guard import StepGuard
from maskssl.engine.finite_steps.hook import FiniteStepHook, NonFiniteError
from maskssl.engine.finite_steps.plain_data import from_plain, to_plain
from maskssl.engine.finite_steps.record import read_record
from maskssl.engine.finite_steps.replay import replay
from maskssl.engine.hooks.momentum import MomentumUpdateHook
from maskssl.engine.optimizers.autocast import AutocastOptimWrapper
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

    def run(model, samples, hooks, every=1, wrapper=OptimWrapper, clip=None, epochs=1, **options):
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
        runner = Runner(
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
        watch.stopped = None
        try:
            runner.train()
        except NonFiniteError as error:
            watch.stopped = str(error)
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
def test_a_broken_step_changes_nothing_and_the_run_goes_on(every, broken, moves, wrapper, train):
    hooks = [MomentumUpdateHook(), FiniteStepHook(), Break(*broken)]
    watch = train(BOOTMAE, pretraining_samples(12), hooks, every=every, wrapper=wrapper)

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


def test_without_the_hook_the_same_run_is_lost(train):
    watch = train(BOOTMAE, pretraining_samples(12), [MomentumUpdateHook(), Break(2)])
    assert not all(v.isfinite().all() for v in watch.models[-1].values())


@pytest.mark.parametrize("clip", [None, dict(max_norm=0.1), dict(max_norm=0.1, norm_type=1)])
def test_a_finite_run_is_the_one_without_the_hook(clip, train):
    plain = train(BOOTMAE, pretraining_samples(12), [MomentumUpdateHook()], clip=clip)
    guarded = train(
        BOOTMAE, pretraining_samples(12), [MomentumUpdateHook(), FiniteStepHook()], clip=clip
    )
    assert len(guarded.models) == 7
    assert all(same(a, b) for a, b in zip(plain.models, guarded.models, strict=True))
    norms = logged(guarded, "train/grad_norm").data[0]
    assert len(norms) == 6 and (norms > 0).all()
    if clip:  # mmengine logs it then, and only then
        np.testing.assert_array_equal(norms, logged(plain, "train/grad_norm").data[0])
    else:
        assert "train/grad_norm" not in plain.runner.message_hub.log_scalars
    assert logged(guarded, "train/skipped_steps").current() == 0


def test_the_logged_norm_is_that_of_all_gradients():
    model = nn.Linear(3, 2)
    seen = []
    guard = StepGuard(OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)), seen.append)
    loss = (model(torch.ones(4, 3)) ** 2).sum()
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(
        loss, list(model.parameters()), retain_graph=True
    )]).norm()  # fmt: skip
    guard.wrapper.update_params(loss)
    assert seen == [(True, pytest.approx(float(expected), rel=1e-6), True)]
    assert guard.wrapper.step.__self__ is guard
    guard.remove()
    assert guard.wrapper.step.__func__ is OptimWrapper.step


def test_a_loss_that_is_not_finite_is_enough():
    """The gradient of max(x, 0) + constant does not see the constant."""
    weight = nn.Parameter(torch.tensor(1.0))
    seen = []
    guard = StepGuard(OptimWrapper(torch.optim.SGD([weight], lr=0.1)), seen.append)
    guard.wrapper.update_params(weight + torch.tensor(math.inf))
    assert weight == 1.0 and weight.grad is None
    assert seen == [(False, 1.0, False)] and guard.wrapper.step_was_skipped
    assert not guard.wrapper.should_update()
    guard.wrapper.update_params(weight * 2)
    assert weight.item() == pytest.approx(0.8)
    assert seen[1:] == [(True, 2.0, True)] and not guard.wrapper.step_was_skipped
    guard.wrapper.backward(weight * math.nan)
    guard.wrapper.step()  # without update_params, which zeroes by itself
    assert weight.grad is None


def test_statistics_of_batch_norm_are_those_of_before(train):
    samples = vectors(4, bad=(1,), value=math.nan)
    watch = train(dict(type="DropoutNet"), samples, [FiniteStepHook()], default_scope="mmengine")
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


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("wrapper", [OptimWrapper, AutocastOptimWrapper])
def test_too_many_stop_the_run_and_the_record_replays_exactly(
    every, wrapper, train, tmp_path, run_python
):
    hooks = [MomentumUpdateHook(), FiniteStepHook(max_in_a_row=3), Break(*range(every, 50))]
    watch = train(BOOTMAE, pretraining_samples(16), hooks, every=every, wrapper=wrapper)
    step = 4 * every
    path = tmp_path / "run" / "non_finite" / f"step_{step}.pt"
    assert f"3 steps in a row had a loss or gradient that is not finite, step {step}" in (
        watch.stopped
    )
    assert f"tools/replay_step.py {path}" in watch.stopped

    record = read_record(path)
    assert len(record["forwards"]) == every
    assert same(record["state_dict"], dict(watch.models[every]))
    losses = [forward["losses"] for forward in record["forwards"]]
    assert all(math.isfinite(one["loss_pixel"]) and math.isinf(one["loss"]) for one in losses)
    assert record["bad_gradients"] and record["bad_weights"] == []
    masks = [s.mask for s in from_plain(record["forwards"][-1]["batch"])["data_samples"]]
    assert all(mask.shape == (4, 4) and 0 < mask.sum() < 16 for mask in masks)

    again = replay(record)
    assert again.exact and again.losses == losses
    assert again.bad_gradients == record["bad_gradients"]
    record["forwards"][0]["random"]["torch"] = torch.Generator().manual_seed(9).get_state()
    assert not replay(record).exact  # stochastic depth has drawn other blocks

    if wrapper is OptimWrapper and every == 1:
        done = run_python("tools/replay_step.py", path)
        assert done.returncode == 0, done.stdout + done.stderr
        pixel = losses[0]["loss_pixel"]
        assert f"loss_pixel {pixel!r} (recorded {pixel!r}) finite" in done.stdout
        assert "loss_feature inf (recorded inf) NOT FINITE" in done.stdout
        assert "losses are exactly those of the record" in done.stdout


def test_a_gradient_alone_is_found_in_the_backward(train, tmp_path):
    samples = vectors(4, bad=(1, 2), value=0.0)
    hooks = [FiniteStepHook(max_in_a_row=2)]
    watch = train(dict(type="DropoutNet"), samples, hooks, default_scope="mmengine")
    assert watch.stopped.startswith("2 steps in a row")
    record = read_record(tmp_path / "run" / "non_finite" / "step_3.pt")
    assert all(math.isfinite(v) for v in record["forwards"][0]["losses"].values())
    model = DropoutNet()
    again = replay(record, model, anomaly=True)
    assert again.exact and again.first_bad_module == ""
    assert "returned nan values" in again.anomaly and "loss_root" in again.anomaly


def test_a_bad_input_is_told_from_a_bad_layer(train, tmp_path):
    samples = vectors(3, bad=(1,), value=math.nan)
    hooks = [FiniteStepHook(max_in_a_row=1)]
    train(dict(type="DropoutNet"), samples, hooks, default_scope="mmengine")
    again = replay(read_record(tmp_path / "run" / "non_finite" / "step_2.pt"), DropoutNet())
    assert again.exact and again.first_bad_module == "data_preprocessor"
    assert set(again.bad_gradients) == {"norm.weight", "norm.bias", "linear.weight", "linear.bias"}


def test_weights_that_are_not_finite_are_told(train):
    class Damage(Hook):
        def before_train(self, runner):
            runner.model.linear.bias.data[0] = math.nan

    hooks = [FiniteStepHook(max_in_a_row=1), Damage()]
    watch = train(dict(type="DropoutNet"), vectors(2), hooks, default_scope="mmengine")
    assert "1 weights are not finite, linear.bias first" in watch.stopped


def test_a_full_disk_does_not_hide_why_the_run_stops(train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "non_finite").write_text("in the way")
    hooks = [FiniteStepHook(max_in_a_row=1)]
    watch = train(
        dict(type="DropoutNet"), vectors(2, (0,), math.nan), hooks, default_scope="mmengine"
    )
    assert watch.stopped.startswith("1 steps in a row")
    assert "The record of the step could not be written" in watch.stopped


def test_batches_of_detection_and_odd_values_come_back(tmp_path):
    structures = pytest.importorskip("mmdet.structures")
    masks = pytest.importorskip("mmdet.structures.mask")
    boxes = pytest.importorskip("mmdet.structures.bbox")
    sample = structures.DetDataSample(metainfo=dict(
        img_shape=(4, 6), scale_factor=np.float64(0.5), tags={"a"}, flip=None
    ))  # fmt: skip
    sample.gt_instances = InstanceData(
        bboxes=boxes.HorizontalBoxes(torch.tensor([[0.0, 1, 2, 3]])),
        masks=masks.BitmapMasks(np.eye(4, 6, dtype=np.uint8)[None], 4, 6),
        labels=torch.tensor([7]),
    )
    dropped: list[str] = []
    plain = to_plain(dict(data_samples=[sample], names=np.array(["x"]), what=object()), dropped)
    torch.save(plain, tmp_path / "plain.pt")
    back = from_plain(torch.load(tmp_path / "plain.pt", weights_only=True))
    assert dropped == ["builtins.object"] and back["what"] is None
    assert back["names"].tolist() == ["x"]
    found = back["data_samples"][0]
    assert type(found) is structures.DetDataSample
    assert found.metainfo == dict(img_shape=(4, 6), scale_factor=0.5, tags={"a"}, flip=None)
    assert torch.equal(found.gt_instances.bboxes.tensor, torch.tensor([[0.0, 1, 2, 3]]))
    assert found.gt_instances.masks.masks.tolist() == sample.gt_instances.masks.masks.tolist()
    assert found.gt_instances[torch.tensor([0])].labels.tolist() == [7]


def test_a_record_cannot_make_any_class():
    with pytest.raises(MaskSSLError, match="subprocess.Popen, which is no data structure"):
        from_plain({"__kind__": "object", "module": "subprocess", "name": "Popen", "state": {}})


def test_ranks_decide_together_and_the_broken_one_writes(tmp_path, run_python):
    done = run_python(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
        *("tests/engine/broken_rank.py", tmp_path),
        env=dict(OMP_NUM_THREADS="1", PYTHONPATH="."),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    told = [(tmp_path / f"told_{rank}.txt").read_text() for rank in (0, 1)]
    assert all("2 steps in a row" in text and "step 3 was the last" in text for text in told)
    assert "The ranks whose loss is not finite have written the batch" in told[0]
    assert [path.name for path in (tmp_path / "non_finite").glob("*.pt")] == ["step_3_rank1.pt"]
    weights = [torch.load(tmp_path / f"weights_{rank}.pt") for rank in (0, 1)]
    assert same(dict(weights[0]), dict(weights[1]))
    assert all((tmp_path / f"shards_{rank}.txt").exists() for rank in (0, 1))  # FSDP2 as well


def test_bad_arguments_are_refused():
    with pytest.raises(MaskSSLError, match="max_in_a_row=0: give 1 or more"):
        FiniteStepHook(max_in_a_row=0)
