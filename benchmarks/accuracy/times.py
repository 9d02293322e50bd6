"""Times and tokens: physics, trees, and both, on what was left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import spearmanr

from benchmarks.lessons.page import table
from models.analytic.columns import Floats
from models.boosting import Trees
from models.encoding import KNOB_COLUMNS
from models.examples import Example
from models.ratios import CONTEXT_TOKENS, TIMES, WORKLOAD, analytic, corpus_weights, time_rows
from models.training import fit_ratios

SHOWN = (*(t for t in TIMES if "p50" in t), "latency_p95_ms", CONTEXT_TOKENS)
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Errors:
    """Of one target on one workload."""

    mape: float
    p90: float
    rank: float

    @classmethod
    def of(cls, predicted: Floats, measured: Floats) -> Errors:
        known = np.isfinite(predicted) & np.isfinite(measured)
        error = np.abs(predicted[known] / measured[known] - 1)
        rank = spearmanr(predicted[known], measured[known]).statistic
        return cls(float(error.mean()), float(np.quantile(error, 0.9)), float(rank))


def about_times(examples: Sequence[Example], seed: int) -> str:
    """Every split and kind of model, a row a target."""
    rows = []
    for split in ("corpus", "family", "size", "rows"):
        found: dict[tuple[str, str], list[Errors]] = {}
        for known, asked in splits(examples, split, seed):
            both = fit_ratios(known, SHOWN, seed)
            alone = fit_learned(known, seed)
            for e in asked:
                for t in e.timed:
                    inputs = time_rows(t.knobs, e.described, t.physics)
                    for target in SHOWN:
                        predicted = {
                            "analytic": analytic(t.knobs, t.physics, target),
                            "learned": np.exp(alone[target].predict(_without_physics(inputs))),
                            "both": both.predict(
                                t.knobs, inputs, t.physics, target, both.hosts.get(t.machine)
                            ),
                        }
                        for kind, values in predicted.items():
                            error = Errors.of(values, t.measured[target])
                            found.setdefault((target, kind), []).append(error)
        for (target, kind), errors in found.items():
            mape, p90, rank = (
                float(np.nanmean([getattr(x, name) for x in errors]))
                for name in ("mape", "p90", "rank")
            )
            worst = max(x.mape for x in errors)
            shown = (f"{mape:.1%}", f"{worst:.1%}", f"{p90:.1%}", f"{rank:.2f}")
            rows.append((split, target, kind, *shown))
    headings = ("left out", "target", "models", "MAPE", "worst workload", "p90", "Spearman")
    return table(headings, rows)


def splits(
    examples: Sequence[Example], split: str, seed: int
) -> Iterator[tuple[list[Example], list[Example]]]:
    """(what is learned from, what is asked) of every fold."""
    if split == "rows":
        yield from _rows_out(examples, seed)
        return
    for name in dict.fromkeys(_group(e, split, examples) for e in examples if e.timed):
        asked = [e for e in examples if e.timed and _group(e, split, examples) == name]
        corpora = {e.corpus for e in asked}
        known = [
            e
            for e in examples
            if e.corpus not in corpora and _group(e, split, examples) != name and e.timed
        ]
        if known:
            yield known, asked


def _group(example: Example, split: str, examples: Sequence[Example]) -> str:
    if split == "size":
        sizes = sorted(float(e.features.corpus.tokens or 0.0) for e in examples)
        edges = np.quantile(sizes, (0.25, 0.5, 0.75))
        return str(int(np.searchsorted(edges, float(example.features.corpus.tokens or 0.0))))
    return str(getattr(example, split))


def _rows_out(
    examples: Sequence[Example], seed: int
) -> Iterator[tuple[list[Example], list[Example]]]:
    """A fifth of the configs of all workloads in turn."""
    timed = [e for e in examples if e.timed]
    rng = np.random.default_rng(seed)
    folds = [[rng.integers(0, FOLDS, len(e.timed[0].configs)) for _ in e.timed[:1]] for e in timed]
    for fold in range(FOLDS):
        yield (
            [_taken(e, f[0] != fold) for e, f in zip(timed, folds, strict=True)],
            [_taken(e, f[0] == fold) for e, f in zip(timed, folds, strict=True)],
        )


def _taken(example: Example, kept: np.ndarray) -> Example:
    """With some of the timed configs; repeats whose configs are others are left out."""
    first = example.timed[0].configs
    rows = np.flatnonzero(kept)
    parts = tuple(t.take(rows) for t in example.timed if t.configs == first)
    return replace(example, timed=parts)


def fit_learned(examples: Sequence[Example], seed: int) -> dict[str, Trees]:
    """Trees on the logarithm of what was measured, which see no physics."""
    timed = [(e, t) for e in examples for t in e.timed]
    inputs = np.vstack(
        [_without_physics(time_rows(t.knobs, e.described, t.physics)) for e, t in timed]
    )
    corpora = [e.corpus for e, t in timed for _ in t.configs]
    found = {}
    for target in SHOWN:
        measured = np.concatenate([t.measured[target] for _, t in timed])
        some = np.flatnonzero(np.isfinite(measured))
        weights = corpus_weights([corpora[i] for i in some.tolist()])
        found[target] = Trees.fit(inputs[some], np.log(measured[some]), seed=seed, weights=weights)
    return found


def _without_physics(inputs: np.ndarray) -> np.ndarray:
    """Columns of the knobs and of the workload."""
    return np.hstack([inputs[:, : len(KNOB_COLUMNS)], inputs[:, -len(WORKLOAD) :]])
