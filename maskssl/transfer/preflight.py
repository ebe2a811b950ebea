"""What an experiment will take, told before anything is trained: data, batches, disk, time."""

import shutil
from collections.abc import Collection

from ..datasets.checks.pictures import UnreadablePictureError, look_at
from ..errors import MaskSSLError
from ..progress import duration
from .feature_store import bytes_needed, is_stored
from .measure import CLASSES, Measure
from .stages import STAGES
from .trained import BACKWARD, HEADS, TrainedStage
from .work import Work


def preflight(work: Work, scored: Collection[tuple[str, str]] = ()) -> list[str]:
    """Lines that say what will be done.

    Args:
        work: checkpoints and data.
        scored: (checkpoint, stage) that an earlier call has tested.

    Raises:
        MaskSSLError: the disk is too small for the features that are missing, a class has one
            image, or the first picture cannot be read.
    """
    stages = [STAGES[name] for name in work.plan.stages]
    lines = [_data_line(work, labels) for labels in work.sets]
    seconds = 0.0
    for name, encoder in work.encoders.items():
        lines.append(
            f"{name}: {encoder.backbone.num_layers} blocks, images of "
            f"{encoder.backbone.img_size[0]} x {encoder.backbone.img_size[1]}, "
            f"{1e3 * work.pace(name):.1f} ms an image; {encoder.backbone.ledger.origin}"
        )
        for stage in stages:
            if isinstance(stage, TrainedStage) and work.plan.measures(name, stage.name):
                said, took = _training_line(work, name, stage, work.pace(name))
                lines.append(said)
                seconds += took
    needed, images = _features(work, scored)
    seconds += sum(count * work.pace(name) for name, count in images.items())
    free = shutil.disk_usage(_existing(work)).free
    disk = f"disk: features that are not in the cache take up to {_size(needed)}"
    disk += f", and {_size(free)} are free"
    if needed:
        lines.append(disk)
    if needed > free:
        raise MaskSSLError(
            f"{disk} in {work.plan.cache}; give another --cache, fewer --blocks, or leave out "
            "the stages that read patches (attentive, patch-knn, patch-linear)"
        )
    lines.append(
        f"time: roughly {duration(seconds)} for features and trained rows, and as long as fitting "
        "takes"
    )
    return lines


def _data_line(work: Work, labels: str) -> str:
    train, test = work.sets[labels]
    try:
        width, height = look_at(train.root / train.files[0]).size
    except UnreadablePictureError as error:
        raise MaskSSLError(f"{error}; replace or remove it") from error
    said = (
        f"{labels}: {len(train):,} training and {len(test):,} test images of "
        f"{len(train.classes)} classes, the first of {height} x {width} pixels"
    )
    if labels == CLASSES:
        counts = train.labels.bincount(minlength=len(train.classes))
        fewest = int(counts.min())
        said += f", {fewest} to {int(counts.max())} training images a class"
        if fewest < 2 and work.kinds.get(CLASSES):  # rows whose settings are chosen
            name = train.classes[int(counts.argmin())]
            raise MaskSSLError(
                f"the class {name!r} has {fewest} training image; settings are chosen on a part of "
                "the training images, so that each class needs 2 or more"
            )
    return said


def _training_line(work: Work, name: str, stage: TrainedStage, pace: float) -> tuple[str, float]:
    """What a recipe comes to, and its rough seconds; a recipe that does not fit says why."""
    try:
        _, setting = stage.config(work, name)
    except MaskSSLError as error:
        return f"{name} {stage.name}: will fail: {error}", 0.0
    runs = min(len(work.plan.seeds), work.plan.budget.trained_runs)
    images = setting["steps"] * setting["batch_size"] * runs
    seconds = HEADS[stage.labels] * images * pace * (1 if stage.frozen else BACKWARD)
    return (
        f"{name} {stage.name}: {setting['recipe']}, {setting['passes']} passes, "
        f"{setting['steps']} steps of {setting['batch_size']} images, lr {setting['lr']:.2g}, "
        f"{runs} run{'s' * (runs > 1)}, at least {duration(seconds)}",
        seconds,
    )


def _features(work: Work, scored: Collection[tuple[str, str]]) -> tuple[int, dict[str, int]]:
    """Bytes of the features that are still to be computed, and images that each encoder sees.

    Which features of the test images there are is known by what was scored, as to look for them in
    the cache would be to read those images.
    """
    needed, images = 0, dict.fromkeys(work.encoders, 0)
    for labels, (train, test) in work.sets.items():
        kinds = work.kinds.get(labels, ())
        for name, encoder in work.encoders.items():
            tested = _kinds_tested(name, labels, scored)
            for part, missing in (
                (train, [k for k in kinds if not is_stored(encoder, train, k, work.plan.cache)]),
                (test, [kind for kind in kinds if kind not in tested]),
            ):
                needed += sum(bytes_needed(encoder, part, kind) for kind in missing)
                images[name] += len(part) * bool(missing)
    return needed, images


def _kinds_tested(name: str, labels: str, scored: Collection[tuple[str, str]]) -> set[str]:
    """Kinds of features that the tests of a checkpoint have read."""
    stages = [STAGES[stage] for checkpoint, stage in scored if checkpoint == name]
    return {
        kind
        for stage in stages
        if isinstance(stage, Measure) and stage.labels == labels
        for kind in stage.kinds
    }


def _existing(work: Work) -> str:
    """The cache's folder, or the nearest above it that is there."""
    folder = work.plan.cache
    while not folder.is_dir():
        folder = folder.parent
    return str(folder)


def _size(count: float) -> str:
    """'58.8 kB'."""
    units = ["bytes", "kB", "MB", "GB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return f"{count:,.1f} {units[0]}"
