"""From features to what the models need; unknown ones are stood in for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autorag.errors import InputError
from autorag.features import (
    CorpusFeatures,
    EmbeddingFeatures,
    QueryFeatures,
    TrafficFeatures,
    WorkloadFeatures,
    unknown,
)
from models.analytic.shape import WorkloadShape

NOTHING = WorkloadFeatures(
    unknown(CorpusFeatures),
    unknown(EmbeddingFeatures),
    unknown(QueryFeatures),
    unknown(TrafficFeatures),
)
COUNTED = replace(NOTHING, corpus=replace(NOTHING.corpus, documents=200.0, tokens=40_000.0))


def test_features_are_taken() -> None:
    features = replace(
        COUNTED,
        corpus=replace(
            COUNTED.corpus,
            document_tokens_p5=20.0,
            document_tokens_p50=150.0,
            document_tokens_p95=700.0,
            title_share=0.5,
            vocabulary_words=9000.0,
        ),
        embedding=replace(COUNTED.embedding, lid=11.0, query_cell_imbalance=1.7),
        queries=replace(COUNTED.queries, query_tokens_p50=9.0),
    )
    shape = WorkloadShape.from_features(features)
    assert shape.document_tokens == (20.0, 150.0, 700.0)
    assert (shape.title_share, shape.vocabulary, shape.lid) == (0.5, 9000.0, 11.0)
    assert (shape.query_imbalance, shape.query_tokens) == (1.7, 9.0)
    assert shape.chunks is None


def test_documents_and_tokens_alone_are_enough() -> None:
    shape = WorkloadShape.from_features(COUNTED)
    low, middle, high = shape.document_tokens
    assert low < middle == 200.0 < high
    assert shape.lid > 0


def test_without_queries_imbalance_is_that_of_the_passages() -> None:
    features = replace(COUNTED, embedding=replace(COUNTED.embedding, cell_imbalance=1.5))
    assert WorkloadShape.from_features(features).query_imbalance == 1.5


@pytest.mark.parametrize("name", ["documents", "tokens"])
def test_without_a_size_nothing_is_predicted(name: str) -> None:
    corpus = replace(COUNTED.corpus, **{name: None})
    with pytest.raises(InputError, match=name) as raised:
        WorkloadShape.from_features(replace(COUNTED, corpus=corpus))
    assert raised.value.key == name
