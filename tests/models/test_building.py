"""Builds: what is needed is priced, and grows with what there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from autorag.space import Config
from autorag.table.builds import artifacts
from models.analytic.building import build_seconds, index_s
from models.analytic.chunking import Chunking
from models.analytic.knobs import Knobs
from models.analytic.machine import Machine
from models.analytic.shape import WorkloadShape
from tests.autorag.machines import profile
from tests.autorag.pipeline import corpus
from tests.autorag.spaces import sampled

MACHINE = Machine(profile())
SHAPE = WorkloadShape(1000, 300_000, (50, 200, 900))
CHUNKS = Chunking(np.array([2000.0]), np.array([160.0]))


def builds(config: Config) -> dict[str, float]:
    """Seconds of those that are needed."""
    found = build_seconds(Knobs.of([config]), SHAPE, CHUNKS, MACHINE)
    return {build: s.item() for build, s in found.items() if not np.isnan(s)}


def index(vectors: float, **values: Any) -> float:
    return index_s(
        Knobs.of([corpus.config(**values)]), np.array([float(vectors)]), 12.0, MACHINE
    ).item()


@given(sampled(corpus.space()))
def test_what_a_config_needs_is_priced_and_nothing_else(config: Config) -> None:
    found = builds(config)
    assert set(found) == {a.build for a in artifacts(config)}
    assert all(seconds > 0 for seconds in found.values())


def test_a_transformer_dominates_a_build() -> None:
    found = builds(corpus.config(rerank__model="maxsim"))
    assert found["embed"] == found["rerank"] > 10 * (found["chunk"] + found["index"])


@pytest.mark.parametrize("kind", ["ivf_flat", "ivf_sq8", "ivf_pq_fastscan", "hnsw", "hnsw_sq8"])
def test_more_vectors_take_more_than_their_share(kind: str) -> None:
    assert index(400_000, index__kind=kind) > 4 * index(100_000, index__kind=kind)


def test_effort_costs() -> None:
    quick, careful = (index(1e5, index__kind="hnsw", index__ef_construction=e) for e in (40, 320))
    coarse, fine = (index(1e5, index__kind="ivf_flat", index__nlist=f) for f in (0.5, 4.0))
    assert careful > 2 * quick
    assert fine > 4 * coarse
