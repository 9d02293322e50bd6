"""Which figures of the hardware profile repeat, and which do not.

    python benchmarks/profile_repeat.py [--runs N] [--models FOLDER] [--bar 0.10]

Measures the whole profile N times, one after the other, each from the start in processes of its
own, and prints per figure the median of every run, the ratio of the largest to the smallest, the
largest spread within a run (distance of the quartiles over the median) and the highest CPU pressure
while it was measured. A figure repeats when the ratio is at most 1 + bar.

Nothing in it is random but the machine. What the machine did meanwhile is printed for each run: CPU
pressure (PSI: the share of time in which a task waited for a CPU, over the whole run and the
highest of a figure) and steal (the share of CPU time that the hypervisor gave to others, from
``/proc/stat``). Profiles measured here are not remembered.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from autorag.hardware import FIGURES, HardwareProfile
from autorag.ports import SystemClock
from collectors.hardware import Machine, measure_profile, read_identity
from collectors.pressure import PressureMark


@dataclass(frozen=True)
class Run:
    """One profile and what the machine did meanwhile."""

    profile: HardwareProfile
    pressure: float | None
    steal: float | None


def main() -> int:
    arguments = parse_arguments()
    identity, _ = read_identity()
    print(f"{identity.cpu_model}, {identity.usable_cores} usable cores, {identity.kernel}")
    print(f"{arguments.runs} runs, bar {arguments.bar:.0%}, load {os.getloadavg()[0]:.2f}\n")
    runs = [measured(arguments.models, number) for number in range(arguments.runs)]
    repeating = print_figures(runs, arguments.bar)
    print(f"\n{repeating} of {len(FIGURES)} figures repeat within {arguments.bar:.0%}")
    for figure in FIGURES:
        reasons = {r.profile.missing[figure] for r in runs if figure in r.profile.missing}
        if reasons:
            print(f"missing {figure}: {'; '.join(sorted(reasons))}")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--bar", type=float, default=0.10)
    home = os.environ.get("AUTORAG_HOME", Path.home() / ".local/share/autorag")
    parser.add_argument("--models", type=Path, default=Path(home) / "models")
    return parser.parse_args()


def measured(models: Path, number: int) -> Run:
    mark, before = PressureMark.now(), cpu_times()
    identity, unknown = read_identity()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        machine = Machine(Path(folder), models, SystemClock())
        profile = measure_profile(machine, identity, unknown)
    run = Run(profile, mark.since(), steal_share(before, cpu_times()))
    highest = max((r.pressure or 0.0 for r in profile.rates.values()), default=0.0)
    again = sum(r.passes > 1 for r in profile.rates.values())
    print(
        f"run {number}: {profile.seconds:.0f} s, CPU pressure {percent(run.pressure)} "
        f"(highest of a figure {highest:.0%}, {again} figures measured again), "
        f"steal {percent(run.steal)}",
        flush=True,
    )
    return run


def print_figures(runs: list[Run], bar: float) -> int:
    """A line a figure; how many repeat."""
    heads = "".join(f"{f'run {n}':>13}" for n in range(len(runs)))
    print(f"\n{'figure':<26}{heads}  {'unit':<9}{'ratio':>7}{'spread':>9}{'pressure':>10}")
    repeating = 0
    for figure, info in FIGURES.items():
        rates = [r.profile.rates[figure] for r in runs if figure in r.profile.rates]
        if len(rates) < len(runs):
            continue
        medians = [r.median for r in rates]
        ratio = max(medians) / min(medians)
        spread = max(r.spread or 0.0 for r in rates)
        pressure = max(r.pressure or 0.0 for r in rates)
        repeats = ratio <= 1 + bar
        repeating += repeats
        values = "".join(f"{m:>13,.4g}" for m in medians)
        verdict = "" if repeats else "  DIFFERS"
        told = f"{info.unit:<9}{ratio:>7.3f}{spread:>9.1%}{pressure:>10.1%}"
        print(f"{figure:<26}{values}  {told}{verdict}")
    return repeating


def cpu_times() -> list[int]:
    """Jiffies of all CPUs by kind, empty where ``/proc/stat`` is not there."""
    try:
        return [int(n) for n in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return []


def steal_share(before: list[int], after: list[int]) -> float | None:
    passed = [b - a for a, b in zip(before, after, strict=True)]
    return passed[7] / sum(passed) if sum(passed) else None


def percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.1%}"


if __name__ == "__main__":
    sys.exit(main())
