"""The hardware profile of this machine: measured in child processes, remembered by fingerprint.

One child has one thread, a second one every usable core, so that the limits of all libraries are
real and the caller stays light. The host's measuring lease is held meanwhile: no trial is
disturbed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import IO

from autorag.hardware import FIGURES, HardwareProfile, Identity, Rate
from autorag.ports import Clock, Progress
from collectors.child import THREAD_VARIABLES
from collectors.hardware.identity import read_identity
from collectors.hardware.job import OUT_OF_TIME, Job
from collectors.hardware.sampling import EFFORTS, FULL, Effort, Setting, Span
from collectors.lease import measuring_lease
from collectors.pressure import PressureMark
from collectors.trial_process import PASSES

LIMIT_S = 60.0
SPANS: tuple[Span, ...] = ("one", "all")
ONE_CORE_SHARE = 0.7
"""Of the time in the first pass: one core has more figures."""

LEAST_S = 3.0
"""With less time left nothing is measured again."""

UNKNOWN_CACHE_KB = 32 * 1024
UNKNOWN_MEMORY_MB = 4096.0
"""What problem sizes are chosen by where the machine does not tell."""

STATIC = "static_tokens_s"
SETTLED_AFTER_S = 600.0
"""A profile that was measured more recently is not improved: the machine may be busy still."""

TAIL_LINES = 3


@dataclass(frozen=True)
class Machine:
    """Where a profile is measured.

    Attributes:
        home: keeps profiles under ``hardware/``; its disk is measured.
        models: folder of models made on this machine.
    """

    home: Path
    models: Path
    clock: Clock
    progress: Progress | None = None


def machine_profile(
    machine: Machine, *, again: bool = False, whole: bool = False
) -> HardwareProfile:
    """The profile that is remembered for this machine, or, without one or when asked for
    ``again``, a new one. Of a remembered one, what could not be measured well is measured again:
    see :func:`improvable`.

    Args:
        whole: what there was no time for is measured now: nothing can be predicted without.
    """
    identity, unknown = read_identity()
    path = profile_path(machine.home, identity)
    known = None if again else read_profile(path)
    if known is None:
        known = measure_profile(machine, identity, unknown)
        write_profile(known, path)
    elif figures := improvable(known, machine):
        known = _improved(known, machine, figures)
        write_profile(known, path)
    if whole and (lacking := unfinished(known)):
        known = _improved(known, machine, tuple(lacking))
        write_profile(known, path)
    return known


def improvable(known: HardwareProfile, machine: Machine) -> tuple[str, ...]:
    """Figures of a remembered profile to measure again: those of a busy machine and those that
    there was no time for, after a while; the static embedder's, once that is made."""
    figures: set[str] = set()
    if machine.clock.time() - known.measured_at > SETTLED_AFTER_S:
        figures |= {f for f, rate in known.rates.items() if rate.busy}
        figures |= {f for f, why in known.missing.items() if why.startswith(OUT_OF_TIME)}
    if STATIC in known.missing and _static_made(machine.models):
        figures.add(STATIC)
    return tuple(f for f in FIGURES if f in figures)


def unfinished(known: HardwareProfile) -> list[str]:
    """Figures of the pipeline that there was no time for, since the machine was busy."""
    generator = ("ttft_", "prefill_", "decode_")
    missing = (f for f, why in known.missing.items() if why.startswith(OUT_OF_TIME))
    return [figure for figure in missing if not figure.startswith(generator)]


def measure_profile(
    machine: Machine,
    identity: Identity,
    unknown: Mapping[str, str],
    *,
    effort: Effort = FULL,
    figures: Collection[str] = FIGURES,
) -> HardwareProfile:
    """Measure these figures, in ``LIMIT_S`` seconds at most once the lease is held. Those during
    which something else wanted the CPU are measured again at the end, while time is left.

    Args:
        unknown: what about the identity could not be had → why.
    """
    with measuring_lease(waiting=lambda: _report(machine, "waiting for another measurement")):
        started = time.monotonic()
        found = _Found()
        for number, span in product(range(PASSES), SPANS):
            left = LIMIT_S - (time.monotonic() - started)
            wanted = found.busy if number else figures
            todo = tuple(f for f in FIGURES if f in wanted and span_of(f) == span)
            if todo and (number == 0 or left > LEAST_S):
                limit_s = left * ONE_CORE_SHARE if (number, span) == (0, "one") else left
                setting = _setting(machine, identity, effort, span)
                _probe(Job(setting, todo, limit_s), machine, found)
        seconds = time.monotonic() - started
    psi = PressureMark.now().waited_us
    pressure = {"cpu_pressure": "this kernel has no PSI"} if psi is None else {}
    missing = {**unknown, **pressure, **found.missing}
    rates = found.ordered()
    return HardwareProfile(identity, rates, missing, effort.name, seconds, machine.clock.time())


def span_of(figure: str) -> Span:
    """Whether a figure is measured on one core or on all."""
    return "all" if "_all_" in figure else "one"


def profile_path(home: Path, identity: Identity) -> Path:
    """Where the profile of such a machine is remembered."""
    return home / "hardware" / f"{identity.fingerprint}.json"


def read_profile(path: Path) -> HardwareProfile | None:
    """A remembered profile; one that is not there or cannot be read is measured again."""
    try:
        return HardwareProfile.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


@dataclass
class _Found:
    """What the children told."""

    rates: dict[str, Rate] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, figure: str, rate: Rate) -> None:
        """Keep the one of two passes that was less disturbed, with the number of passes."""
        self.missing.pop(figure, None)
        known = self.rates.get(figure)
        if known is not None:
            calmer = min(known, rate, key=lambda r: r.pressure or 0.0)
            rate = replace(calmer, passes=known.passes + 1)
        self.rates[figure] = rate

    @property
    def busy(self) -> set[str]:
        """The figures to be measured again."""
        return {figure for figure, rate in self.rates.items() if rate.busy}

    def ordered(self) -> dict[str, Rate]:
        return {f: self.rates[f] for f in FIGURES if f in self.rates}


def _improved(
    known: HardwareProfile, machine: Machine, figures: Collection[str]
) -> HardwareProfile:
    """The profile with these figures measured again; a busier one than before is not taken."""
    effort = EFFORTS[known.effort]
    added = measure_profile(machine, known.identity, {}, effort=effort, figures=figures)
    taken = {
        figure: rate
        for figure, rate in added.rates.items()
        if figure not in known.rates or not _busier(rate, known.rates[figure])
    }
    missing = {f: why for f, why in {**known.missing, **added.missing}.items() if f not in taken}
    rates = _Found({**known.rates, **taken}).ordered()
    return replace(known, rates=rates, missing=missing, measured_at=added.measured_at)


def _busier(rate: Rate, before: Rate) -> bool:
    return (rate.pressure or 0.0) > (before.pressure or 0.0)


def _static_made(models: Path) -> bool:
    from autorag.pipeline.embedders import static_folder

    return static_folder(models).is_dir()


def _setting(machine: Machine, identity: Identity, effort: Effort, span: Span) -> Setting:
    cache_kb = identity.last_level_kb(every=span == "all") or UNKNOWN_CACHE_KB
    memory_mb = identity.memory_mb or UNKNOWN_MEMORY_MB
    threads = identity.usable_cores if span == "all" else 1
    cache_bytes, memory_bytes = cache_kb * 1024, int(memory_mb * 1e6)
    return Setting(span, threads, effort, machine.home, machine.models, cache_bytes, memory_bytes)


def _probe(job: Job, machine: Machine, found: _Found) -> None:
    """Run a child to its end, or to its limit, and take in what it tells."""
    limits = dict.fromkeys(THREAD_VARIABLES, str(job.setting.threads))
    command = [sys.executable, "-P", "-m", "collectors.hardware.child"]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*command, job.to_json(), str(os.getpid())],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **limits, "HF_HUB_OFFLINE": "1"},
            text=True,
        ) as child,
    ):
        started = time.monotonic()
        watch = threading.Timer(job.limit_s, child.kill)
        watch.start()
        try:
            assert child.stdout is not None
            _listen(child.stdout, job.setting.span, machine, found)
            overdue = time.monotonic() - started >= job.limit_s
        finally:
            watch.cancel()
            child.kill()
            code = child.wait()
        errors.seek(0)
        tail = " ".join(errors.read().splitlines()[-TAIL_LINES:])
    why = f"{OUT_OF_TIME} {job.limit_s:.0f} s"
    if not overdue:
        why = f"the probing process ended with {code}: {tail}"
    for figure in job.figures:
        if figure not in found.rates:
            found.missing.setdefault(figure, why)


def _listen(lines: IO[str], span: Span, machine: Machine, found: _Found) -> None:
    for line in lines:
        row = json.loads(line) if line.startswith("{") else {}
        if "at" in row and machine.progress is not None:
            machine.progress(f"{row['at']}, {_cores(span)}", row["done"], row["total"])
        if "rate" in row:
            found.add(row["figure"], Rate(**row["rate"]))
        if "missing" in row and row["figure"] not in found.rates:
            found.missing[row["figure"]] = row["missing"]


def _cores(span: Span) -> str:
    return "one core" if span == "one" else "all cores"


def _report(machine: Machine, stage: str) -> None:
    if machine.progress is not None:
        machine.progress(stage, 0, 0)


def write_profile(profile: HardwareProfile, path: Path) -> None:
    """Remember a profile; atomic."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{uuid.uuid4().hex}.draft")
    draft.write_text(json.dumps(profile.to_json(), indent=1), encoding="utf-8")
    draft.replace(path)
