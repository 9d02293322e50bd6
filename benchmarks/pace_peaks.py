"""How fast the machine is from moment to moment, alone and with its other cores at work.

    python -m benchmarks.pace_peaks [--seconds 5] [--rounds 3]

Protocol: the loop of ``autorag.pipeline.pace`` is run every ten milliseconds, pinned to one core;
in turns the other cores idle, or each runs a loop that never ends. Printed for each turn: quantiles
of the loop's CPU time over the least of all turns, and the share of moments that counts as slow
(``SLOW``), beside the kernel's CPU pressure. Cores that share nothing give the same figures in both
kinds of turn, threads of one core do not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from autorag.pipeline.pace import SLOW, Pace
from benchmarks.lessons.page import table
from collectors.pressure import PressureMark

PERIOD_S = 0.01
SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
ENDLESS = "while True: pass"


def main() -> None:
    arguments = parse_arguments()
    mine, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {mine})
    print(f"core {mine}, others {others or 'none'}; slow is {SLOW} times the least\n")
    turns = []
    for _ in range(arguments.rounds):
        for name, cores in (("idle", ()), ("busy", others)):
            with busy(cores):
                mark = PressureMark.now()
                turns.append((name, loops(arguments.seconds), mark.since() or 0.0))
    least = min(seconds.min() for _, seconds, _ in turns)
    headings = ("others", *(f"{s:.0%}" for s in SHARES), "slow", "CPU pressure")
    rows = (
        (
            name,
            *np.quantile(seconds / least, SHARES),
            f"{(seconds > SLOW * least).mean():.0%}",
            waited,
        )
        for name, seconds, waited in turns
    )
    print(table(headings, rows))


def loops(seconds: float) -> np.ndarray:
    """CPU seconds of the loop, again and again for so long."""
    pace, found = Pace(), []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found.append(pace.now())
        time.sleep(PERIOD_S)
    return np.array(found)


@contextmanager
def busy(cores: Sequence[int]) -> Iterator[None]:
    """Keep these cores at work meanwhile."""
    command = [sys.executable, "-S", "-c", ENDLESS]
    working = [subprocess.Popen(command) for _ in cores]
    for core, process in zip(cores, working, strict=True):
        os.sched_setaffinity(process.pid, {core})
    try:
        yield
    finally:
        for process in working:
            process.kill()
            process.wait()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
