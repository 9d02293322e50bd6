"""A machine as the analytic models see it: rates, memory levels, threads.

Rates are the figures of its hardware profile. A figure that is missing on one core is taken from
that on all cores, and the other way round, in the proportion that the machine's matrix products (or
memory bandwidth) have; one that is missing on both raises an error that names it.

What lies in the cache when a stage starts depends on what the stages of a query touched since it
last ran. Touched bytes go through the last-level cache: once they outgrow it, as those of a
transformer's weights do, every stage finds its data *and its code* in memory, which costs a small
search ten times its own work. ``evicted`` is the share that is gone, between 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from autorag.errors import InputError
from autorag.hardware import FIGURES, HardwareProfile
from models.analytic.columns import Floats, Numbers, Rows

CACHE_SHARE = 0.38
"""Of the last-level cache that a virtual machine is told of, what it gets to itself: its neighbours
use it too. On random vectors flat scans turned from cache to memory speed there."""

UNKNOWN_CACHE_KB = 16_384
EVICTION_SHARPNESS = 4
"""Of the turn from all kept to all evicted: a scan larger than a cache that drops what was used
least recently finds nothing of it, so the turn is sharp."""

LEAST_SHARE = 1e-6
BANDWIDTH_SHARE = 0.9
"""Of the triad's bandwidth, what a scan gets where the profile does not time the scan itself."""

_SPANS = {"one": "all", "all": "one"}
_BOUND = {"embed": "gemm_f32_{}_gflops", "prefill": "gemm_int8_{}_gops", "decode": "triad_{}_gb_s"}
"""What limits a figure that has both spans."""


class Machine:
    """Rates of one profile."""

    def __init__(self, profile: HardwareProfile) -> None:
        self._profile = profile
        self._rates: dict[str, float] = {}
        self.cores = profile.identity.usable_cores

    def rate(self, figure: str) -> float:
        """A figure, in its own unit.

        Raises:
            InputError: neither it nor what could stand in was measured.
        """
        known = self._rates.get(figure)
        if known is None:
            known = self._rates[figure] = self._resolve(figure)
        return known

    def speedup(self, stem: str, suffix: str, threads: Numbers) -> Floats:
        """How many times faster than on one core (Amdahl, 1967), one number for each of
        ``threads``; the parallel share is what the figures on one core and on all say."""
        used = np.clip(threads, 1, self.cores)
        if np.all(used == 1):
            return np.ones_like(used, dtype=np.float64)
        one, every = (self.rate(f"{stem}_{span}_{suffix}") for span in ("one", "all"))
        parallel = (1 - one / every) / (1 - 1 / self.cores)
        parallel = min(1.0, max(0.0, parallel))
        return np.where(used == 1, 1.0, 1 / (1 - parallel + parallel / used))

    @cached_property
    def cache_bytes(self) -> float:
        """Last-level cache that can be counted on."""
        kb = self._profile.identity.last_level_kb(every=True) or UNKNOWN_CACHE_KB
        return CACHE_SHARE * kb * 1024

    @cached_property
    def bandwidth(self) -> float:
        """Bytes a second that one core reads in sequence."""
        return self.rate("flat_scan_gb_s") * 1e9

    @cached_property
    def miss_s(self) -> float:
        """Seconds of an access to memory on whose result the next one waits."""
        return self.rate("random_access_ns") * 1e-9

    @cached_property
    def flops(self) -> float:
        """float32 operations a second of one core, in matrix products."""
        return self.rate("gemm_f32_one_gflops") * 1e9

    def evicted(self, touched_bytes: Floats) -> Floats:
        """Share of the cache's content that is gone after so many bytes ``(n,)`` were touched."""
        ratio = (touched_bytes / self.cache_bytes) ** EVICTION_SHARPNESS
        return ratio / (1 + ratio)

    def _resolve(self, figure: str) -> float:
        value = self._profile.value(figure)
        if value is None:
            value = self._stand_in(figure)
        if value is None:
            reason = self._profile.missing.get(figure, "it was not measured")
            meaning = FIGURES[figure].meaning
            raise InputError(
                f"the hardware profile has no {figure} ({meaning}): {reason}", key=figure
            )
        return value

    def _stand_in(self, figure: str) -> float | None:
        if figure == "flat_scan_gb_s":
            triad = self._profile.value("triad_one_gb_s")
            return None if triad is None else BANDWIDTH_SHARE * triad
        stem, span = figure.split("_")[0], next((s for s in _SPANS if f"_{s}_" in figure), "")
        if stem not in _BOUND or not span:
            return None
        other = self._profile.value(figure.replace(f"_{span}_", f"_{_SPANS[span]}_"))
        here, there = (self._profile.value(_BOUND[stem].format(s)) for s in (span, _SPANS[span]))
        if other is None or here is None or there is None:
            return None
        return other * here / there


@dataclass(frozen=True, slots=True)
class Operator:
    """A step of a query under ``n`` configs; every field is one number for all, or ``(n,)``.

    Attributes:
        compute_s: seconds when all it needs is in the cache, those of calling it included.
        lines: cache lines that it reads one after the other, waiting for each.
        scanned: bytes that it reads in sequence.
        share: part of its data that one query uses; another query uses another part, so that what
            is used again was last used ``1 / share`` queries ago.
    """

    compute_s: Numbers
    lines: Numbers = 0.0
    scanned: Numbers = 0.0
    share: Numbers = 1.0

    def seconds(self, machine: Machine, touched_bytes: Floats) -> Floats:
        """The roofline at the level of memory where its data lies, and what it waits for ``(n,)``.

        Args:
            touched_bytes: by all stages of a query together ``(n,)``.
        """
        evicted = machine.evicted(touched_bytes / np.maximum(self.share, LEAST_SHARE))
        moving = evicted * self.scanned / machine.bandwidth
        return evicted * self.lines * machine.miss_s + np.maximum(self.compute_s, moving)


class Step(NamedTuple):
    """An operator of some configs only: of those in these ``rows`` ``(k,)``, in their order."""

    rows: Rows
    operator: Operator
