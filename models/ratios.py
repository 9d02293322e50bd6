"""What a config takes on a workload and a machine: the analytic prediction, and what trees learned
that it misses.

For every *target* trees predict ``log(measured / analytic)`` from the knobs, the analytic model's
own figures and a few features of the workload: the constants of library calls that physics does not
know, how much a quantile lies above a typical query, how full chunks are. The total has trees of
its own: 95 % quantiles of stages do not add up. What a machine adds is no column, since trees
cannot tell a machine from the one workload that it timed: see ``models.hosts``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autorag.features import FEATURES
from models.analytic.columns import Floats
from models.analytic.stages import STAGES, Predictions
from models.boosting import Trees
from models.encoding import KNOB_COLUMNS, Matrix
from models.hosts import LEARNED_CORPORA, HostEffect

TOTAL = "latency"
TIMES = tuple(f"{what}_{q}_ms" for what in (TOTAL, *STAGES) for q in ("p50", "p95"))
CONTEXT_TOKENS = "context_tokens"
TOTALS = (f"{TOTAL}_p50_ms", f"{TOTAL}_p95_ms")

WHOLE = 50
"""Rows of a corpus that weighs as much as any."""

WORKLOAD = ("documents", "query_tokens_p50", "vocabulary_words", "document_tokens_p50")
"""Features that matter beside what the analytic model makes of them."""

ANALYTIC = (*STAGES, TOTAL, "chunks", "chunk_tokens", "distances", "postings")
COLUMNS: tuple[str, ...] = (
    *KNOB_COLUMNS,
    *(f"analytic.{name}" for name in ANALYTIC),
    *(f"feature.{name}" for name in WORKLOAD),
)

_FEATURES = [[f.name for f in FEATURES].index(name) for name in WORKLOAD]
_CONTEXTS = KNOB_COLUMNS.index("generate.contexts")


def time_rows(knobs: Matrix, features: Matrix, physics: Predictions) -> Matrix:
    """Rows ``(n, len(COLUMNS))`` of configs on one workload.

    Args:
        knobs: ``encode_configs``, ``(n, knobs)``.
        features: ``encode_workload``.
    """
    figures = np.stack([*_figures(physics).values()], axis=1)
    logs = np.log(figures, where=figures > 0, out=np.full(figures.shape, np.nan))
    known = np.tile(features[_FEATURES], (len(knobs), 1))
    return np.hstack([knobs, logs, known]).astype(np.float32)


def analytic(knobs: Matrix, physics: Predictions, target: str) -> Floats:
    """What physics predicts for a target, ``(n,)``; NaN where the stage does not run."""
    if target == CONTEXT_TOKENS:
        found: Floats = np.exp(knobs[:, _CONTEXTS].astype(np.float64)) * physics.chunk_tokens
        return found
    return _figures(physics)[target.split("_")[0]]


def corpus_weights(corpora: Sequence[str], whole: int = WHOLE) -> Floats:
    """Of rows of these corpora, so that every corpus weighs the same, however many rows it has; one
    of less than ``whole`` rows weighs less."""
    counts = Counter(corpora)
    return np.array([1.0 / max(counts[corpus], whole) for corpus in corpora])


@dataclass(frozen=True, slots=True)
class Ratios:
    """What trees learn from: ``n`` configs as they were measured.

    Attributes:
        rows: ``time_rows``.
        values: target → ``log(measured / analytic)`` ``(n,)``, NaN where not measured.
        corpora, machines: of the rows.
    """

    rows: Matrix
    values: Mapping[str, Floats]
    corpora: Sequence[str]
    machines: Sequence[str]

    def of(self, machines: Collection[str]) -> Ratios:
        """Those that were measured on one of these machines."""
        some = [i for i, machine in enumerate(self.machines) if machine in machines]
        return Ratios(
            self.rows[some],
            {target: values[some] for target, values in self.values.items()},
            [self.corpora[i] for i in some],
            [self.machines[i] for i in some],
        )

    def less(self, effects: Mapping[str, HostEffect]) -> Ratios:
        """Without what machines add."""
        knobs, machines = self.rows[:, : len(KNOB_COLUMNS)], np.array(self.machines)
        values = {target: column.copy() for target, column in self.values.items()}
        for machine, effect in effects.items():
            rows = np.flatnonzero(machines == machine)
            for target, column in values.items():
                column[rows] -= np.log(effect.factor(knobs[rows], target))
        return Ratios(self.rows, values, self.corpora, self.machines)

    def learnable(self) -> list[str]:
        """Machines that timed corpora enough for trees to learn from, the one that timed most
        first, which is one in any case."""
        pairs = Counter(
            machine for machine, _ in set(zip(self.machines, self.corpora, strict=True))
        )
        first, *others = sorted(pairs, key=lambda machine: (-pairs[machine], machine))
        return [first, *(m for m in others if pairs[m] >= LEARNED_CORPORA)]


@dataclass(frozen=True, slots=True)
class RatioModel:
    """Trees of every target that was learned.

    Attributes:
        machines: fingerprints of those that the trees learned from.
        hosts: fingerprint → what any machine adds but the one that timed most.
    """

    trees: Mapping[str, Trees]
    machines: frozenset[str]
    hosts: Mapping[str, HostEffect]

    @classmethod
    def fit(cls, ratios: Ratios, *, seed: int) -> RatioModel:
        """Fit; every corpus weighs the same. Trees grow on the machine that timed most, then on all
        that timed enough, without what these add to it."""
        first, *others = ratios.learnable()
        trees = _grown(ratios.of({first}), seed)
        if others:
            effects = {machine: _effect(ratios.of({machine}), trees) for machine in others}
            trees = _grown(ratios.of({first, *others}).less(effects), seed)
        hosts = {m: _effect(ratios.of({m}), trees) for m in sorted(set(ratios.machines) - {first})}
        return cls(trees, frozenset({first, *others}), hosts)

    def knows(self, machine: str) -> bool:
        """Whether anything was learned of a machine."""
        return machine in self.machines or (
            machine in self.hosts and bool(self.hosts[machine].coefficients)
        )

    def predict(
        self,
        knobs: Matrix,
        rows: Matrix,
        physics: Predictions,
        target: str,
        host: HostEffect | None = None,
    ) -> Floats:
        """The target ``(n,)``, in its unit; physics alone where nothing was learned of it, NaN
        where the stage does not run.

        Args:
            host: what the machine adds.
        """
        known = analytic(knobs, physics, target)
        if (trees := self.trees.get(target)) is not None:
            known = known * np.exp(trees.predict(rows))
        return known if host is None else known * host.factor(knobs, target)


def _grown(ratios: Ratios, seed: int) -> dict[str, Trees]:
    """Trees of every target that was measured."""
    found = {}
    for target, values in ratios.values.items():
        some = np.flatnonzero(np.isfinite(values))
        if some.size:
            weights = corpus_weights([ratios.corpora[i] for i in some.tolist()])
            found[target] = Trees.fit(ratios.rows[some], values[some], seed=seed, weights=weights)
    return found


def _effect(ratios: Ratios, trees: Mapping[str, Trees]) -> HostEffect:
    """What a machine adds to the trees, in times."""
    left = {
        target: ratios.values[target] - one.predict(ratios.rows)
        for target, one in trees.items()
        if target in TIMES
    }
    return HostEffect.fit(ratios.rows[:, : len(KNOB_COLUMNS)], left)


def _figures(physics: Predictions) -> dict[str, Floats]:
    return {
        **physics.stage_ms,
        TOTAL: physics.latency_ms,
        "chunks": physics.chunks,
        "chunk_tokens": physics.chunk_tokens,
        "distances": physics.distances,
        "postings": physics.postings,
    }
