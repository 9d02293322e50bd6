"""Configs and measurements to be stored."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from autorag.hashing import ADDRESS_BYTES
from autorag.ports import Measurement, QueryResult
from autorag.space import Config

CONFIG = Config((("retrieve.mode", "dense"), ("chunk.tokens", 256), ("chunk.overlap", 0.1)))
OTHER = Config((("retrieve.mode", "lexical"), ("chunk.tokens", 64)))

_floats = st.floats(allow_nan=False, allow_infinity=False)
_characters = st.characters(codec="utf-8", exclude_characters="\0")
"""That every database holds."""

_names = st.text("abcdefghijk_0123456789", min_size=1, max_size=12)
_metrics = st.dictionaries(_names, _floats, max_size=4)
_ids = st.binary(min_size=ADDRESS_BYTES, max_size=ADDRESS_BYTES).map(bytes.hex)
_ranked = st.lists(st.tuples(_ids, st.floats(width=32, allow_nan=False)), max_size=3)
_stages = st.sampled_from(["parse", "chunk", "embed", "index", "rerank"])


@st.composite
def _query_results(draw: st.DrawFn, query: str) -> QueryResult:
    ranked = draw(_ranked)
    prompt = draw(st.none() | _ids)
    ids, scores = [i for i, _ in ranked], [s for _, s in ranked]
    return QueryResult(query, draw(_metrics), draw(_metrics), ids, scores, prompt)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    """Measurements with anything in them that may be."""
    asked = draw(st.lists(st.text(_characters, min_size=1), max_size=4))
    return Measurement(
        draw(_metrics),
        draw(st.dictionaries(_stages, _metrics, max_size=3)),
        draw(st.lists(_stages, max_size=3)),
        draw(st.dictionaries(_stages, _floats, max_size=3)),
        [draw(_query_results(q)) for q in dict.fromkeys(asked)],
        draw(st.dictionaries(_names, st.none() | st.booleans() | _floats | _names, max_size=3)),
    )


def a_measurement(*queries: str, ndcg: float = 0.5) -> Measurement:
    """A measurement of these queries."""
    metrics = {"ndcg_at_10": ndcg}
    results = [QueryResult(q, metrics, {"embed": 1.5}, ["ab" * 20], [0.25]) for q in queries]
    return Measurement(
        metrics, {"embed": {"p50_ms": 1.5, "p95_ms": 1.5}}, ["parse"], {"chunk": 0.5}, results
    )


def plain(value: Any) -> dict[str, Any]:
    """A trial or query result as dicts and lists, so that a tuple equals a list."""

    def listed(x: Any) -> Any:
        if isinstance(x, dict):
            return {k: listed(v) for k, v in x.items()}
        return [listed(v) for v in x] if isinstance(x, list | tuple) else x

    return {name: listed(getattr(value, name)) for name in value.__dataclass_fields__}
