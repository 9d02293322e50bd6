"""Memory predicted beside memory counted: faiss's own serialisation, the pipeline's own sum."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autorag.pipeline.artifacts import ArtifactStore
from autorag.pipeline.build import BuildContext
from autorag.pipeline.index import KINDS, build_index, serialized
from autorag.pipeline.packages import minilm_int8_file
from autorag.pipeline.rag import Pipeline
from autorag.pipeline.transformer import unit
from models.analytic.chunking import Chunking
from models.analytic.knobs import Knobs
from models.analytic.memory import (
    GENERATOR_WEIGHTS,
    INT8_BYTES,
    WEIGHTS,
    index_bytes,
    resident_bytes,
)
from models.analytic.shape import WorkloadShape
from tests.autorag.pipeline import corpus

COMMON = {"retrieve.mode": "dense", "chunk.splitter": "fixed", "chunk.tokens": 128}
VECTORS, DIM = 3000, 64
TOLERANCE = {"hnsw": 0.005, "hnsw_sq8": 0.005, "ivf_pq_fastscan": 0.04}
"""Levels of a graph are drawn at random; how full the last blocks of small cells are is not known.
The others are exact."""

SHAPE = WorkloadShape(100, 10_000, (50, 100, 200))


def knobs(**values: Any) -> Knobs:
    return Knobs.of([corpus.config(**values)])


def chunking(chunks: float, tokens: float) -> Chunking:
    return Chunking(np.array([float(chunks)]), np.array([float(tokens)]))


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return unit(np.random.default_rng(0).standard_normal((VECTORS, DIM), dtype=np.float32))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "values", [{"index.nlist": 0.5, "index.hnsw_m": 8}, {"index.nlist": 1.0, "index.hnsw_m": 32}]
)
def test_an_index_is_as_large_as_faiss_serialises_it(
    kind: str, values: Mapping[str, Any], vectors: np.ndarray
) -> None:
    built = {**values, "index.kind": kind, "index.pq_m": 16, "index.ef_construction": 16}
    size = len(serialized(build_index(vectors, built, 0)))
    active = corpus.space().config({"index.kind": kind}).to_json()
    config = {**active, **built, "embed.model": "minilm-int8", "embed.dim": DIM}
    expected = index_bytes(Knobs.of([config]), np.array([float(VECTORS)]))
    assert expected == pytest.approx(size, rel=TOLERANCE.get(kind, 1e-9))


CONFIGS: tuple[Mapping[str, Any], ...] = (
    {"embed__model": "lsa"},
    {"embed__model": "lsa", "embed__dim": 64, "index__kind": "hnsw", "retrieve__mode": "hybrid"},
    {"retrieve__mode": "lexical", "cache__mb": 64},
    {"retrieve__mode": "lexical", "rerank__model": "maxsim"},
    {"rerank__model": "maxsim"},
    {"rerank__model": "maxsim", "threads__rerank": 2},
    {"embed__model": "lsa", "rerank__model": "bm25"},
    {"index__kind": "hnsw_sq8", "retrieve__refine": 4},
)


@pytest.mark.parametrize("values", CONFIGS)
def test_the_sum_is_the_pipelines(
    values: Mapping[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = corpus.config(chunk__tokens=32, **values)
    context = BuildContext(ArtifactStore(shared_store(tmp_path_factory)), Path(), threads=1)
    pipeline = Pipeline.open(config, corpus.documents(), context)
    built = pipeline.built
    words = {w for t in built.chunks.texts for w in re.findall(r"\w+", t.lower())}
    entries = built.lexical.bytes / 8 if built.lexical is not None else 0.0
    shape = WorkloadShape(
        40, 1500, (20, 40, 60), vocabulary=float(len(words)), entries=entries - 0.7 * len(words)
    )
    chunks = chunking(len(built.chunks), float(built.chunks.tokens.mean()))
    expected = resident_bytes(Knobs.of([config]), shape, chunks)
    assert expected == pytest.approx(pipeline.memory_bytes(), rel=0.02)


def shared_store(factory: pytest.TempPathFactory) -> Path:
    """One folder of artifacts for all configs."""
    folder = factory.getbasetemp() / "analytic-artifacts"
    folder.mkdir(exist_ok=True)
    return folder


def test_weights_are_as_large_as_their_files() -> None:
    assert minilm_int8_file().stat().st_size == INT8_BYTES


@pytest.mark.slow
def test_models_made_here_are_as_large_as_their_files(tmp_path: Path) -> None:
    from autorag.pipeline.embedders import static_model
    from autorag.pipeline.generate import LOCAL, gemma_file

    file = static_model(tmp_path) / "model.safetensors"
    assert file.stat().st_size == WEIGHTS["static"]
    assert gemma_file(tmp_path).stat().st_size == GENERATOR_WEIGHTS[LOCAL]


def test_the_generator_counts_once_answers_are_generated() -> None:
    chunks = chunking(100, 100)
    asked = knobs(generate__model="gemma3-270m")
    without, with_ = (resident_bytes(asked, SHAPE, chunks, generate=g) for g in (False, True))
    assert with_ - without == GENERATOR_WEIGHTS["gemma3-270m"]


def test_postings_are_estimated_where_they_are_not_known() -> None:
    lexical = knobs(retrieve__mode="lexical")
    small, large = (resident_bytes(lexical, SHAPE, chunking(n, 100)) for n in (100, 10_000))
    assert 30 < (large - small) / 9900 / 8 < 50
