"""Ending a measurement early that will not win: racing (Maron and Moore 1993) with bounds that hold
whenever one looks (``autorag.evaluation.sequential``).

Queries are asked in a random order. After each, two bets are looked at:

* that the config's mean of the objective's per-query metric is at least that of the best config so
  far on the same queries, to which it is compared query by query;
* that no more than a twentieth of its queries take longer than a bound on the 95 % quantile of
  latency allows, with some tolerance, since a config at the bound is worth knowing exactly.

A measurement ends when one of them is lost. A config that is truly as good is dropped with a chance
of ``1 - LEVEL`` at most by the first, one that holds the bound by the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from autorag.evaluation.sequential import MeanTest

RACED = ("recall_at_1", "recall_at_5", "recall_at_10", "ndcg_at_10", "mrr_at_10")
"""Metrics that are known of every query as soon as it is answered."""

LEVEL = 0.99
FEWEST = 20
"""Queries that are asked in any case."""

TOLERANCE = 1.25
"""A latency counts as too long above so many times the bound."""

TOO_LONG = 0.05


@dataclass(frozen=True, slots=True)
class Race:
    """What a measurement runs against.

    Attributes:
        metric: of ``RACED``, to be maximised.
        rival: query → its value under the best config so far.
        longest_ms: bound on the 95 % quantile of latency; None where there is none.
    """

    metric: str
    rival: Mapping[str, float]
    longest_ms: float | None

    def to_json(self) -> dict[str, Any]:
        """JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Race:
        """What :meth:`to_json` gave."""
        return cls(**row)


class Referee:
    """Watches one measurement.

    Args:
        queries: how many there are.
    """

    def __init__(self, race: Race, queries: int) -> None:
        self._race = race
        self._better = MeanTest(0.5, LEVEL, queries)
        self._slow = MeanTest(TOO_LONG, LEVEL, queries)
        self._seen = 0

    def lost(
        self, query: str, metrics: Mapping[str, float], latency_ms: float | None
    ) -> str | None:
        """Why the measurement is to end after one more query; None where it goes on. The latency
        of a slow moment of the machine is None: it tells nothing of the config."""
        race = self._race
        self._seen += 1
        if query in race.rival:
            self._better.add((1.0 + metrics[race.metric] - race.rival[query]) / 2.0)
        if race.longest_ms is not None and latency_ms is not None:
            self._slow.add(float(latency_ms > TOLERANCE * race.longest_ms))
        if self._seen < FEWEST:
            return None
        if self._better.decision is False:
            return f"its {race.metric} is below that of the best config"
        if self._slow.decision:
            return f"more than {TOO_LONG:.0%} of queries take longer than {race.longest_ms:g} ms"
        return None
