"""The outcome of a study: recommended against default on queries that the search never saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autorag.evaluation.aggregate import GENERATED, QUANTILES, query_values
from autorag.evaluation.paired import Interval, bootstrap, mean, paired_difference, quantile
from autorag.metrics import METRICS
from autorag.objective import Objective
from autorag.ports import QueryResult, Trial

ONE_NOISY_NUMBER = ("rss_peak_mb", "build_s")
"""Metrics with one value a run that varies from run to run: no interval can be given."""


@dataclass(frozen=True)
class Outcome:
    """What a study found.

    Attributes:
        default, recommended: measured on the search queries.
        default_report, recommended_report: measured on the report queries.
        predicted: the recommended config's metrics as the search saw them, with 95 % intervals.
        difference: recommended minus default on the report queries, with 95 % intervals.
        pareto: trials that no other beats in both the objective and latency.
    """

    objective: Objective
    default: Trial
    recommended: Trial
    default_report: Trial
    recommended_report: Trial
    predicted: Mapping[str, Interval]
    difference: Mapping[str, Interval]
    pareto: Sequence[Trial]

    def to_json(self) -> dict[str, Any]:
        """The part of ``tune --json`` that speaks of configs."""
        return {
            "objective": str(self.objective),
            "recommended": {
                "config": self.recommended.config.to_json(),
                "predicted": {m: i.to_json() for m, i in self.predicted.items()},
                "measured": dict(self.recommended_report.metrics),
            },
            "default": {
                "config": self.default.config.to_json(),
                "measured": dict(self.default_report.metrics),
            },
            "difference": {
                m: {**i.to_json(), "distinguishable": i.distinguishable}
                for m, i in self.difference.items()
            },
            "violated": self.objective.explain(self.recommended_report.metrics),
            "pareto": [
                {"config": t.config.to_json(), "measured": dict(t.metrics)} for t in self.pareto
            ],
        }


def differences(
    before: Trial,
    after: Trial,
    before_queries: Sequence[QueryResult],
    after_queries: Sequence[QueryResult],
    rng: np.random.Generator,
    groups: Mapping[str, int] | None = None,
) -> dict[str, Interval]:
    """``after - before`` for every metric of both.

    Metrics made of queries get a paired bootstrap interval over the queries that both have,
    drawn by ``groups`` (query id → group; see :func:`autorag.queries.query_groups`); one
    number a run that does not vary (memory) has a point interval; one that does is left out.
    """
    paired = _paired(before_queries, after_queries, groups)
    found = {}
    for name in METRICS:
        if name not in ONE_NOISY_NUMBER and name in before.metrics and name in after.metrics:
            source, statistic = _source(name)
            if source in paired:
                left, right, labels = paired[source]
                found[name] = paired_difference(left, right, statistic, rng, labels)
            else:
                gap = after.metrics[name] - before.metrics[name]
                found[name] = Interval(gap, gap, gap)
    return found


def intervals(
    trial: Trial,
    queries: Sequence[QueryResult],
    rng: np.random.Generator,
    groups: Mapping[str, int] | None = None,
) -> dict[str, Interval]:
    """Every metric of a trial with its bootstrap interval over queries."""
    values = _paired(queries, queries, groups)
    found = {}
    for name, value in trial.metrics.items():
        source, statistic = _source(name)
        if source in values:
            one, _, labels = values[source]
            found[name] = bootstrap(one, statistic, rng, labels)
        else:
            found[name] = Interval(value, value, value)
    return found


def _source(metric: str) -> tuple[str, Any]:
    """The per-query value that a metric is made of, and the statistic."""
    if metric in QUANTILES:
        source, q = QUANTILES[metric]
        return source, quantile(q)
    return metric, mean


def _paired(
    before: Sequence[QueryResult],
    after: Sequence[QueryResult],
    groups: Mapping[str, int] | None,
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Per-query values of both and group labels, over the queries and metrics that both have."""
    later = {r.query: r for r in after}
    both = [(r, later[r.query]) for r in before if r.query in later]
    pairs = {}
    for name in query_values(before).keys() & query_values(after).keys():
        rows = [(a, b) for a, b in both if _has(a, name) and _has(b, name)]
        if rows:
            left, right = (query_values([r[i] for r in rows])[name] for i in (0, 1))
            labels = None if groups is None else np.array([groups[r.query] for r, _ in rows])
            pairs[name] = (left, right, labels)
    return pairs


def _has(result: QueryResult, name: str) -> bool:
    if name in GENERATED:
        return GENERATED[name] in result.stage_ms
    return name == "latency_ms" or name in result.metrics
