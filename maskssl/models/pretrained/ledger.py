"""What became of every tensor of a load, as text and as plain values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

VERSION = 1


@dataclass
class Ledger:
    """What became of every tensor of a load.

    Attributes:
        origin: the file.
        source: whose map read it.
        branch: 'student' or 'teacher'.
        sha256: of the file, hexadecimal; empty where it was not computed.
        used: PlainViT's names, loaded as they are or joined of parts.
        resized: PlainViT's name -> how.
        dropped: name -> why, of the encoder.
        outside: their name -> why, of what is not the encoder's.
        fresh: name -> why the model's own value may stay.
        parts: PlainViT's name -> their names, of every tensor.
        mean: that its images are normalised by, per channel in RGB of 0..255.
        std: likewise.
        assumed: what no tensor tells -> its value, and who said so.
        accepted: mismatches that an option let pass.
        notes: mismatches that are legitimate, and should be known.
        problems: sentences; any of them refuses the load.
    """

    origin: str
    source: str = ""
    branch: str = ""
    sha256: str = ""
    used: list[str] = field(default_factory=list)
    resized: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    outside: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    assumed: dict[str, str] = field(default_factory=dict)
    accepted: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"loaded {len(self.used) + len(self.resized)} tensors from {self.origin}"]
        if self.source:
            lines[0] += f" ({self.source}, {self.branch})"
        lines += [f"  resized {name}: {how}" for name, how in self.resized.items()]
        lines += [f"  fresh {len(names)} x {why}" for why, names in _grouped(self.fresh).items()]
        for why, names in _grouped(self.dropped).items():
            lines.append(f"  dropped {len(names)} ({why}): {', '.join(_shortened(names))}")
        for why, names in _grouped(self.outside).items():
            lines.append(f"  left {len(names)} ({why}): {', '.join(_shortened(names, 1))}")
        lines += [f"  assumed {what}: {value}" for what, value in self.assumed.items()]
        lines += [f"  accepted: {sentence}" for sentence in self.accepted]
        lines += [f"  note: {sentence}" for sentence in self.notes]
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Plain values alone, for a file beside the run and for a checkpoint's metadata."""
        parts = {name: list(names) for name, names in self.parts.items()}
        counts = {
            what: len(getattr(self, what)) for what in ("used", "resized", "dropped", "fresh")
        }
        return dict(version=VERSION, counts=counts, **(asdict(self) | dict(parts=parts)))


def _grouped(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, why in reasons.items():
        groups.setdefault(why, []).append(name)
    return groups


def _shortened(names: list[str], depth: int = 2, limit: int = 6) -> list[str]:
    stems = list(dict.fromkeys(".".join(name.split(".")[:depth]) for name in names))
    return stems if len(stems) <= limit else [*stems[:limit], "…"]
