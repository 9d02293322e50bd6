"""What a search compares, beside faiss's own counts; what that takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.pipeline.index import VectorSearch, build_index, cells
from autorag.pipeline.transformer import unit
from models.analytic.knobs import Knobs
from models.analytic.machine import Machine
from models.analytic.retrieval import (
    cell_count,
    compared,
    hnsw_distances,
    probed_share,
    search,
)
from tests.autorag.machines import profile
from tests.autorag.pipeline import corpus

MACHINE = Machine(profile())
LID, IMBALANCE = 10.0, 1.3
KINDS = ("flat", "ivf_flat", "ivf_sq8", "ivf_pq_fastscan", "hnsw", "hnsw_sq8")

kinds = st.sampled_from(KINDS)
counts = st.integers(1000, 1_000_000)


def knobs(kind: str, **values: Any) -> Knobs:
    return Knobs.of([corpus.config(index__kind=kind, **values)])


def vectors(asked: Knobs, chunks: float, lid: float, imbalance: float) -> float:
    """Compared by one query."""
    return compared(asked, np.array([float(chunks)]), lid, imbalance).vectors.item()


def milliseconds(asked: Knobs, chunks: float, touched: float = 0.0) -> float:
    held = np.array([float(chunks)])
    steps = search(asked, compared(asked, held, LID, IMBALANCE), held, MACHINE)
    return 1e3 * sum(s.operator.seconds(MACHINE, np.array([touched])).item() for s in steps)


def test_all_cells_hold_all_vectors() -> None:
    assert probed_share(100, 100, 2.0) == 1
    assert probed_share(100, 512, 2.0) == 1
    assert probed_share(100, 1, 1.5) == pytest.approx(0.015, rel=0.05)


@given(st.integers(2, 1000), st.integers(1, 512), st.floats(1, 4))
def test_another_probe_never_means_fewer_vectors(nlist: int, nprobe: int, f: float) -> None:
    one, other = (probed_share(nlist, p, f) for p in (nprobe, 2 * nprobe))
    assert 0 < one <= other <= 1


@given(st.floats(0.25, 8), st.floats(0, 1e9))
def test_an_index_has_the_cells_that_the_pipeline_gives_it(factor: float, chunks: float) -> None:
    assert cell_count(np.array([factor]), np.array([chunks])) == [cells(factor, round(chunks))]


@given(st.floats(1, 1e7), st.integers(4, 64), st.integers(1, 2000), st.floats(1, 60))
def test_a_walk_compares_at_most_everything(n: float, m: int, ef: int, lid: float) -> None:
    less, more = (hnsw_distances(n, m, e, lid) for e in (ef, 2 * ef))
    assert 0 <= less <= more <= n


@pytest.mark.parametrize("directions", [6, 16])
def test_a_walk_compares_about_as_much_as_faiss_counts(directions: int) -> None:
    """One standard error of the fit is a third; twice that must hold for data like the fit's."""
    import faiss

    from collectors.features.embedding import lid, nearest

    rng = np.random.default_rng(directions)
    plane = rng.standard_normal((directions, 64))
    points = unit((rng.standard_normal((4050, directions)) @ plane).astype(np.float32))
    data, queries = np.ascontiguousarray(points[:4000]), points[4000:]
    asked = knobs("hnsw", retrieve__ef_search=64)
    index = build_index(
        data, {"index.kind": "hnsw", "index.hnsw_m": 16, "index.ef_construction": 80}, 0
    )
    searcher = VectorSearch(index, {"retrieve.ef_search": 64}, 1, None)
    faiss.cvar.hnsw_stats.reset()
    for query in queries:
        searcher.search(query, 10)
    counted = faiss.cvar.hnsw_stats.ndis / len(queries)
    block = data[:512]
    distance = np.sqrt(np.maximum(0, 2 - 2 * block @ block.T)) + np.diag(np.full(512, np.inf))
    directions_found = lid(nearest(distance)[0])
    assert directions_found is not None
    expected = vectors(asked, 4000, directions_found, IMBALANCE)
    assert 0.5 < expected / counted < 2


def test_probed_vectors_are_about_those_that_faiss_counts() -> None:
    import faiss

    rng = np.random.default_rng(0)
    data = unit(rng.standard_normal((4000, 32), dtype=np.float32))
    index = build_index(data, {"index.kind": "ivf_flat", "index.nlist": 1.0}, 0)
    for nprobe in (1, 8):
        faiss.cvar.indexIVF_stats.reset()
        searcher = VectorSearch(index, {"retrieve.nprobe": nprobe}, 1, None)
        for query in data[:100]:
            searcher.search(query, 10)
        counted = faiss.cvar.indexIVF_stats.ndis / 100
        asked = knobs("ivf_flat", retrieve__nprobe=nprobe)
        assert vectors(asked, 4000, LID, 1.1) == pytest.approx(counted, rel=0.2)


@given(kinds, counts)
def test_more_vectors_take_longer(kind: str, chunks: int) -> None:
    asked = knobs(kind)
    assert milliseconds(asked, 4 * chunks) > milliseconds(asked, chunks)


@given(kinds, counts, st.floats(0, 1e9))
def test_a_cold_cache_takes_longer(kind: str, chunks: int, touched: float) -> None:
    asked = knobs(kind)
    assert milliseconds(asked, chunks, touched) >= milliseconds(asked, chunks)


def test_a_large_flat_scan_runs_at_memory_speed() -> None:
    asked = knobs("flat")
    size = 4 * 384 * 1e6
    assert milliseconds(asked, 1e6, size) == pytest.approx(1e3 * size / MACHINE.bandwidth, rel=0.02)


def test_a_search_after_a_transformer_costs_its_calls_not_its_vectors() -> None:
    asked = knobs("flat")
    warm, cold = (milliseconds(asked, 100, touched) for touched in (0.0, 42e6))
    assert cold > warm + 0.05


def test_quantised_codes_are_scanned_faster() -> None:
    probing = {k: replace(knobs(k), nprobe=np.array([64.0])) for k in KINDS}
    sizes = {k: milliseconds(asked, 1e6, 1e9) for k, asked in probing.items()}
    assert sizes["ivf_pq_fastscan"] < sizes["ivf_sq8"] < sizes["ivf_flat"] < sizes["flat"]


def test_refining_and_fetching_more_cost() -> None:
    plain = knobs("ivf_sq8")
    refined = replace(plain, refine=np.array([8.0]))
    assert milliseconds(refined, 1e5) > milliseconds(plain, 1e5)
    more = replace(plain, fetched=np.array([100.0]))
    assert milliseconds(more, 1e5) > milliseconds(plain, 1e5)
