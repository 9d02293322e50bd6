"""What counters around a block of 10 ms cost.

    python benchmarks/counters_overhead.py [--repeats N] [--threads N]

The block is a fixed number of matrix products on one thread, about 10 ms. Repeats with and without
counters around it are interleaved (which goes first alternates). Three figures, as median and
quartiles over the repeats:

1. *start + stop*: seconds from before ``start`` to after ``stop`` less the block's own, in place:
   the block has had the caches for itself in between. The bar: at most 1 % of 10 ms. *Back to back*
   is the same without a block, *values* is making numbers of what was read, which can wait.
2. *block*: how much longer the block itself runs while it is counted, over the run beside it.
3. every source alone, its two reads in place.

Then 1 again with threads that ran before the counters were opened (each of them is read on its
own), and with as many that started after (the kernel adds them up). On a machine that others keep
busy the caches are colder and figures in place up to twice as high; give it a core of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from collectors.counters import Counters
from collectors.counters.counters import call_all

BLOCK_S = 0.010
BAR = 0.01
SIZE = 96
SEED = 0

Work = Callable[[], object]


def main() -> int:
    arguments = parse_arguments()
    work = block()
    print(f"block of {BLOCK_S * 1e3:g} ms on one thread, {arguments.repeats} interleaved repeats")
    print(f"seed {SEED}, load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores\n")
    with closing(Counters()) as counters:
        counted = sum(reason is None for reason in counters.capabilities.values())
        print(f"{counted} of {len(counters.capabilities)} metrics can be had here\n")
        overhead, slowdown = around(counters, work, arguments.repeats)
        print(row("start + stop", overhead))
        print(row("  back to back", around(counters, nothing, arguments.repeats)[0]))
        print(row("  values", [making_values(counters) for _ in range(arguments.repeats)]))
        print(f"{'block, counted / bare':<28}{quartiles(slowdown, 1, 4)}\n")
        for name, seconds in sources(counters, work, arguments.repeats).items():
            print(row(f"  {name}", seconds))
    print()
    for when in ("before", "after"):
        seconds = beside_threads(when, arguments.threads, work, arguments.repeats // 4)
        print(row(f"{arguments.threads} threads started {when}", seconds))
    share = statistics.median(overhead) / BLOCK_S
    print(f"\nstart + stop: {share:.2%} of {BLOCK_S * 1e3:g} ms, bar {BAR:.0%}")
    return 0 if share <= BAR else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--threads", type=int, default=16, help="idle threads of the last rows")
    return parser.parse_args()


def block() -> Work:
    """Matrix products that take about ``BLOCK_S`` together."""
    matrix = np.random.default_rng(SEED).normal(size=(SIZE, SIZE))

    def products(count: int) -> None:
        for _ in range(count):
            matrix @ matrix

    some = 200
    once = min(timed(partial(products, some)) for _ in range(9)) / some
    return partial(products, round(BLOCK_S / once))


def around(counters: Counters, work: Work, repeats: int) -> tuple[Sequence[float], Sequence[float]]:
    """Seconds of start and stop, and the counted block over the bare one beside it."""
    overhead, slowdown = [], []
    for repeat in range(repeats):
        bare = timed(work) if repeat % 2 else 0.0
        began = time.perf_counter()
        counters.start()
        inside = timed(work)
        counters.stop()
        overhead.append(time.perf_counter() - began - inside)
        slowdown.append(inside / (bare or timed(work)))
    return overhead, slowdown


def nothing() -> None:
    """A block that leaves the caches alone."""


def making_values(counters: Counters) -> float:
    with counters:
        pass
    return timed(lambda: counters.values)


def sources(counters: Counters, work: Work, repeats: int) -> dict[str, Sequence[float]]:
    """Seconds of each source's two reads, with the block between them."""
    seconds: dict[str, list[float]] = {type(s).__name__: [] for s in counters.sources}
    for repeat in range(repeats):
        source = counters.sources[repeat % len(counters.sources)]
        began = time.perf_counter()
        call_all(source.begins)
        inside = timed(work)
        call_all(source.ends)
        seconds[type(source).__name__].append(time.perf_counter() - began - inside)
    return seconds


def beside_threads(when: str, threads: int, work: Work, repeats: int) -> Sequence[float]:
    """Seconds of start and stop with idle threads, started before or after opening."""
    done = threading.Event()
    idle = [threading.Thread(target=done.wait) for _ in range(threads)]
    try:
        if when == "before":
            start_all(idle)
        with closing(Counters()) as counters:
            if when == "after":
                start_all(idle)
            return around(counters, work, repeats)[0]
    finally:
        done.set()
        for thread in idle:
            thread.join()


def start_all(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.start()


def timed(work: Work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def row(name: str, seconds: Sequence[float]) -> str:
    return f"{name:<28}{quartiles(seconds, 1e6, 1)} us"


def quartiles(values: Sequence[float], scale: float, digits: int) -> str:
    low, middle, high = (v * scale for v in statistics.quantiles(values, n=4))
    return f"{middle:>9.{digits}f}   quartiles {low:.{digits}f} - {high:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
