"""What bounds training, however much was measured.

Rows of one workload are alike, and so are workloads of one corpus: beyond some, more of them cost
time and say little. So training takes the newest workloads of every corpus, of the corpora that
were measured last, and an even part of their rows. Calibration leaves corpora out in at most
``models.calibration.FOLDS`` groups, and trains on fewer rows still: it asks how far models are off,
not for the best.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from models.examples import Example, Timed
from models.recall import Searched

MOST_WORKLOADS = 2
"""Of a corpus."""

MOST_CORPORA = 100

MOST_ROWS = 1_000
"""Of a workload: of its qualities, of its times in one repeat on one machine, of its searches."""

CALIBRATED_ON = 40_000
"""Rows that are trained on while corpora are left out."""


def bounded(examples: Sequence[Example]) -> list[Example]:
    """What is trained on, in the given order."""
    newest = sorted(range(len(examples)), key=lambda i: -_measured_at(examples[i]))
    taken: dict[str, list[int]] = {}
    for i in newest:
        taken.setdefault(examples[i].corpus, []).append(i)
    corpora = list(taken)[:MOST_CORPORA]
    kept = sorted(i for corpus in corpora for i in taken[corpus][:MOST_WORKLOADS])
    return [_thinned(examples[i], MOST_ROWS) for i in kept]


def bounded_searches(searched: Sequence[Searched]) -> list[Searched]:
    """What recall is learned from: of every corpus each search once, an even part of them."""
    rows: dict[str, dict[bytes, tuple[np.ndarray, float]]] = {}
    for one in searched:
        for row, recall in zip(one.rows, one.recall.tolist(), strict=True):
            rows.setdefault(one.corpus, {})[row.tobytes()] = row, recall
    return [_some(corpus, list(found.values())) for corpus, found in rows.items()][-MOST_CORPORA:]


def _some(corpus: str, found: Sequence[tuple[np.ndarray, float]]) -> Searched:
    kept = [found[i] for i in _evenly(len(found), MOST_ROWS).tolist()]
    return Searched(corpus, np.stack([r for r, _ in kept]), np.array([v for _, v in kept]))


def calibrating(examples: Sequence[Example]) -> list[Example]:
    """What is trained on while corpora are left out."""
    rows = sum(len(t.configs) for e in examples for t in e.timed)
    if rows <= CALIBRATED_ON:
        return list(examples)
    share = CALIBRATED_ON / rows
    return [_thinned(e, max(1, int(share * _most_rows(e.timed)))) for e in examples]


def _measured_at(example: Example) -> float:
    moments = [float(np.nanmax(t.measured_at)) for t in example.timed]
    return max(moments, default=0.0)


def _most_rows(timed: Iterable[Timed]) -> int:
    return max((len(t.configs) for t in timed), default=0)


def _thinned(example: Example, most: int) -> Example:
    if max(_most_rows(example.timed), len(example.configs)) <= most:
        return example
    rows = _evenly(len(example.configs), most)
    parts = [t.take(_evenly(len(t.configs), most)) for t in example.timed]
    return replace(example.take(rows), timed=tuple(parts))


def _evenly(count: int, most: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.intp)
