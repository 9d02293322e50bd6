"""All features of a workload, in seconds, from a bounded sample.

Every part draws from a stream of its own: what one part draws does not move another's figures.
"""

from __future__ import annotations

import numpy as np

from autorag.features import (
    EmbeddingFeatures,
    QueryFeatures,
    TrafficFeatures,
    WorkloadFeatures,
    unknown,
)
from autorag.queries import subsample
from autorag.workload import Workload
from collectors.features.corpus import corpus_features
from collectors.features.embedding import LEAST_VECTORS, embedding_features
from collectors.features.models import FeatureModels
from collectors.features.queries import QUERIES, query_features
from collectors.features.sample import (
    CLOSE_CHARACTERS,
    READ_CHARACTERS,
    CorpusSample,
    draw_documents,
    draw_passages,
    passage_text,
)

STREAMS = ("read", "close", "passages", "near", "queries", "cells")
"""Parts that draw, each from a stream of its own. New ones go to the end."""

NEED_WHOLE = (
    "near_duplicate_share",
    "oov_share",
    "overlap_corpus",
    "overlap_passage",
    "overlap_margin",
)
"""Features that hold of the whole corpus only: a part of it gives another figure, not a rough
one."""


def workload_features(
    workload: Workload,
    models: FeatureModels,
    rng: np.random.Generator,
    read_characters: int = READ_CHARACTERS,
    close_characters: int = CLOSE_CHARACTERS,
) -> WorkloadFeatures:
    """Describe a workload; its traffic is unknown.

    Args:
        read_characters, close_characters: how much of the corpus is cut into words, and how much is
            tokenised and looked at line by line.
    """
    streams = dict(zip(STREAMS, rng.spawn(len(STREAMS)), strict=True))
    documents = workload.documents
    sample = CorpusSample(
        sum(len(d.text) for d in documents),
        draw_documents(documents, streams["read"], read_characters),
        draw_documents(documents, streams["close"], close_characters),
        draw_passages(documents, streams["passages"]),
    )
    reasons = {"traffic": "no requests were observed"}
    if not sample.is_whole:
        share = sample.read_characters / sample.characters
        reasons |= dict.fromkeys(NEED_WHOLE, f"only {share:.0%} of the text was read")
    corpus = corpus_features(documents, sample, models.count_tokens, streams["near"])
    asked = subsample(workload.queries, QUERIES, streams["queries"])
    if not asked:
        reasons["queries"] = "there are no queries"
        queries = unknown(QueryFeatures)
    else:
        queries = query_features(workload, asked, sample, models.count_tokens)
    texts = list(dict.fromkeys(map(passage_text, sample.passages)))
    if models.encode is None or len(texts) < LEAST_VECTORS:
        embedding = unknown(EmbeddingFeatures)
        reasons["embedding"] = (
            "the static embedder is not on this machine"
            if models.encode is None
            else f"fewer than {LEAST_VECTORS} distinct passages"
        )
    else:
        vectors = models.encode(texts), models.encode([q.question for q in asked])
        embedding = embedding_features(*vectors, streams["cells"])
    return WorkloadFeatures(corpus, embedding, queries, unknown(TrafficFeatures), reasons)
