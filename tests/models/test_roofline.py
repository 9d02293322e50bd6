"""The stages under the roofs of a measured machine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.hardware import FIGURES
from models.analytic.roofline import Roof, roofs, stage_points
from tests.autorag.machines import VALUES, profile

STAGES = {
    *("embed query", "embed 32", "embed 128", "embed 512", "flat scan", "PQ fast-scan"),
    *("HNSW", "BM25", "MaxSim", "prefill", "decode"),
}


@given(st.floats(1e-3, 1e4))
def test_a_roof_is_the_lower_of_memory_and_peak(intensity: float) -> None:
    roof = Roof("f32", "one", 100.0, 25.0)
    attainable = roof.attainable_gops(intensity)
    assert attainable == min(100.0, 25.0 * intensity)
    assert (attainable < 100.0) == (intensity < roof.ridge)


def test_memory_is_the_faster_of_copy_and_triad() -> None:
    known = roofs(profile())
    assert set(known) == {(n, s) for n in ("f32", "int8") for s in ("one", "all")}
    assert known["f32", "one"].bandwidth_gb_s == VALUES["triad_one_gb_s"]
    assert known["int8", "all"].peak_gops == VALUES["gemm_int8_all_gops"]


def test_every_stage_is_placed() -> None:
    points = stage_points(profile())
    assert {p.stage for p in points} == STAGES
    assert all(p.attained_gops is not None and p.attained_gops > 0 for p in points)


def test_what_is_attained_is_rate_times_work() -> None:
    points = {p.stage: p for p in stage_points(profile())}
    assert points["flat scan"].attained_gops == pytest.approx(24.0 / 2)  # half a FLOP a byte
    assert points["PQ fast-scan"].attained_gops == pytest.approx(22.0 * 2)
    assert points["BM25"].attained_gops == pytest.approx(0.5)
    assert points["HNSW"].attained_gops == pytest.approx(6.3e6 * 768 / 1e9)
    document = points["embed 128"]
    assert document.attained_gops == pytest.approx(6040 / 128 * document.work.operations / 1e9)


def test_scans_are_bound_by_memory_and_passes_by_compute() -> None:
    bounds = {p.stage: p.bound for p in stage_points(profile())}
    memory = {"flat scan", "PQ fast-scan", "HNSW", "BM25", "decode"}
    assert {s for s, bound in bounds.items() if bound == "memory"} == memory


def test_queries_run_on_one_core_and_documents_on_all() -> None:
    spans = {p.stage: p.roof.span for p in stage_points(profile())}
    assert {s for s, span in spans.items() if span == "all"} == {
        f"embed {n}" for n in (32, 128, 512)
    }


@pytest.mark.parametrize("figure", FIGURES)
def test_a_missing_figure_costs_no_more_than_it_must(figure: str) -> None:
    whole = profile()
    rates = {f: r for f, r in whole.rates.items() if f != figure}
    points = stage_points(replace(whole, rates=rates))
    unknown = {p.stage for p in points if p.attained_gops is None}
    absent = STAGES - {p.stage for p in points}
    assert len(unknown) <= 1
    assert bool(absent) == figure.startswith(("gemm_f32", "gemm_int8_one"))


def test_no_figures_no_roofs() -> None:
    nothing = replace(profile(), rates={})
    assert roofs(nothing) == {}
    assert stage_points(nothing) == []
