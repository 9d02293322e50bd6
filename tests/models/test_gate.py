"""No change makes predictions worse unnoticed: the gate on a frozen slice of the measured table."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from benchmarks.model_strangers import exchanged
from models.accuracy import Accuracy, changes
from tests.models.gate import RECORDED, frozen, measured


def recorded() -> dict[str, object]:
    found: dict[str, object] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return found


def test_the_slice_is_the_one_that_was_recorded() -> None:
    assert frozen().digest == recorded()["digest"]


def test_predictions_are_not_worse_than_recorded() -> None:
    now = Accuracy.from_json(measured(frozen()))
    found = changes(Accuracy.from_json(recorded()), now)
    assert {c.what for c in found} == set(now.errors)
    worse = [str(c) for c in found if c.worse]
    assert not worse, f"worse than recorded (old → new): {'; '.join(worse)}"


def test_the_gate_sees_what_is_worse() -> None:
    """Models that learn from a table whose rows were exchanged."""
    rng = np.random.default_rng(0)
    spoiled = tuple(exchanged(e, rng) for e in frozen().examples)
    found = Accuracy.from_json(measured(replace(frozen(), examples=spoiled)))
    worse = {c.what for c in changes(Accuracy.from_json(recorded()), found) if c.worse}
    assert worse >= {"order", "latency_p50_ms", "latency_p95_ms"}
