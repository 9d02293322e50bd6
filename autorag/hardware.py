"""The hardware profile: what a machine is, and the rates measured on it.

A figure has a name that ends in its unit; ``one`` is one core and ``all`` every usable core.
``FIGURES`` lists all. What could not be had stands in ``missing`` with the reason, never as 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any

from autorag.hashing import address

EMBED_LENGTHS = (32, 128, 512)
"""Tokens of the texts that are embedded."""

PAIR_TOKENS = (12, 128)
"""Tokens of a query and of a chunk, in late interaction."""

PROMPT_TOKENS = 256
"""What the generator reads."""

PQ_M = 48
"""Sub-quantisers of the codes that are scanned."""

FINGERPRINT_DIGITS = 16
GIB = 2**30


@dataclass(frozen=True, slots=True)
class FigureInfo:
    """A figure's unit and meaning."""

    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Rate:
    """A figure measured several times.

    Attributes:
        spread: distance of the quartiles over the median; None for a single repeat.
        pressure: share of the time in which some task waited for a CPU, 0..1; None if unknown.
        passes: how often all repeats were taken; those of the calmest pass are kept.
        busy: something else wanted the CPU, also in the calmest pass.
        note: what must be known to read it.
    """

    median: float
    spread: float | None
    unit: str
    repeats: int
    pressure: float | None = None
    passes: int = 1
    busy: bool = False
    note: str = ""

    @classmethod
    def of(cls, values: Sequence[float], unit: str, **conditions: Any) -> Rate:
        """The rate of these repeats, of which there is at least one; the rest is kept as given."""
        middle = median(values)
        if len(values) == 1:
            return cls(middle, None, unit, 1, **conditions)
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(middle, (high - low) / middle, unit, len(values), **conditions)


@dataclass(frozen=True, slots=True)
class Cache:
    """CPU caches of one kind; ``instances`` are those that the usable cores reach."""

    level: int
    kind: str
    kb: int
    instances: int


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as its driver describes it; what the driver does not tell is None."""

    name: str | None = None
    memory_mb: float | None = None
    driver: str | None = None
    compute_capability: str | None = None
    cores: int | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    memory_bus_bits: int | None = None
    power_limit_w: float | None = None
    pcie_generation: int | None = None
    pcie_lanes: int | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What the machine is, as this process may use it.

    Attributes:
        cpu_model: the name, with family, model and stepping where names are generic.
        isa: instruction set extensions that set the rates.
        cpu_quota: CPU seconds a second that the cgroups allow.
        memory_mb: the machine's memory, or what the cgroups allow of it.
        kernel: release of the operating system's kernel.
        software: versions of the probing code and of the libraries that set the rates.
    """

    cpu_model: str | None
    architecture: str
    isa: tuple[str, ...]
    caches: tuple[Cache, ...]
    usable_cores: int
    affinity_cores: int
    cpu_quota: float | None
    memory_mb: float | None
    gpus: tuple[Gpu, ...]
    kernel: str
    software: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """Equal as long as the rates should be: the same over restarts, another one when CPU,
        usable cores, memory, GPU, kernel series (major.minor: fixes keep it) or software change.
        The machine's name is not in it."""
        parts = {
            "cpu": [self.cpu_model, self.architecture, self.isa, [asdict(c) for c in self.caches]],
            "cores": self.usable_cores,
            "memory_gib": None if self.memory_mb is None else _whole_gib(self.memory_mb),
            "gpus": [[g.name, g.memory_mb] for g in self.gpus],
            "kernel": ".".join(self.kernel.split(".")[:2]),
            "software": dict(self.software),
        }
        return address(parts)[:FINGERPRINT_DIGITS]

    def last_level_kb(self, *, every: bool) -> int | None:
        """The last-level cache that one core reaches, or all usable ones together."""
        if not self.caches:
            return None
        last = max(self.caches, key=lambda c: c.level)
        return last.kb * (last.instances if every else 1)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Identity:
        """The inverse of ``asdict``."""
        parts = {
            "isa": tuple(row["isa"]),
            "caches": tuple(Cache(**c) for c in row["caches"]),
            "gpus": tuple(Gpu(**g) for g in row["gpus"]),
        }
        return cls(**{**row, **parts})


@dataclass(frozen=True, slots=True)
class HardwareProfile:
    """A machine and its rates.

    Attributes:
        rates: figure → rate, by the names of ``FIGURES``.
        missing: what could not be had → why.
        effort: ``full``, or ``quick`` for small problems and few repeats.
        seconds: what measuring took.
        measured_at: seconds since the epoch.
    """

    identity: Identity
    rates: Mapping[str, Rate]
    missing: Mapping[str, str] = field(default_factory=dict)
    effort: str = "full"
    seconds: float = 0.0
    measured_at: float = 0.0

    @property
    def fingerprint(self) -> str:
        return self.identity.fingerprint

    @property
    def busy(self) -> bool:
        """Whether any figure was measured while something else wanted the CPU."""
        return any(r.busy for r in self.rates.values())

    def value(self, figure: str) -> float | None:
        """The median of a figure, or None when it is missing."""
        rate = self.rates.get(figure)
        return None if rate is None else rate.median

    def to_json(self) -> dict[str, Any]:
        """A JSON object, read back by :meth:`from_json`."""
        return {"fingerprint": self.fingerprint, "busy": self.busy, **asdict(self)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> HardwareProfile:
        """The inverse of :meth:`to_json`."""
        kept = {k: v for k, v in row.items() if k not in ("fingerprint", "busy")}
        rates = {name: Rate(**r) for name, r in row["rates"].items()}
        return cls(**{**kept, "identity": Identity.from_json(row["identity"]), "rates": rates})


def _whole_gib(memory_mb: float) -> float:
    """Rounded up to GiB, below 4 to eighths: of a machine's memory the kernel keeps a little for
    itself, not always the same."""
    gib = memory_mb * 1e6 / GIB
    step = 1.0 if gib > 4 else 0.125
    return math.ceil(gib / step) * step


def _both(stem: str, unit_suffix: str, unit: str, meaning: str) -> dict[str, FigureInfo]:
    """A figure on one core and on all."""
    return {
        f"{stem}_{span}_{unit_suffix}": FigureInfo(unit, f"{meaning}, {cores}")
        for span, cores in (("one", "one core"), ("all", "all usable cores"))
    }


FIGURES: Mapping[str, FigureInfo] = {
    **_both("gemm_f32", "gflops", "GFLOP/s", "float32 matrix product (numpy)"),
    **_both("gemm_int8", "gops", "GOP/s", "int8 matrix product (onnxruntime)"),
    **_both("copy", "gb_s", "GB/s", "memory bandwidth, a = b"),
    **_both("triad", "gb_s", "GB/s", "memory bandwidth, a = b + s·c"),
    "random_access_ns": FigureInfo("ns", "one dependent access to memory beyond the caches"),
    "disk_write_mb_s": FigureInfo("MB/s", "sequential writing under AUTORAG_HOME"),
    "disk_read_mb_s": FigureInfo("MB/s", "sequential reading under AUTORAG_HOME"),
    "flat_scan_gb_s": FigureInfo("GB/s", "float32 vectors scanned by faiss, one core"),
    "pq_scan_gb_s": FigureInfo("GB/s", "4-bit PQ codes scanned by faiss fast-scan, one core"),
    "hnsw_distances_s": FigureInfo("/s", "HNSW distances over 384 dimensions, one core"),
    "bm25_postings_s": FigureInfo("/s", "BM25 postings scored, one core"),
    **{
        name: info
        for length in EMBED_LENGTHS
        for name, info in _both(
            f"embed_{length}", "tokens_s", "tokens/s", f"minilm-int8, texts of {length} tokens"
        ).items()
    },
    "static_tokens_s": FigureInfo("tokens/s", "the static embedder, one core"),
    "maxsim_pairs_s": FigureInfo("pairs/s", "late interaction over cached token vectors, one core"),
    **_both("ttft", "ms", "ms", f"generator, first token after {PROMPT_TOKENS} prompt tokens"),
    **_both("prefill", "tokens_s", "tokens/s", "generator, reading the prompt"),
    **_both("decode", "tokens_s", "tokens/s", "generator, writing the answer"),
}
"""Every figure of a complete profile, in the order in which they are shown."""
