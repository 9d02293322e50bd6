"""Which knobs matter: variance explained per factor and per pair, and what one change does.

A *factor* is a group of knobs that the design varies together (a chunking is one of a few splitters
with its size and overlap). Values are scaled to mean 0 and variance 1 within each workload. Main
effects are fitted by least squares on indicator variables of each factor's levels; since factors
are not all crossed, the explained variance is shared out by averaging over all orders in which they
can enter (Lindeman, Merenda and Gold 1980; the Shapley value of R²), so that shares add up to the
R² of the additive model. A pair's share is what its cells explain beyond the additive model, both
adjusted for the number of parameters. Each workload is fitted alone; figures are means over
workloads, with the least and the most.

*One change*: pairs of configs that differ in one factor only (knobs that one of them has not do not
count: a config without a reranker has no depth). It does not depend on how often a
level is in the design.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any

import numpy as np

from benchmarks.lessons.landscapes import Knobs

QUALITY_FACTORS: Mapping[str, tuple[str, ...]] = {
    "chunking": ("chunk.",),
    "dense weight": ("retrieve.mode", "retrieve.alpha"),
    "embedder": ("embed.model",),
    "reranker": ("rerank.model",),
    "rerank depth, weight": ("rerank.depth", "rerank.weight"),
}
"""Factors that are crossed in every chunking; the names of their knobs, or how these begin."""

SWEPT_FACTORS: Mapping[str, tuple[str, ...]] = {
    **QUALITY_FACTORS,
    "dimensions": ("embed.dim",),
    "index": ("index.", "retrieve.nprobe", "retrieve.ef_search", "retrieve.refine"),
    "k": ("retrieve.k", "generate.contexts"),
    "threads": ("threads.",),
}
"""Those and the ones that are swept at the default chunking only."""

INDEX_FACTORS: Mapping[str, tuple[str, ...]] = {
    "kind": ("index.kind",),
    "build": ("index.nlist", "index.pq_m", "index.hnsw_m", "index.ef_construction"),
    "search effort": ("retrieve.nprobe", "retrieve.ef_search"),
    "refine": ("retrieve.refine",),
    "dimensions": ("embed.dim",),
}

Level = tuple[Any, ...]


@dataclass(frozen=True)
class Explained:
    """Shares of variance, one entry a workload.

    Attributes:
        mains: factor → ``(workloads,)``.
        pairs: two factors → ``(workloads,)``, beyond the additive model.
        additive: R² of the additive model, ``(workloads,)``.
    """

    mains: Mapping[str, np.ndarray]
    pairs: Mapping[tuple[str, str], np.ndarray]
    additive: np.ndarray


@dataclass(frozen=True, slots=True)
class Change:
    """What changing one factor does: quantiles over pairs of configs and workloads."""

    factor: str
    pairs: int
    median: float
    p90: float


def crossed(configs: Sequence[Knobs], factors: Mapping[str, tuple[str, ...]]) -> np.ndarray:
    """Columns of the configs whose knobs outside the factors have their most frequent values."""
    inside = {k for c in configs for names in factors.values() for k in _named(c, names)}
    seen: dict[str, Counter[Any]] = {}
    for config in configs:
        for knob in config.keys() - inside:
            seen.setdefault(knob, Counter())[config[knob]] += 1
    usual = {knob: values.most_common(1)[0][0] for knob, values in seen.items()}
    kept = [all(c[k] == v for k, v in usual.items() if k in c) for c in configs]
    return np.flatnonzero(kept)


def explained(
    values: np.ndarray, configs: Sequence[Knobs], factors: Mapping[str, tuple[str, ...]]
) -> Explained:
    """Shares of the variance of ``values``, ``(workloads, configs)``; NaN is left out."""
    levels = {
        name: [_level(c, _named(c, knobs)) for c in configs] for name, knobs in factors.items()
    }
    fits = [_fit(row, levels) for row in values]
    return Explained(
        {name: np.array([f[0][name] for f in fits]) for name in factors},
        {pair: np.array([f[1][pair] for f in fits]) for pair in combinations(factors, 2)},
        np.array([f[2] for f in fits]),
    )


def changes(
    values: np.ndarray, configs: Sequence[Knobs], factors: Mapping[str, tuple[str, ...]]
) -> list[Change]:
    """Absolute differences of ``values``, ``(workloads, configs)``, by the one factor that
    differs."""
    found = []
    for name, knobs in factors.items():
        pairs = _differing(configs, knobs)
        distance = np.abs(values[:, pairs[:, 0]] - values[:, pairs[:, 1]])
        distance = distance[np.isfinite(distance)]
        if distance.size:
            median, p90 = np.quantile(distance, [0.5, 0.9])
            found.append(Change(name, len(pairs), float(median), float(p90)))
    return found


def _differing(configs: Sequence[Knobs], knobs: Sequence[str]) -> np.ndarray:
    """Pairs of columns that differ in these knobs and no other that both have, ``(pairs, 2)``."""
    names = sorted({k for c in configs for k in c})
    values = np.array([[_code(c, name) for name in names] for c in configs])
    values = np.stack([np.unique(v, return_inverse=True)[1] for v in values.T], axis=1)
    has = np.array([[name in c for name in names] for c in configs])
    inside = np.isin(names, [k for c in configs for k in _named(c, knobs)])
    pairs = []
    for i in range(len(configs) - 1):
        differs = values[i] != values[i + 1 :]
        matters = differs & has[i] & has[i + 1 :]
        alone = ~matters[:, ~inside].any(axis=1) & differs[:, inside].any(axis=1)
        pairs += [(i, i + 1 + j) for j in np.flatnonzero(alone).tolist()]
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)


def _code(config: Knobs, name: str) -> str:
    return json.dumps(config.get(name))


def _fit(
    values: np.ndarray, levels: Mapping[str, Sequence[Level]]
) -> tuple[dict[str, float], dict[tuple[str, str], float], float]:
    """Shares of each factor and pair, and R² of the additive model, of one workload."""
    known = np.flatnonzero(np.isfinite(values)).tolist()
    y = values[known] - values[known].mean()
    coded = {name: [given[i] for i in known] for name, given in levels.items()}
    blocks = {name: _indicators(given) for name, given in coded.items()}
    r2 = {
        chosen: _r2(y, [blocks[n] for n in chosen])[0]
        for size in range(len(blocks) + 1)
        for chosen in combinations(blocks, size)
    }
    everything = list(blocks.values())
    base = _adjusted(y, everything)
    pairs = {
        (a, b): _adjusted(y, [*everything, _indicators(list(zip(coded[a], coded[b], strict=True)))])
        - base
        for a, b in combinations(blocks, 2)
    }
    return {n: _shapley(n, r2, tuple(blocks)) for n in blocks}, pairs, r2[tuple(blocks)]


def _shapley(name: str, r2: Mapping[tuple[str, ...], float], names: tuple[str, ...]) -> float:
    """Mean gain of a factor over all orders of entry."""
    total = 0.0
    for chosen, value in r2.items():
        if name not in chosen:
            with_ = tuple(n for n in names if n in chosen or n == name)
            total += (r2[with_] - value) / (len(names) * comb(len(names) - 1, len(chosen)))
    return total


def _r2(y: np.ndarray, blocks: Sequence[np.ndarray]) -> tuple[float, int]:
    """R² of least squares on an intercept and the blocks, and the rank of the design."""
    design = np.hstack([np.ones((len(y), 1)), *blocks])
    solution, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    left = y - design @ solution
    return 1.0 - float(left @ left) / max(float(y @ y), 1e-12), int(rank)


def _adjusted(y: np.ndarray, blocks: Sequence[np.ndarray]) -> float:
    r2, rank = _r2(y, blocks)
    return 1.0 - (1.0 - r2) * (len(y) - 1) / max(1, len(y) - rank)


def _indicators(levels: Sequence[Any]) -> np.ndarray:
    """One column a level, ``(configs, levels)``."""
    distinct = sorted(set(levels), key=repr)
    return np.array([[float(level == d) for d in distinct] for level in levels])


def _named(config: Knobs, names: Sequence[str]) -> list[str]:
    return [k for k in config if any(k == n or (n[-1] == "." and k.startswith(n)) for n in names)]


def _level(config: Knobs, names: Sequence[str]) -> Level:
    return tuple((k, config[k]) for k in sorted(names))


def scaled(values: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1 within each workload, same shape."""
    centred = values - np.nanmean(values, axis=1, keepdims=True)
    unit: np.ndarray = centred / np.maximum(np.nanstd(values, axis=1, keepdims=True), 1e-12)
    return unit
