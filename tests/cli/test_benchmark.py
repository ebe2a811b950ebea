"""The benchmark's figures against formulas and by hand."""

import gc
import json
import weakref
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskssl import config_file
from maskssl.__main__ import main
from maskssl.cli.benchmark import batches, growth, images, neighbours, ranks, timing
from maskssl.cli.benchmark import run as benchmark
from maskssl.cli.benchmark.cost import flops_per_image, saved_per_block
from maskssl.cli.benchmark.step import TrainingStep, training_step
from maskssl.cli.benchmark.timing import PartClock, Timing, timed, timed_in_turn
from maskssl.cli.config import load_config
from maskssl.errors import MaskSSLError
from maskssl.models.layers.encoder_block import EncoderBlock
from tests.datasets.test_load_resized_crop import photograph

BOOTMAE = "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py"
EXTREMA = "pretrain/extrema_vit-mini-p8_1xb32-amp-coslr-10e_scenes.py"
ARCH = dict(embed_dims=32, num_layers=2, num_heads=2)
CPU = torch.device("cpu")


def step(name: str, **options) -> TrainingStep:
    cfg = load_config(
        config_file(name), {"model.backbone.arch": dict(ARCH, _delete_=True), **options}
    )
    return training_step(cfg, batch_size=2, device="cpu", precision="fp32")


def blocks(tokens: int, dim: int, depth: int) -> int:
    """Multiplications and additions of encoder blocks: 12 T C^2 and twice T^2 C."""
    return depth * (12 * tokens * dim**2 + 2 * tokens**2 * dim)


def decoder(tokens: int, wanted: int, dim: int, context: int, context_dim: int, depth: int) -> int:
    """As of encoder blocks, and cross-attention; the last block stops at what is wanted."""
    total = 0
    for index in range(depth):
        queries = wanted if index == depth - 1 else tokens
        total += 2 * tokens * dim**2 + 2 * queries * dim**2 + 2 * queries * tokens * dim
        total += 2 * queries * dim**2 + 2 * context * context_dim * dim
        total += 2 * queries * context * dim + 8 * queries * dim**2
    return total


def test_flops_of_bootmae_by_its_formula():
    one = step(BOOTMAE)
    backbone, neck = one.model.backbone, one.model.neck
    patches = backbone.grid_size[0] * backbone.grid_size[1]
    pixels = 3 * backbone.patch_size**2
    masked = one.model.mask_num
    seen, width = 1 + patches - masked, backbone.embed_dims
    narrow = neck.to_pixels.in_channels
    depths = len(neck.pixel.blocks), len(neck.feature.blocks)
    teacher = patches * pixels * width + blocks(1 + patches, width, 2)
    embedding = (seen - 1) * pixels * width  # images get no gradient: once in the backward
    student = blocks(seen, width, 2)
    student += seen * width * (narrow + width)
    student += decoder(1 + patches, masked, narrow, seen, width, depths[0])
    student += decoder(1 + patches, masked, width, seen, width, depths[1])
    student += masked * (narrow * pixels + width**2)
    expected = 2 * (teacher + 2 * embedding + 3 * student)
    assert flops_per_image(one) == pytest.approx(expected, rel=1e-3)


def test_flops_of_extrema_by_its_formula():
    one = step(EXTREMA)
    backbone = one.model.backbone
    masks, seen = one.model.draw_masks(1).shape[1:]
    patches = backbone.grid_size[0] * backbone.grid_size[1]
    pixels, width = 3 * backbone.patch_size**2, backbone.embed_dims
    pooling = len(backbone.class_attention.blocks)

    def pooled(tokens: int) -> int:
        """q, proj and MLP of the cls token, k and v of all tokens, and its attention."""
        kept = tokens + 1
        return pooling * (10 * width**2 + 2 * kept * width**2 + 2 * kept * width)

    def mlp(module) -> int:
        return sum(layer.weight.numel() for layer in module.layers if hasattr(layer, "in_features"))

    projector, predictor = mlp(one.model.neck), mlp(one.model.head.predictor)
    teacher = patches * pixels * width + blocks(patches, width, 2) + pooled(patches) + projector
    embedding = masks * seen * pixels * width
    student = masks * (blocks(seen, width, 2) + pooled(seen) + projector + predictor)
    expected = 2 * (teacher + 2 * embedding + 3 * student)
    assert flops_per_image(one) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", [BOOTMAE, EXTREMA])
def test_a_step_trains_student_and_teacher(name):
    one = step(name)
    before = {key: value.clone() for key, value in one.model.state_dict().items()}
    one()
    changed = [k for k, v in one.model.state_dict().items() if not torch.equal(v, before[k])]
    for part in ("backbone.blocks.0", "neck", "target_generator"):
        assert any(key.startswith(part) for key in changed), part


def test_recomputed_blocks_keep_their_inputs_alone():
    plain = saved_per_block(step(BOOTMAE))
    saving = saved_per_block(step(BOOTMAE, **{"model.backbone.with_cp": [1]}))
    assert plain["backbone.blocks.1"] > 0
    assert "backbone.blocks.1" not in saving  # its input is what block 0 has kept
    assert saving["backbone.blocks.0"] == plain["backbone.blocks.0"]


@pytest.mark.parametrize("name", [BOOTMAE, EXTREMA])
def test_what_blocks_keep_is_let_go(name):
    """Else the memory that is told of the steps behind it holds one more forward."""
    one = step(name)
    outputs = []
    one.model.backbone.blocks[0].register_forward_hook(
        lambda _, __, out: outputs.append(weakref.ref(out))
    )
    saved_per_block(one)
    gc.collect()
    assert outputs and all(output() is None for output in outputs)


def test_parts_are_named_in_the_order_of_a_step():
    one = step(EXTREMA)
    one.clock = clock = PartClock(CPU)
    one.time_stages()
    one()
    names = ["data", "teach", "encode", "backward", "optimizer", "teacher's move"]
    assert list(clock.seconds()) == names
    assert all(seconds > 0 for seconds in clock.seconds().values())


def test_timing_counts_steps_and_takes_turns():
    calls = []
    found = timed(lambda: calls.append("a"), CPU, steps=4, runs=3)
    assert len(calls) == 2 + 4 * 3
    assert found.seconds > 0 and found.memory is None
    calls.clear()
    both = timed_in_turn(
        dict(a=lambda: calls.append("a"), b=lambda: calls.append("b")), CPU, steps=1, runs=2
    )
    assert "".join(calls) == "aaabbbaaabbb"
    assert both.keys() == {"a", "b"}


def other(batch_size: int, device: str):
    """What --against times."""
    assert (batch_size, device) == (2, "cpu")
    return nullcontext


def test_measured_told_and_written(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "matmul_peak", lambda *_: 1e12)
    host = benchmark.machine("cpu", "fp32")
    against = f"{__name__}:other"
    monkeypatch.setattr(benchmark, "function_named", lambda name: other)
    options = {"model.backbone.arch": dict(ARCH, _delete_=True)}
    row = benchmark.measure(
        BOOTMAE, 2, "cpu", "fp32", options=options, against=against, steps=1, runs=1
    )
    text = benchmark.table(host, [row])
    assert (
        "bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes" in text
        and "fp32 plain" in text
        and "  x " in text
    )
    benchmark.write(str(tmp_path / "found.json"), host, dict(rows=[row]))
    read = json.loads((tmp_path / "found.json").read_text())
    assert read["rows"][0]["images_per_second"] * read["rows"][0]["seconds_per_step"] == (
        pytest.approx(2)
    )


DOWNSTREAM = {
    "finetune/bootmae_vit-mini-p8_finetune_1xb16-amp-coslr-30e_scenes.py": "ImageClassifier",
    "seg/extrema_vit-mini-p8_upernet_1xb8-amp-400i_scenes.py": "EncoderDecoder",
    "det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py": "MaskRCNN",
}


@pytest.mark.parametrize("name", DOWNSTREAM)
def test_a_step_of_the_other_stages_trains(name, monkeypatch):
    """On made-up truth: all losses are there, and every part of the model learns."""
    monkeypatch.setattr(batches, "DETECTION_SIZE", (96, 128))
    one = training_step(load_config(config_file(name)), 2, "cpu", "fp32")
    assert type(one.model).__name__ == DOWNSTREAM[name]
    before = {key: value.clone() for key, value in one.model.state_dict().items()}
    one.clock = clock = PartClock(CPU)
    for _ in range(2):  # the first makes the optimizer's state
        losses = one()
    assert list(clock.seconds()) == ["data", "forward", "backward", "optimizer"]
    total, _ = one.model.parse_losses(losses)
    assert total.isfinite() and total > 0
    if "det/" in name:
        assert {"loss_rpn_cls", "loss_cls", "loss_bbox", "loss_mask"} <= losses.keys()
    after = one.model.state_dict()
    for part in dict(one.model.named_children()):
        own = [key for key in after if key.startswith(f"{part}.")]
        assert not own or any(not torch.equal(after[key], before[key]) for key in own), part
    assert flops_per_image(one) > 0


def test_flops_of_a_classifier_by_its_formula():
    name = next(iter(DOWNSTREAM))
    options = {"model.backbone.arch": dict(ARCH, _delete_=True), "model.head.in_channels": 32}
    cfg = load_config(config_file(name), options)
    one = training_step(cfg, 2, "cpu", "fp32")
    backbone = one.model.backbone
    patches = backbone.grid_size[0] * backbone.grid_size[1]
    embedding = patches * 3 * backbone.patch_size**2 * 32  # images get no gradient
    rest = blocks(1 + patches, 32, 2) + 32 * cfg.model.head.num_classes
    assert flops_per_image(one) == pytest.approx(2 * (2 * embedding + 3 * rest), rel=1e-3)


def test_what_cannot_be_timed_is_refused():
    cfg = load_config(config_file(next(iter(DOWNSTREAM))))
    with pytest.raises(MaskSSLError, match="default_scope='mmocr'.*mmpretrain, mmseg, mmdet"):
        batches.labelled_batch(training_step(cfg, 1, "cpu").model, "mmocr", 2)
    with pytest.raises(MaskSSLError, match="--against nowhere:step.*MODULE:FUNCTION"):
        benchmark.function_named("nowhere:step")


def test_growth_is_measured_and_drawn(tmp_path):
    """Twice the images keep twice as much for the backward; the other settings stay."""
    options = {"model.backbone.arch": dict(ARCH, _delete_=True)}
    vary = {"batch_size": [1, 2], "model.num_masks": [1, 3]}
    found = growth.measure_growth(
        EXTREMA, vary, 2, "cpu", precision="fp32", options=options, steps=1, runs=1
    )
    assert [row["value"] for row in found["model.num_masks"]] == [1, 3]
    assert [row["batch_size"] for row in found["batch_size"]] == [1, 2]
    assert {row["batch_size"] for row in found["model.num_masks"]} == {2}
    kept = [row["saved_bytes_per_block"]["backbone.blocks.0"] for row in found["batch_size"]]
    assert kept[1] == pytest.approx(2 * kept[0], rel=0.01)
    flops = [row["flops_per_image"] for row in found["model.num_masks"]]
    assert flops[1] > 1.5 * flops[0]
    growth.draw_growth(found, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_ranks_are_measured_and_drawn(tmp_path, monkeypatch, one_thread):
    """Two processes of a batch each, in the picture of the others."""
    monkeypatch.setattr(ranks, "START", "fork")  # saves the imports; one thread outlives it
    options = {"model.backbone.arch": dict(ARCH, _delete_=True)}
    vary = {"ranks": [2], "batch_size": [2]}
    found = growth.measure_growth(
        BOOTMAE, vary, 2, "cpu", precision="fp32", options=options, steps=1, runs=1
    )
    [two], [one] = found["ranks"], found["batch_size"]
    assert (two["value"], two["ranks"], two["batch_size"], two["images_per_step"]) == (2, 2, 2, 4)
    assert two["threads"] == 1
    assert two["images_per_second"] * two["seconds_per_step"] == pytest.approx(4)
    assert two["flops_per_image"] == one["flops_per_image"]
    growth.draw_growth(found, tmp_path / "growth.png")
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("value", "device"), [(0, "cpu"), (10_000, "cpu"), (1000, "cuda")])
def test_ranks_that_the_machine_has_not_are_refused(value, device):
    with pytest.raises(MaskSSLError, match=f"--vary ranks={value}: there are .* here; give 1 to"):
        growth.measure_growth(BOOTMAE, {"ranks": [value]}, 2, device)


@pytest.mark.parametrize("name", [BOOTMAE, next(iter(DOWNSTREAM))])
def test_a_joined_step_averages_its_gradients(name, tmp_path):
    """All that is trained passes through what several processes average."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1
    )
    try:
        one = training_step(load_config(config_file(name)), 2, "cpu", "fp32")
        one.join_ranks()
        reduced = []

        def count(_, bucket):
            reduced.append(bucket.buffer().numel())
            future = torch.futures.Future()
            future.set_result(bucket.buffer())
            return future

        one.called.register_comm_hook(None, count)
        one()
    finally:
        torch.distributed.destroy_process_group()
    trained = [p.numel() for p in one.model.parameters() if p.requires_grad]
    assert sum(reduced) == sum(trained) > 0


def test_neighbours_beside_a_brute_force():
    found = neighbours.measure_neighbours(60, 300, 8, "cpu", k=5)
    assert found["agreement"] == 1
    assert min(found[name] for name in found if name.endswith("seconds")) > 0
    text = neighbours.neighbours_table(dict(found, seconds=0.5, brute_force_seconds=2.0))
    assert text.startswith("5 nearest of 300 to 60 features of 8: 0.50 s; brute force")
    assert "2.00 s (x 4.00), 100.00% of the places alike" in text


def test_images_beside_the_authors_transform(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "SIZES", (96, 24))
    for seed, size in enumerate([(500, 375), (300, 400)]):
        photograph(*size, seed).save(tmp_path / f"{seed}.jpg", quality=92)
    found = images.measure_images(
        str(tmp_path), batch_size=3, size=64, short_side=100, count=2, runs=1
    )
    assert list(found["images_per_second"]) == [
        *["the authors' transform", "from JPEG", "from a cache"],
        *["ExtreMA's two views", "two views, from a cache"],
        *["the same, changed on the device", "both", "decoded there too"],
    ]
    assert found["cached_bytes_per_image"] == (133 * 100 * 3 + 100 * 133 * 3) / 2
    for side, reduced in ((96, 0), (24, 1)):
        value = found["differences"][side]
        assert value["reduced"] == reduced
        assert value["mean"] < 2 and value["p99"] < 8 and value["shift"] < 0.1
        assert (value["mean"] > 0.3) is bool(reduced)  # a picture is not compared with itself
    there = found["on_device"]
    assert there["images_per_second"] > 0 and there["elsewhere"] == 0
    assert 0 < there["differences"]["mean"] < 0.3 and there["differences"]["p99"] <= 2
    text = images.images_table(found)
    assert (
        "resized by cpu, 3 at once:" in text and "), 0 of the batch decoded elsewhere; mean" in text
    )
    assert "images per second of CPU time (spread" in text
    assert "2 images of 154 thousand pixels, crops of 64" in text and "crop of  96: mean" in text


def test_a_device_that_decodes_nothing_leaves_the_other_rows(tmp_path, monkeypatch):
    def refusing(batch, device):
        raise MaskSSLError("no nvJPEG")

    photograph(50, 40).save(tmp_path / "a.jpg")
    monkeypatch.setattr(images, "SIZES", (24,))
    monkeypatch.setattr(images.EncodedCrops, "decoded", refusing)
    found = images.measure_images(str(tmp_path), size=24, count=1, runs=1)
    assert found["on_device"] == dict(device="cpu", batch_size=256, refusal="no nvJPEG")
    assert images.images_table(found).endswith("resized by cpu, 256 at once:\n  no nvJPEG")


def test_a_shift_is_measured():
    wide = np.asarray(photograph(51, 50, 1).resize((408, 400))).astype(float)
    one, moved = wide[:, :400:2], wide[:, 1:401:2]  # by half a pixel to the left
    assert images.shift(moved, one) == pytest.approx([-0.5, 0], abs=0.05)


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(MaskSSLError, match="holds no images; give a folder of photographs"):
        images.measure_images(str(tmp_path))


def test_the_time_of_a_step_is_that_of_a_run_by_its_steps():
    ticks = iter(range(99))
    assert timed(lambda: None, CPU, 4, 3, clock=lambda: next(ticks)) == (0.25, 0, None)


# the share of the peak


def test_the_peak_is_that_of_the_fastest_run(monkeypatch):
    """2 n^3 operations a product, ten of them a run; of four runs one takes a tenth of a second."""
    ticks = iter([0.0, 1.0, 2.0, 2.1, 3.0, 4.0, 5.0, 6.0])
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    assert timing.matmul_peak(CPU, torch.float32, 4) == pytest.approx(2 * 4**3 / 0.01)


def told_of(**changes) -> list[str]:
    """Lines of the table of one row: 100 images of 2 GFLOP a second, where 800 GFLOP/s are most."""
    host = dict(device="d", torch="t", threads=1, date="today", peak_flops=8e11)
    row = dict(
        config="c",
        batch_size=16,
        precision="bf16",
        compiled=None,
        images_per_second=100.0,
        spread=0.5,
        flops_per_image=2e9,
        memory_bytes=3 * 2**30,
        seconds_by_part=dict(data=0.002),
        saved_bytes_per_block=dict(block=5 * 2**20),
    )
    return benchmark.table(host, [row | changes]).splitlines()


def test_the_share_of_the_peak_is_operations_a_second_over_it():
    """200 GFLOP/s are a quarter of 800."""
    head, _, _, line, parts, kept = told_of()
    assert head.endswith("matrix product 0.8 TFLOP/s")
    assert line.split() == ["c", "16", "bf16", "plain", "100.0", "50.0%", "25.0%", "3.0"]
    assert (parts, kept) == ("    ms: data 2.0", "    MiB: block 5")


def test_what_a_block_keeps_is_counted_in_bytes():
    """The input and what exp gives, 2 x 3 of four bytes each; the weight is kept anyway."""

    class Exponential(EncoderBlock):
        def __init__(self) -> None:
            torch.nn.Module.__init__(self)
            self.weight = torch.nn.Parameter(torch.ones(3))

        def forward(self, x):
            return (x * self.weight).exp()

    model = torch.nn.Sequential(Exponential(), torch.nn.Identity())
    given = torch.ones(2, 3, requires_grad=True)
    made = SimpleNamespace(model=model, inputs=lambda: given, forward=model)
    assert saved_per_block(made) == {"0": 2 * (2 * 3 * 4)}


# made-up batches of oblong pictures


def oblong():
    return SimpleNamespace(
        backbone=SimpleNamespace(grid_size=(6, 10), patch_size=8),
        data_preprocessor=SimpleNamespace(size=(48, 80)),
        decode_head=SimpleNamespace(num_classes=5),
        roi_head=SimpleNamespace(bbox_head=SimpleNamespace(num_classes=5)),
    )


@pytest.mark.parametrize("scope", ["mmpretrain", "mmseg", "mmdet"])
def test_made_up_pictures_have_their_height_first(scope, monkeypatch):
    monkeypatch.setattr(batches, "DETECTION_SIZE", (48, 80))
    batch = batches.labelled_batch(oblong(), scope, 2)
    assert [image.shape for image in batch["inputs"]] == [(3, 48, 80)] * 2
    for sample in batch["data_samples"]:
        if scope != "mmpretrain":
            assert {sample.img_shape, sample.ori_shape, sample.pad_shape} == {(48, 80)}
        if scope == "mmseg":
            assert sample.gt_sem_seg.data.shape == (1, 48, 80)
        if scope == "mmdet":
            boxes = sample.gt_instances.bboxes
            assert (boxes[:, 2] <= 80).all() and (boxes[:, 3] <= 48).all()
            assert boxes[:, 2].max() > 48  # x comes first, and is the wider side
            masks = sample.gt_instances.masks.to_ndarray()
            assert masks.shape == (batches.OBJECTS, 48, 80)
            for mask, box in zip(masks, boxes.int().tolist(), strict=True):
                rows, columns = mask.nonzero()
                found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
                assert [*found] == box


def test_made_up_views_have_their_height_first():
    views, samples = batches.pretraining_batch((6, 10), 8, 2, 3)
    assert [view.shape for view in views] == [(3, 3, 48, 80)] * 2
    assert [sample.mask.shape for sample in samples] == [(6, 10)] * 3


CPU = torch.device("cpu")
BOOTMAE = "pretrain/bootmae_vit-mini-p8_1xb32-amp-coslr-12e_scenes.py"
DET = "det/bootmae_vit-mini-p8_mask-rcnn_1xb8-coslr-120e_scenes.py"


def test_the_spread_is_of_the_slowest_and_the_fastest_run_over_the_median():
    """Runs of 1, 4 and 2 seconds."""
    ticks = iter([0.0, 1.0, 10.0, 14.0, 20.0, 22.0])
    assert timed(lambda: None, CPU, 1, 3, clock=lambda: next(ticks)) == (2.0, 1.5, None)
    runs = [Timing(1.0, 0.0, 7), Timing(4.0, 0.0, 9), Timing(2.0, 0.0, 8)]
    assert timing._joined(runs) == (2.0, 1.5, 9)


def test_a_part_takes_the_median_of_its_steps(monkeypatch):
    ticks = iter([0.0, 1.0, 10.0, 14.0, 20.0, 22.0])
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    clock = PartClock(CPU)
    for _ in range(3):
        with clock("forward"):
            pass
    assert clock.seconds() == dict(forward=2.0)


def test_ours_twice_as_fast_as_the_others_is_told_as_two():
    other = dict(images_per_second=50.0, spread=0.0, memory_bytes=None)
    (line,) = (one for one in told_of(against={"m:f": other}) if "m:f" in one)
    assert line.split() == ["m:f", "50.0", "0.0%", "-", "x", "2.00"]


def test_a_step_of_several_ranks_is_that_of_the_slowest(monkeypatch):
    """Of the four threads each of two ranks has two."""

    def start(function, args, count, start_method):
        _, folder, threads, _ = args
        assert (count, threads) == (2, 2)
        for rank, seconds in enumerate((0.5, 2.0)):
            row = dict(batch_size=8, seconds_per_step=seconds)
            Path(folder, f"{rank}.json").write_text(json.dumps(row))

    monkeypatch.setattr(ranks.torch.multiprocessing, "start_processes", start)
    monkeypatch.setattr(ranks.torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(ranks.os, "cpu_count", lambda: 4)
    found = ranks.measure_ranks(2, BOOTMAE, "cpu", options={})
    assert found["seconds_per_step"] == 2.0 and found["images_per_step"] == 16
    assert (found["images_per_second"], found["threads"]) == (8.0, 2)


def test_growth_is_drawn_in_milliseconds_and_mebibytes(monkeypatch, tmp_path):
    figures = []
    monkeypatch.setattr(growth.plt, "close", figures.append)
    one = dict(seconds_per_step=0.25, saved_bytes_per_block=dict(a=2**20, b=2**21))
    two = dict(seconds_per_step=0.5, images_per_second=32.0, threads=3)
    found = dict(batch_size=[dict(one, value=4)], ranks=[dict(two, value=2)])
    growth.draw_growth(found, tmp_path / "growth.png")
    drawn = {axes.get_ylabel(): axes.lines[0].get_ydata().tolist() for axes in figures[0].axes}
    assert drawn == {"ms a step": [500.0], "MiB kept by the blocks": [3.0]} | {
        "img/s of all ranks": [32.0]
    }
    assert [axes.lines[0].get_ydata()[0] for axes in figures[0].axes[:2]] == [250.0, 500.0]
    assert figures[0].axes[1].get_xlabel() == "ranks (threads of each: 3)"


def test_the_run_that_warms_up_does_not_count(monkeypatch):
    """Two images of 10 seconds each, then of 1, 2 and 3."""
    ticks = iter(np.cumsum([0, 20, 0, 2, 0, 4, 0, 6]).tolist())
    monkeypatch.setattr(images, "time", SimpleNamespace(process_time=lambda: next(ticks)))
    assert images._in_turn({"ours": lambda n: None}, 2, 3) == {"ours": 2.0}


@pytest.mark.parametrize(("name", "told"), [(DET, "fp32"), (BOOTMAE, "bf16")])
def test_the_precision_told_is_the_one_that_runs(name, told, monkeypatch):
    """A config without autocast runs in fp32 where bf16 is asked for."""
    monkeypatch.setattr(batches, "DETECTION_SIZE", (96, 128))
    row = benchmark.measure(name, 1, "cpu", "bf16", steps=1, runs=1)
    assert row["precision"] == told
    assert training_step(load_config(config_file(name)), 1, "cpu", "fp32").precision() == "fp32"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is nothing to time: name a config, --images or --neighbours"),
        (["--against", "m:f"], "--against is timed in turn with the step of a config: name one"),
        ([BOOTMAE, "--vary", "batch_size=2,x"], "--vary batch_size: 'x' is no whole number of 1"),
        ([BOOTMAE, "--vary", "ranks=0"], "--vary ranks: 0 is no whole number of 1 or more"),
        ([BOOTMAE, "--device", "cuda"], "--device cuda cannot be used ("),
    ],
)
def test_slips_are_told_before_anything_is_timed(words, said, monkeypatch):
    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.setattr(benchmark, "matmul_peak", lambda *_: pytest.fail("something was timed"))
    with pytest.raises(SystemExit) as end:
        main(["benchmark", *words])
    assert str(end.value.code).startswith(f"MaskSSLError: {said}")
