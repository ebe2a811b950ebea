"""Measure start-up and memory of IndexedImages beside mmpretrain's CustomDataset.

Writes a list of made-up paths like ImageNet-22K's (n01440764/n01440764_10026.JPEG 17) into a
temporary folder; no image is read. Each data set gets a process of its own, which forks or
spawns the workers; memory is read while all of them are alive and have looked up their share of
random entries. Figures are what the data set adds to the processes after their imports.

RSS counts each page in every process that has touched it, PSS divides it by their number.
"Anonymous" is the part of RSS that no file backs: the kernel cannot drop it when memory is short,
and only processes forked from one another share it, until they write to it. The pages of an index
are in the page cache, once for all processes of a node, and can be dropped and read again. The
order of an epoch is TensorSampler's beside that of mmengine's DefaultSampler.

Example:
    python tools/measure_index.py --entries 14000000 --workers 4
"""

import argparse
import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

CLASSES = 21_841
FIELDS = {"rss": "Rss:", "pss": "Pss:", "anonymous": "Anonymous:"}
LOOKUPS = 100_000
ROWS = (
    ("build the index, s (once)", "build", 1.0),
    ("start-up, s", "start", 1.0),
    ("one random entry, µs", "lookup", 1e6),
    ("shuffled order of a rank, MB", "shuffle", 1e-6),
    ("peak RSS at start-up, MB", "peak", 1e-6),
    ("main RSS, MB", "main_rss", 1e-6),
    ("main anonymous, MB", "main_anonymous", 1e-6),
    ("worker RSS, MB", "worker_rss", 1e-6),
    ("worker PSS, MB", "worker_pss", 1e-6),
    ("worker anonymous, MB", "worker_anonymous", 1e-6),
    ("main + workers PSS, MB", "sum_pss", 1e-6),
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=14_000_000)
    parser.add_argument(
        "--baseline-entries",
        type=int,
        default=1_400_000,
        help="for CustomDataset, which needs 1 GB and 10 s or so per million; 0 leaves it out",
    )
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--share", type=float, default=0.01, help="looked up by each worker")
    parser.add_argument("--start-method", choices=("fork", "spawn"), default="fork")
    parser.add_argument("--json", help="write the figures into this file too")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)  # data set, list
    return parser.parse_args()


def write_list(path: Path, entries: int) -> None:
    per_class = -(-entries // CLASSES)
    with open(path, "w", encoding="utf-8") as file:
        for start in range(0, entries, per_class):
            label = start // per_class
            name = f"n{1_440_764 + 613 * label:08d}"
            stop = min(start + per_class, entries)
            file.write(
                "".join(f"{name}/{name}_{10_026 + i}.JPEG {label}\n" for i in range(stop - start))
            )


def memory() -> dict[str, int]:
    """Bytes of this process."""
    words = Path("/proc/self/smaps_rollup").read_text(encoding="utf-8").split()
    return {name: int(words[words.index(field) + 1]) * 1024 for name, field in FIELDS.items()}


def look_up(dataset: Any, share: float, seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(int(len(dataset) * share)):
        dataset.get_data_info(rng.randrange(len(dataset)))


def work(dataset: Any, share: float, seed: int, pipe: Connection) -> None:
    look_up(dataset, share, seed)
    pipe.send("ready")
    pipe.recv()  # all are
    pipe.send(memory())
    pipe.recv()  # all have read theirs


def worker_memories(dataset: Any, args: argparse.Namespace) -> list[dict[str, int]]:
    """Memory of the main process, then of each worker, at one time."""
    context = multiprocessing.get_context(args.start_method)
    pipes, workers = [], []
    for seed in range(args.workers):
        here, there = context.Pipe()
        workers.append(context.Process(target=work, args=(dataset, args.share, seed, there)))
        workers[-1].start()
        there.close()
        pipes.append(here)
    for pipe in pipes:
        pipe.recv()
    for pipe in pipes:
        pipe.send("all ready")
    memories = [memory()] + [pipe.recv() for pipe in pipes]
    for pipe in pipes:
        pipe.send("all read")
    for worker in workers:
        worker.join()
    return memories


def shuffle_memory(dataset: Any, kind: str) -> int:
    """Bytes that an epoch's order takes in each rank, while it is read."""
    from mmengine.dataset import DefaultSampler

    from maskssl.datasets.draws.tensor_sampler import TensorSampler

    sampler = TensorSampler if kind == "IndexedImages" else DefaultSampler
    before = memory()["rss"]
    order = iter(sampler(dataset, seed=0))
    next(order)
    return memory()["rss"] - before


def measure(kind: str, path: str, args: argparse.Namespace) -> dict[str, float]:
    from mmpretrain.datasets import CustomDataset

    from maskssl.datasets.index.indexed_images import IndexedImages

    figures: dict[str, float] = {}
    if kind == "IndexedImages":
        tool = str(Path(__file__).with_name("index_images.py"))
        built = subprocess.run(
            [sys.executable, tool, path], check=True, stdout=subprocess.PIPE, text=True
        )
        figures["build"] = float(built.stdout.split(" images, ")[-1].split(" s, ")[0])
    data_set = dict(IndexedImages=IndexedImages, CustomDataset=CustomDataset)[kind]
    single = Path(path).with_name("single.txt")
    single.write_text("x.JPEG 0\n", encoding="utf-8")
    # what the processes need for the imports alone, spawned ones too
    empty = worker_memories(data_set(data_prefix="images", ann_file=str(single)), args)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    dataset = data_set(data_prefix="images", ann_file=path)
    figures["start"] = time.perf_counter() - start
    figures["peak"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
    full = worker_memories(dataset, args)
    look_up(dataset, LOOKUPS / len(dataset), seed=-1)  # touch what is timed
    start = time.perf_counter()
    look_up(dataset, LOOKUPS / len(dataset), seed=-1)
    figures["lookup"] = (time.perf_counter() - start) / LOOKUPS
    figures["shuffle"] = shuffle_memory(dataset, kind)
    for name in FIELDS:
        added = [after[name] - before[name] for after, before in zip(full, empty, strict=True)]
        figures[f"main_{name}"] = added[0]
        figures[f"worker_{name}"] = sum(added[1:]) / max(args.workers, 1)
        figures[f"sum_{name}"] = sum(added)
    return figures


def run_part(kind: str, path: Path, entries: int) -> dict[str, float]:
    """The figures of one data set, measured in a fresh process."""
    print(f"{kind}: writing a list of {entries:,} entries", flush=True)
    write_list(path, entries)
    print(f"{kind}: measuring", flush=True)
    ran = subprocess.run(
        [sys.executable, __file__, *sys.argv[1:], "--part", kind, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode:
        sys.exit(f"{kind} ended with code {ran.returncode}; try fewer entries")
    figures: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return figures


def table(figures: dict[str, dict[str, float]], entries: dict[str, int]) -> str:
    """Markdown: a row per figure, a column per data set, and the ratio if there are two."""
    names = list(figures)
    heads = [f"{name}, {entries[name]:,}" for name in names]
    lines = [["", *heads, *(["ratio"] if len(names) > 1 else [])]]
    for title, key, unit in ROWS:
        values = [figures[name].get(key) for name in names]
        cells = ["–" if value is None else f"{value * unit:,.3g}" for value in values]
        if len(names) > 1:
            known = None not in values and values[0] > 0
            cells.append(f"{values[1] / values[0]:,.2g}" if known else "–")
        lines.append([title, *cells])
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    args = parse_args()
    if args.part:
        print(json.dumps(measure(*args.part, args)))
        return
    entries = dict(IndexedImages=args.entries, CustomDataset=args.baseline_entries)
    entries = {name: count for name, count in entries.items() if count}
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, count in entries.items():
            path = Path(folder) / f"{name}.txt"
            figures[name] = run_part(name, path, count)
            if name == "IndexedImages":
                list_size = os.path.getsize(path) / 1e6
                index_size = os.path.getsize(f"{path}.index") / 1e6
                print(f"list {list_size:,.1f} MB, index {index_size:,.1f} MB")
    print(
        f"\n{args.workers} workers by {args.start_method}, each looked up {args.share:.0%} of the "
        "entries; memory is what the data set adds\n"
    )
    print(table(figures, entries))
    if len(set(entries.values())) > 1:
        print("\nThe numbers of entries differ, so the ratios are not of one size.")
    if args.json:
        Path(args.json).write_text(json.dumps(dict(entries=entries, figures=figures)))


if __name__ == "__main__":
    main()
