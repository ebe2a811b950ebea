"""The teacher in a real Runner: once per optimizer step, exactly, by schedule; and resumed."""

import copy

import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader

from maskssl.engine.hooks.feature_weight import FeatureWeightHook
from maskssl.engine.hooks.momentum import MomentumUpdateHook
from maskssl.engine.optimizers.autocast import AutocastOptimWrapper
from maskssl.errors import MaskSSLError
from maskssl.masking import block_mask
from maskssl.schedules import cosine_momentum

BATCHES = 3
# 0.5 in epoch 0, 0.7 in epoch 1, 0.9 from epoch 2
SCHEDULE = dict(type="bootmae", start=0.5, end=0.9, ramp_epochs=2, dynamic=False)


def build(seed: int = 0, schedule=SCHEDULE):
    torch.manual_seed(seed)
    arch = dict(embed_dims=16, num_layers=1, num_heads=2)
    return MODELS.build(
        dict(
            type="BootMAE",
            backbone=dict(type="PlainViT", arch=arch, img_size=16, patch_size=4),
            neck=dict(type="TargetAwareDecoders", pixel=dict(embed_dims=8, num_layers=1)),
            head=dict(type="BootMAEHead"),
            target_generator=dict(type="MomentumEncoder", schedule=schedule),
        )
    )


def loader() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(2 * BATCHES):
        sample = DataSample()
        sample.set_field(block_mask((4, 4), generator=generator).numpy(), "mask")
        image = torch.randn(3, 16, 16, generator=generator)
        samples.append(dict(inputs=image, data_samples=sample))
    return DataLoader(samples, batch_size=2, collate_fn=default_collate)


class Recorder(Hook):
    """Weights of student and teacher after every batch, once all other hooks are through."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self.weights: list[tuple[int, dict, dict]] = []
        self.logged: list[float] = []
        self.feature_weights: list[float] = []

    def before_train(self, runner) -> None:
        self.record(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.record(runner)
        self.feature_weights.append(runner.model.head.current_feature_weight)
        scalars = runner.message_hub.log_scalars
        self.logged += [scalars["train/momentum"].current()] if "train/momentum" in scalars else []

    def record(self, runner) -> None:
        student, teacher = runner.model.backbone, runner.model.target_generator.encoder
        states = (copy.deepcopy(module.state_dict()) for module in (student, teacher))
        self.weights.append((runner.epoch, *states))


@pytest.fixture
def run(tmp_path):
    scopes = dict(DefaultScope._instance_dict)
    runs = []

    def train(model, epochs=2, every=1, wrapper=OptimWrapper, folder="run", hooks=None, **options):
        recorder = Recorder()
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=1e-2)
        runner = Runner(
            model,
            work_dir=str(tmp_path / folder),
            train_dataloader=loader(),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=wrapper(optimizer=optimizer, accumulative_counts=every),
            default_scope="mmpretrain",
            custom_hooks=[*(hooks or [MomentumUpdateHook(), FeatureWeightHook()]), recorder],
            experiment_name=f"{tmp_path.name}-{len(runs)}",
            log_level="ERROR",
            **options,
        )
        runs.append(runner)
        runner.train()
        return recorder

    yield train
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(scopes)


def moved(before: dict, after: dict) -> bool:
    return any(not torch.equal(after[name], value) for name, value in before.items())


@pytest.mark.parametrize("wrapper", [OptimWrapper, AutocastOptimWrapper])
@pytest.mark.parametrize(
    ("every", "steps"),
    # six batches; what is left over at the end of the run makes a step too
    [(1, [1, 2, 3, 4, 5, 6]), (2, [2, 4, 6]), (4, [4, 6])],
)
def test_the_teacher_moves_once_per_optimizer_step_and_exactly(every, steps, wrapper, run):
    model = build()
    updates = []
    update = model.target_generator.update
    model.target_generator.update = lambda *args: (updates.append(args[1]), update(*args))
    recorder = run(model, every=every, wrapper=wrapper)

    epochs = [(step - 1) // BATCHES for step in steps]
    expected_momenta = [(0.5, 0.7)[epoch] for epoch in epochs]
    assert updates == pytest.approx(expected_momenta)
    teacher = recorder.weights[0][2]
    done = 0
    pairs = zip(recorder.weights, recorder.weights[1:], strict=False)
    for batch, (before, after) in enumerate(pairs, start=1):
        stepped = batch in steps
        assert moved(before[1], after[1]) == stepped  # the student
        if stepped:
            m = expected_momenta[done]
            teacher = {k: m * v + (1 - m) * after[1][k] for k, v in teacher.items()}
            done += 1
        for name, value in after[2].items():
            torch.testing.assert_close(value, teacher[name], rtol=1e-5, atol=1e-7)
            assert value.dtype == torch.float32
    assert done == len(steps)
    assert recorder.logged[-1] == pytest.approx(expected_momenta[-1])


def test_the_teacher_starts_as_the_student_and_is_logged(run):
    recorder = run(build())
    _, student, teacher = recorder.weights[0]
    assert not moved(student, teacher)
    assert recorder.logged == pytest.approx([0.5] * 3 + [0.7] * 3)


def test_a_schedule_by_progress_moves_with_every_step(run):
    recorder = run(build(schedule=dict(type="cosine", start=0.6)))
    expected = [cosine_momentum(done / (2 * BATCHES), start=0.6) for done in range(1, 7)]
    assert len(set(expected)) == 6 and expected[-1] == 1.0
    assert recorder.logged == pytest.approx(expected)


def test_the_feature_weight_rises_by_epoch(run):
    recorder = run(build(), epochs=8)  # over two epochs: (1 + epoch) / 2
    assert recorder.feature_weights == pytest.approx([0.5] * 3 + [1.0] * 21)


def test_a_resumed_run_goes_on_where_it_stopped(run, tmp_path):
    """Teacher, momentum and feature weight are those of the run that was never stopped."""
    options = dict(randomness=dict(seed=0))
    whole = run(build(), epochs=8, folder="whole", **options)
    first = run(build(), epochs=8, folder="stopped", hooks=[
        MomentumUpdateHook(), FeatureWeightHook(), StopAfter(1)
    ], **options)  # fmt: skip
    resumed = run(
        build(seed=9),
        epochs=8,
        folder="stopped",
        resume=True,
        load_from=str(tmp_path / "stopped" / "epoch_1.pth"),
        **options,
    )
    assert moved(first.weights[-1][1], first.weights[-1][2])  # a teacher of its own
    assert not moved(first.weights[-1][2], resumed.weights[0][2])
    assert not moved(first.weights[-1][1], resumed.weights[0][1])
    assert resumed.logged == pytest.approx(whole.logged[BATCHES:])
    assert resumed.feature_weights == pytest.approx(whole.feature_weights[BATCHES:])


class StopAfter(Hook):
    """End a run after some epochs, its checkpoint written."""

    priority = "LOWEST"

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def after_train_epoch(self, runner) -> None:
        if runner.epoch + 1 == self.epochs:
            runner.train_loop._max_epochs = self.epochs


def test_a_model_without_teacher_is_refused(run):
    classifier = MODELS.build(
        dict(
            type="ImageClassifier",
            backbone=dict(
                type="PlainViT",
                arch=dict(embed_dims=16, num_layers=1, num_heads=2),
                img_size=16,
                patch_size=4,
                out_type="avg",
            ),
            head=dict(type="PooledLinearHead", in_channels=16, num_classes=2),
        )
    )
    with pytest.raises(MaskSSLError, match="ImageClassifier has none; remove the hook"):
        run(classifier)


def test_a_run_without_epochs_is_refused(run, tmp_path):
    model = build()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    runner = Runner(
        model,
        work_dir=str(tmp_path),
        train_dataloader=loader(),
        train_cfg=dict(by_epoch=False, max_iters=2),
        optim_wrapper=OptimWrapper(optimizer=optimizer),
        default_scope="mmpretrain",
        custom_hooks=[FeatureWeightHook()],
        experiment_name=f"{tmp_path.name}-iterations",
        log_level="ERROR",
    )
    with pytest.raises(MaskSSLError, match=r"IterBasedTrainLoop counts none.*by_epoch=True"):
        runner.train()
