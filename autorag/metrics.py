"""The metrics: their names (a contract, used everywhere), units and directions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from autorag.errors import ObjectiveError

Kind = Literal["ranking", "answer", "latency", "generation_latency", "resource"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``unit`` is empty for ratios 0..1."""

    name: str
    kind: Kind
    higher_is_better: bool
    unit: str
    meaning: str

    @property
    def needs_generation(self) -> bool:
        """Whether it is measured only when answers are generated."""
        return self.kind in ("answer", "generation_latency")


_ALL = (
    Metric("recall_at_1", "ranking", True, "", "share of gold units ranked first"),
    Metric("recall_at_5", "ranking", True, "", "share of gold units in the first 5"),
    Metric("recall_at_10", "ranking", True, "", "share of gold units in the first 10"),
    Metric("ndcg_at_10", "ranking", True, "", "discounted gain of gold units in the first 10"),
    Metric("mrr_at_10", "ranking", True, "", "1 / rank of the first gold unit in the first 10"),
    Metric("ann_recall_at_10", "ranking", True, "", "share of the exact 10 nearest vectors found"),
    Metric("answer_f1", "answer", True, "", "token F1 against the best gold answer (SQuAD)"),
    Metric("answer_em", "answer", True, "", "exact match with a gold answer (SQuAD)"),
    Metric("latency_p50_ms", "latency", False, "ms", "query to ranked contexts, median"),
    Metric("latency_p95_ms", "latency", False, "ms", "query to ranked contexts, 95th percentile"),
    Metric("ttft_p95_ms", "generation_latency", False, "ms", "query to first token, p95"),
    Metric("end_to_end_p95_ms", "generation_latency", False, "ms", "query to last token, p95"),
    Metric("context_tokens", "resource", False, "tokens", "mean tokens sent to the generator"),
    Metric("memory_mb", "resource", False, "MB", "index, model weights and caches resident"),
    Metric("rss_peak_mb", "resource", False, "MB", "peak resident memory while serving"),
    Metric("build_s", "resource", False, "s", "seconds spent building what was not reused"),
)

METRICS: Mapping[str, Metric] = {m.name: m for m in _ALL}


def metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        ObjectiveError: there is none.
    """
    try:
        return METRICS[name]
    except KeyError:
        close = get_close_matches(name, METRICS, n=1)
        hint = f"; did you mean {close[0]}?" if close else f"; known: {', '.join(METRICS)}"
        raise ObjectiveError(f"unknown metric {name!r}{hint}", key=name) from None
