"""The machine's roofs: float32 matrix products, memory bandwidth, the latency of memory.

The roofline model (Williams, Waterman and Patterson, 2009) bounds a computation of intensity ``I``
operations a byte by ``min(peak, I × bandwidth)``. Bandwidth is counted as in STREAM (McCalpin,
1995): arrays read and written, without the reads that caches add to writes.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from collectors.hardware.sampling import Probe, Sampling, Setting, rates, taking

GEMM_ONE, GEMM_ALL = 1024, 2048
LINE_BYTES = 64
SEED = 0


def gemm(setting: Setting) -> Iterator[Sampling]:
    """Float32 products of square matrices by numpy's BLAS; a multiply-add is two operations."""
    n = gemm_size(setting)
    rng = np.random.default_rng(SEED)
    a, b = (rng.random((n, n), dtype=np.float32) for _ in range(2))
    c = np.empty_like(a)
    name = f"gemm_f32_{setting.span}_gflops"
    run = partial(np.matmul, a, b, out=c)
    yield Sampling(taking(name, run, 2e-9 * n**3, setting), f"n = {n}")


def gemm_size(setting: Setting) -> int:
    """Rows of a matrix, in whole registers."""
    full = GEMM_ONE if setting.span == "one" else GEMM_ALL
    return max(64, int(full * setting.effort.scale**0.5) // 64 * 64)


def bandwidth(setting: Setting) -> Iterator[Sampling]:
    """``a = b`` and ``a = b + s·c`` by numpy, every thread on arrays of its own.

    numpy has no fused triad: it writes ``s·c`` to ``a``, then adds ``b``, which moves five arrays
    instead of three, and five are counted.
    """
    size, note = setting.array_bytes()
    length = size // 4 // setting.threads
    with ThreadPoolExecutor(setting.threads) as pool:
        parts = list(pool.map(lambda _: _three_arrays(length), range(setting.threads)))
        moved = 4e-9 * length * setting.threads

        def together(work: Callable[[tuple[np.ndarray, ...]], None]) -> Callable[[], object]:
            return lambda: list(pool.map(work, parts))

        for name, work, arrays in (("copy", _copy, 2), ("triad", _triad, 5)):
            figure = f"{name}_{setting.span}_gb_s"
            take = taking(figure, together(work), arrays * moved, setting)
            yield Sampling(take, _sized(size, note))


def latency(setting: Setting) -> Iterator[Sampling]:
    """Nanoseconds from one access to the next that needs its result: a walk along a list whose
    elements lie in random order, one to a cache line.

    The walker is glibc's own ``_obstack_allocated_p``, which follows ``prev`` pointers from chunk
    to chunk until one holds an address (obstack.h): a C loop that needs no compiler. No chunk holds
    the address asked for. Memory comes straight from the kernel, as a large index's does.
    """
    size, note = setting.array_bytes()
    walk = ctypes.CDLL(None)._obstack_allocated_p
    walk.argtypes, walk.restype = [ctypes.c_void_p, ctypes.c_void_p], ctypes.c_int
    memory = mmap.mmap(-1, size)
    lines = np.frombuffer(memory, dtype=np.uint64).reshape(-1, LINE_BYTES // 8)
    start = _random_list(lines)
    obstack = (ctypes.c_uint64 * 16)(0, start)  # the chunk size, then the newest chunk
    nowhere = ctypes.c_void_p(2**64 - 1)

    def nanoseconds() -> dict[str, list[float]]:
        walks = rates(lambda: walk(ctypes.addressof(obstack), nowhere), len(lines), setting.effort)
        return {"random_access_ns": [1e9 / w for w in walks]}

    yield Sampling(nanoseconds, _sized(size, note))


def lacks_walker(_: Setting) -> str | None:
    found = hasattr(ctypes.CDLL(None), "_obstack_allocated_p")
    return None if found else "needs glibc, whose list walker times it"


def _random_list(lines: np.ndarray) -> int:
    """Link all lines, uint64 ``(n, 8)``, in random order as obstack chunks: the address where a
    chunk ends (0, so that it holds nothing), then that of the next. The first one's address."""
    base = lines.ctypes.data
    order = np.random.default_rng(SEED).permutation(len(lines)).astype(np.uint64)
    addresses = base + order * LINE_BYTES
    lines[order[:-1], 1] = addresses[1:]
    lines[order[-1], 1] = 0
    return int(addresses[0])


def _three_arrays(length: int) -> tuple[np.ndarray, ...]:
    """Filled here, by the thread that will use them, so that they lie in its own memory."""
    return tuple(np.full(length, v, dtype=np.float32) for v in (0.0, 1.0, 2.0))


def _copy(arrays: tuple[np.ndarray, ...]) -> None:
    np.copyto(arrays[0], arrays[1])


def _triad(arrays: tuple[np.ndarray, ...]) -> None:
    a, b, c = arrays
    np.multiply(c, np.float32(3), out=a)
    np.add(a, b, out=a)


def _sized(size: int, note: str) -> str:
    return f"{size >> 20} MiB" + (f", {note}" if note else "")


def probes(span: str) -> list[Probe]:
    """The probes of one core or of all; latency is one core's."""
    matrix = Probe("f32 matrix product", (f"gemm_f32_{span}_gflops",), gemm)
    moving = Probe("memory bandwidth", (f"copy_{span}_gb_s", f"triad_{span}_gb_s"), bandwidth)
    waiting = Probe("memory latency", ("random_access_ns",), latency, lacks_walker)
    return [matrix, moving, *([waiting] if span == "one" else [])]
