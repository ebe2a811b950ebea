"""BootMAE beside other code: the same model, pictures and minutes, and one probe for both.

The other code is a function, called as ``function(pictures=, seconds=, seed=, folder=)`` with a
folder of training pictures and one to write into. It takes these seconds and torch's threads as it
finds them, and returns the file of its weights, which ``maskssl transfer`` reads and which have
SHAPE, and the number of pictures seen. On a CPU both codes train side by side, each in one thread,
so that whatever else the machine does falls on both; on a GPU one after the other.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from ..cli.other_code import function_named
from ..datasets.folders import image_files
from ..errors import MaskSSLError
from ..evaluation.run_logs import read_run
from ..occupied import occupied
from ..progress import ProgressLine
from ..transfer.experiment import run_experiment
from ..transfer.fingerprints import Facts, digest_of_text, open_record
from ..transfer.job_queue import Job, Lanes, run_jobs
from ..transfer.lanes import plan_lanes
from ..transfer.plan import Plan as TransferPlan
from ..transfer.summary import summarise
from ..transfer.trained_jobs import train, write_run
from .plan import SEEDS, Plan
from .pretraining import pictures_of
from .results import VERSION, date_of, machine, write_tables
from .sets import SETS
from .settings import Setting
from .tables import yardstick_markdown

PICTURES = "cifar10"
OURS, THEIRS = "ours", "theirs"
STAGES = ("knn", "linear")
SHAPE = dict(embed_dims=192, num_layers=6, num_heads=3)
BOOTMAE = Setting(
    "yardstick",
    "BootMAE, 6 blocks of width 192",
    "pretrain/bootmae_vit-mini-p4_1xb32-amp-coslr-8e_cifar10.py",
    {
        "model.backbone.arch": dict(SHAPE, _delete_=True),
        "model.neck.num_layers": 2,
        "model.neck.pixel.embed_dims": 128,  # two thirds of the encoder's, as in the paper
    },
    seen=0,  # as many as the minutes allow
    pictures=PICTURES,
)
_PACED = 64  # steps by which the length of a pass is told; the first half warms up
_SIDE_BY_SIDE = "side by side in one thread each"
_RUN, _TOLD = "run", "told.json"


@dataclass(frozen=True)
class Trained:
    """A training of the comparison.

    Attributes:
        job: trains it; named 'ours-0'.
        folder: what it writes into.
        facts: what makes the weights.
    """

    job: Job
    folder: Path
    facts: Facts

    @property
    def told(self) -> dict[str, Any]:
        """Weights below the folder, seconds and pictures seen; there when the job is done."""
        return json.loads((self.folder / _TOLD).read_text())


def run_yardstick(plan: Plan, against: str, minutes: float, line: ProgressLine) -> str:
    """Train both codes under every seed, in pairs, and measure all of them.

    Writes evidence-yardstick.json and .md.

    Args:
        plan: data, folder and results, and whether it is a smoke run.
        against: MODULE:FUNCTION.
        minutes: of each training.
        line: shows the progress.

    Returns:
        The table.

    Raises:
        MaskSSLError: the function is not there, a training or a probe fails, or plan.out holds
            what other inputs have made.
    """
    function_named(against)  # it is there
    trainings = [one for seed in SEEDS for one in _trainings(plan, against, 60 * minutes, seed)]
    record = open_record(plan.out / "pretrained")
    facts = {one.job.name: one.facts for one in trainings}
    lanes = _lanes()
    jobs = [one.job for one in trainings if not record.is_done(one.job.name, one.facts)]

    def finished(name: str, seconds: float) -> None:
        record.finished(name, facts[name], seconds)

    with occupied(record.folder):
        run_jobs(jobs, lanes, line, finished)
    transfer = _transfer(plan, trainings)
    measured = run_experiment(transfer, line)
    if measured.failed:
        raise MaskSSLError("; ".join(f"{what}: {why}" for what, why in measured.failed.items()))
    report = summarise(transfer, measured)
    found = dict(
        version=VERSION,
        command=f"maskssl evidence yardstick --data-root DATA --against {against} "
        f"--minutes {minutes:g}",
        minutes=minutes,
        lanes="one after the other" if len(lanes.environments) == 1 else _SIDE_BY_SIDE,
        config=BOOTMAE.config,
        options=dict(BOOTMAE.options),
        machine=machine(),
        versions=report["facts"]["versions"],
        date=date_of(one.job.log for one in trainings),
        told={one.job.name: one.told for one in trainings},
        figures={
            row["name"]: {cell["checkpoint"]: cell["figure"] for cell in row["cells"]}
            for row in report["measures"]
        },
    )
    write_tables(found, plan, yardstick_markdown(found))
    return yardstick_markdown(found)


def _lanes() -> Lanes:
    """One training on a GPU, a pair of them on a CPU."""
    if torch.cuda.is_available():
        return plan_lanes(alone=True)
    lanes = plan_lanes()
    common = {**lanes.environment, "OMP_NUM_THREADS": "1"}
    return replace(lanes, environments=lanes.environments[:2], environment=common, threads=1)


def _trainings(plan: Plan, against: str, seconds: float, seed: int) -> list[Trained]:
    """Ours and theirs."""
    cfg = our_config(plan)
    pictures = plan.data(PICTURES) / SETS[PICTURES].pictures
    made = {"seconds": str(seconds), "seed": str(seed), "pictures": pictures_of(plan, PICTURES)}
    found = []
    for code, what, arguments in (
        (OURS, digest_of_text(cfg.pretty_text), (cfg.pretty_text, seconds, seed, made)),
        (THEIRS, against, (against, pictures, seconds, seed)),
    ):
        name = f"{code}-{seed}"
        folder = plan.out / "pretrained" / name
        folder.mkdir(parents=True, exist_ok=True)
        target = f"{__name__}:train_{code}"
        job = Job(name, target, (folder, *arguments), folder / "train.log", seconds)
        found.append(Trained(job, folder, {"what": what, **made}))
    return found


def our_config(plan: Plan) -> Config:
    """Of our training, but for its length."""
    cfg = plan.config(BOOTMAE)
    if not plan.smoke:
        cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    cfg.optim_wrapper.update(type="OptimWrapper")  # fp32
    cfg.optim_wrapper.pop("dtype", None)
    return cfg


def train_ours(folder: Path, config: str, seconds: float, seed: int, facts: Facts) -> None:
    """As many whole passes as the seconds allow by the pace of some steps, which are not counted.

    Args:
        folder: work dir.
        config: text of ``our_config``.
        seconds: of the training.
        seed: of its draws.
        facts: of its pictures.
    """
    cfg = Config.fromstring(config, ".py")
    dataset = cfg.train_dataloader.dataset
    steps = sum(1 for _ in image_files(Path(dataset.data_root, dataset.data_prefix)))
    steps //= cfg.train_dataloader.batch_size
    passes = max(1, int(seconds / (steps * _seconds_of_a_step(cfg, folder / "pace", steps, facts))))
    cfg.train_cfg.max_epochs = passes
    cfg.model.target_generator.schedule.ramp_epochs = passes
    cfg.default_hooks.checkpoint.interval = -1  # the last alone
    file = write_run(folder / _RUN, cfg, seed, facts)
    begun = time.monotonic()
    train(file)
    images = passes * steps * cfg.train_dataloader.batch_size
    _tell(folder, _RUN, time.monotonic() - begun, images)


def train_theirs(folder: Path, against: str, pictures: Path, seconds: float, seed: int) -> None:
    """Call the other code.

    Args:
        folder: takes the weights.
        against: MODULE:FUNCTION.
        pictures: folder of training pictures.
        seconds: of the training.
        seed: of its draws.

    Raises:
        MaskSSLError: it has left no weights in the folder.
    """
    begun = time.monotonic()
    weights, images = function_named(against)(
        pictures=pictures, seconds=seconds, seed=seed, folder=folder
    )
    file, folder = Path(weights).resolve(), folder.resolve()
    if not file.is_relative_to(folder) or not file.exists():
        raise MaskSSLError(f"{against} returned {weights} for its weights, no file in {folder}")
    _tell(folder, str(file.relative_to(folder)), time.monotonic() - begun, images)


def _seconds_of_a_step(cfg: Config, folder: Path, steps: int, facts: Facts) -> float:
    paced = Config(cfg.to_dict())
    steps = min(_PACED, steps)
    paced.train_dataloader.dataset.indices = steps * paced.train_dataloader.batch_size
    paced.train_cfg.max_epochs = 1
    paced.default_hooks.logger.interval = max(1, steps // 2)
    train(write_run(folder, paced, SEEDS[0], facts))
    seconds, _ = read_run(folder).timed()[-1]  # the second half is warm
    return seconds / (steps - steps // 2)


def _tell(folder: Path, weights: str, seconds: float, images: int) -> None:
    told = dict(weights=weights, seconds=round(seconds, 1), images=images)
    (folder / _TOLD).write_text(json.dumps(told))


def _transfer(plan: Plan, trainings: Sequence[Trained]) -> TransferPlan:
    """The same probes of all weights, random ones of our shape among them."""
    out = plan.out / "measured"
    return TransferPlan(
        checkpoints=tuple(
            f"{one.job.name}={one.folder / one.told['weights']}" for one in trainings
        ),
        data=plan.data(PICTURES),
        out=out,
        cache=out / "features",
        stages=STAGES,
        seeds=SEEDS,
        preset="smoke" if plan.smoke else "evidence",
        device=torch.device("cuda" if torch.cuda.is_available() else "cpu"),
    )
