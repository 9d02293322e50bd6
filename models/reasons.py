"""Why one config is expected to do better than another: which knobs make the difference.

A reason is a knob whose change moves the predicted quality, and by how much in nDCG@10: the
difference of the two configs' contributions by TreeSHAP (Lundberg, Erion and Lee 2018), the
weighted mean over the landscapes, columns of one knob added up.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from autorag.space import Config
from models.encoding import DENSE_WEIGHT, DIMENSIONS, KNOB_COLUMNS
from models.predictor import Predicted

LEAST = 0.002
"""nDCG@10 that is worth a reason."""

ACTIVATED_BY = {
    "embed.model": "retrieve.mode",
    "embed.dim": "embed.model",
    "index.kind": "retrieve.mode",
    "index.nlist": "index.kind",
    "index.pq_m": "index.kind",
    "index.hnsw_m": "index.kind",
    "index.ef_construction": "index.kind",
    "retrieve.nprobe": "index.kind",
    "retrieve.ef_search": "index.kind",
    "retrieve.refine": "index.kind",
    "retrieve.alpha": "retrieve.mode",
    "rerank.depth": "rerank.model",
    "rerank.weight": "rerank.model",
    "chunk.overlap": "chunk.splitter",
}
"""Knob → the knob that makes it active: what it adds by becoming active is that one's."""

_OWNERS = {DENSE_WEIGHT: "retrieve.mode", DIMENSIONS: "embed.dim"}


@dataclass(frozen=True, slots=True)
class Reason:
    """A knob, its two values and what the change adds."""

    knob: str
    before: object
    after: object
    ndcg: float

    def __str__(self) -> str:
        return f"{self.knob} {self.before} → {self.after}: {self.ndcg:+.3f} nDCG@10"


def reasons(predicted: Predicted, before: int, after: int, most: int = 3) -> list[Reason]:
    """The knobs that make the difference between two candidates, the largest first."""
    one, other = (predicted.pool.run[i] for i in (before, after))
    found = [
        Reason(knob, one.get(knob), other.get(knob), value)
        for knob, value in contributions(predicted, before, after).items()
        if one.get(knob) != other.get(knob) and abs(value) >= LEAST
    ]
    return sorted(found, key=lambda r: -abs(r.ndcg))[:most]


def contributions(predicted: Predicted, before: int, after: int) -> Mapping[str, float]:
    """Knob → what its change adds to the predicted nDCG@10."""
    one, other = (predicted.pool.run[i] for i in (before, after))
    weights = np.array([*predicted.quality.alike.values()])
    laid = predicted.laid
    total = weights @ (laid.contributions(after) - laid.contributions(before))
    found: dict[str, float] = {}
    for column, value in zip(_owners(), total.tolist(), strict=True):
        knob = _changed(column, one, other)
        found[knob] = found.get(knob, 0.0) + value
    return found


def _changed(knob: str, before: Config, after: Config) -> str:
    """The knob itself, or the one whose change made it active or inactive."""
    while knob in ACTIVATED_BY and (knob in before) != (knob in after):
        knob = ACTIVATED_BY[knob]
    return knob


def _owners() -> Iterator[str]:
    """The knob of every column."""
    for column in KNOB_COLUMNS:
        yield _OWNERS.get(column, column.partition("=")[0])
