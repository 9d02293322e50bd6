"""Configs read into columns."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autorag.pipeline.embedders import EMBEDDERS
from autorag.pipeline.rag import FUSION_DEPTH
from autorag.space import Config
from models.analytic.knobs import Knobs
from tests.autorag.pipeline import corpus
from tests.autorag.spaces import sampled


def one(**values: Any) -> Knobs:
    return Knobs.of([corpus.config(**values)])


@given(st.lists(sampled(corpus.space()), min_size=1, max_size=8))
def test_every_row_is_its_config(configs: list[Config]) -> None:
    knobs = Knobs.of([config.to_json() for config in configs])
    assert len(knobs) == len(configs)
    for row, config in enumerate(configs):
        cut = (config["chunk.splitter"], config["chunk.tokens"], config.get("chunk.overlap", 0.0))
        assert knobs.cut.names[knobs.cut.codes[row]] == cut
        assert knobs.kind.names[knobs.kind.codes[row]] == config.get("index.kind", "")
        assert knobs.reranker.names[knobs.reranker.codes[row]] == config["rerank.model"]
        assert knobs.nprobe[row] == config.get("retrieve.nprobe", 1)
        assert knobs.depth[row] == config.get("rerank.depth", 0)
        assert knobs.dense[row] == (config["retrieve.mode"] != "lexical")
        assert knobs.lexical[row] == (config["retrieve.mode"] != "dense")


def test_equal_chunkings_are_one() -> None:
    knobs = Knobs.of([corpus.config(retrieve__k=k) for k in (5, 10, 20)])
    assert len(knobs.cut.names) == 1


def test_full_vectors_are_as_long_as_the_embedders() -> None:
    assert one(embed__model="minilm-int8").dim == EMBEDDERS["minilm-int8"].dim
    assert one(embed__model="minilm-int8", embed__dim=64).dim == 64
    assert one(retrieve__mode="lexical").dim == 0


@pytest.mark.parametrize(
    ("values", "fetched"),
    [
        ({"retrieve__k": 5}, 5),
        ({"retrieve__k": 5, "rerank__model": "bm25", "rerank__depth": 20}, 20),
        ({"retrieve__k": 5, "retrieve__mode": "hybrid"}, FUSION_DEPTH),
    ],
)
def test_a_search_brings_what_comes_after_needs(values: dict[str, Any], fetched: int) -> None:
    assert one(**values).fetched == fetched
